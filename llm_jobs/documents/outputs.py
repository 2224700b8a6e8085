"""What a user may write under `output` and `on_output_error`, key by key.

Which keys belong together is decided in `formats.outputs`; nothing here looks at files, servers or the environment.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from llm_jobs.documents.inputs import Auth
from llm_jobs.documents.strict import Model


def _listed(value: Any) -> Any:
    """One destination stands for a list of one."""
    return value if isinstance(value, list) else [value]


class OutputModel(Model):
    """One destination; which keys may stand beside each other depends on its kind."""

    destination: Literal["file", "database", "api"] = "file"
    format: Literal["csv", "tsv", "json", "jsonl", "parquet", "pair", "columns"] | None = None
    on_complete: Literal["notify"] | None = None
    path: str | None = Field(default=None, min_length=1)
    connection: str | None = Field(default=None, min_length=1)
    table: str | None = Field(default=None, min_length=1)
    mode: Literal["append", "upsert"] | None = None
    key: Annotated[list[str] | None, Field(min_length=1)] = None
    endpoint: str | None = Field(default=None, min_length=1)
    method: Literal["POST", "PUT", "PATCH"] | None = None
    auth: Auth = None
    headers: dict[str, str] = Field(default_factory=dict)
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | None = None
    retries: Annotated[int, Field(ge=0, le=100)] | None = None
    timeout: Annotated[float, Field(gt=0, le=3600)] | None = None


Outputs = Annotated[list[OutputModel], BeforeValidator(_listed), Field(min_length=1)]


class OutputErrorModel(Model):
    strategy: Literal["fail", "retry", "skip", "alert", "fallback"] = "fail"
    max_retries: Annotated[int, Field(ge=0, le=100)] | None = None
    backoff: Literal["exponential"] = "exponential"
    alert: bool = False
    fallback: OutputModel | None = None
