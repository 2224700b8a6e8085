"""What a user may write under `input` and `on_input_error`, key by key.

Which keys belong together is decided in `input_checks`; nothing here looks at files, servers or the environment.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.job import FileFormat
from llm_jobs.documents.strict import Model

ColumnType = Literal["text", "integer", "number", "boolean"]
SourceName = Literal["inline", "file", "database", "postgresql", "sqlite", "api"]

_Positive = Annotated[int, Field(ge=1)]


def _pointer_or_rows(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """Text is the JSON pointer of an API's list; anything else has to be rows."""
    return value if isinstance(value, str) else handler(value)


def _auth(value: Any) -> Any:
    """`bearer_token` stands for the token of the variable that is meant for it."""
    if value == "bearer_token":
        return {"bearer": "LLM_JOBS_API_TOKEN"}
    if not isinstance(value, dict):
        raise PydanticCustomError("auth", "is neither bearer_token nor a mapping `{{bearer: NAME}}`")
    return value


def _paging(value: Any) -> Any:
    """`link` stands for the mapping of that name."""
    return {"link": "next"} if value == "link" else value


class AuthModel(Model):
    bearer: str


Auth = Annotated[AuthModel | None, BeforeValidator(_auth)]


class PagingModel(Model):
    """How the next page is found; one of next, link, page and offset."""

    next: str | None = None  # JSON pointer
    parameter: str | None = Field(default=None, min_length=1)  # takes the value found there, where that is no URL
    link: Literal["next"] | None = None
    page: str | None = Field(default=None, min_length=1)  # the parameter that counts pages
    offset: str | None = Field(default=None, min_length=1)  # the parameter that counts rows
    first: Annotated[int, Field(ge=0)] | None = None
    size: str | None = Field(default=None, min_length=1)  # the parameter that takes `batch_size`

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len({"next", "link", "page", "offset"} & self.model_fields_set) != 1:
            raise PydanticCustomError("paging", "says not one way to the next page; write next, link, page or offset")
        if self.parameter is not None and self.next is None:
            raise PydanticCustomError("paging", "states parameter, which belongs to next")
        if self.first is not None and self.page is None and self.offset is None:
            raise PydanticCustomError("paging", "states first, which belongs to page or offset")
        return self


class LimitsModel(Model):
    max_rows: _Positive | None = None
    max_bytes: _Positive | None = None
    timeout_s: Annotated[float, Field(gt=0, le=3600)] | None = None


class InputModel(Model):
    """The table. `batch_size`: rows fetched at once; `batch_strategy` is checked and changes nothing, for rows are
    streamed and asked as the concurrency allows."""

    source: SourceName | None = None
    rows: Annotated[list[dict[str, Any]] | None, Field(min_length=1), WrapValidator(_pointer_or_rows)] = None
    path: str | None = None
    format: FileFormat | None = None
    types: dict[str, ColumnType] = Field(default_factory=dict)
    batch_size: _Positive | None = None
    batch_strategy: Literal["parallel", "sequential"] | None = None
    result_of: str | None = Field(default=None, min_length=1, max_length=200)
    connection: str | None = Field(default=None, min_length=1)
    query: str | None = Field(default=None, min_length=1)
    endpoint: str | None = Field(default=None, min_length=1)
    method: Literal["GET", "POST"] | None = None
    auth: Auth = None
    headers: dict[str, str] = Field(default_factory=dict)
    params: dict[str, str | int | float | bool] = Field(default_factory=dict)
    body: Any = None
    paging: Annotated[PagingModel | None, BeforeValidator(_paging)] = None
    limits: LimitsModel | None = None


class InputErrorModel(Model):
    """What becomes of rows that cannot be read or asked. Without it, a table that cannot be read is refused."""

    strategy: Literal["skip", "fail", "retry", "alert"] = "skip"
    log: bool = True
    alert: bool = False
    max_retries: Annotated[int, Field(ge=0, le=100)] | None = None
    backoff: Literal["exponential"] = "exponential"
