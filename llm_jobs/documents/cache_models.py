"""What a user may write about recorded answers: `cache`, in a job or a step."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.strict import Model


class ExceptModel(Model):
    """What is left out."""

    model: str = Field(min_length=1)


class CacheModel(Model):
    """Of how many runs, and of which models not."""

    last_runs: Annotated[int, Field(ge=0, le=100_000)] | None = None
    but: Annotated[list[ExceptModel], Field(min_length=1)] | None = Field(default=None, alias="except")

    @model_validator(mode="after")
    def _states_something(self) -> Self:
        if self.last_runs is None and self.but is None:
            raise PydanticCustomError("cache", "says nothing; write last_runs, except or both")
        return self
