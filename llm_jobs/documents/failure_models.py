"""What a user may write about calls that failed: `on_prompt_failure` and `failure_threshold` of `error_handling`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.failures import Strategy
from llm_jobs.documents.strict import Model

_PER_CENT = re.compile(r"([0-9]{1,2}(?:\.[0-9]+)?) ?%")


class PromptFailureModel(Model):
    """`max_retries` and `backoff` are of the attempts at a call, which come before any strategy."""

    strategy: Strategy = "retry"
    max_retries: Annotated[int, Field(ge=0, le=100)] | None = None
    backoff: Literal["exponential"] = "exponential"
    alert: bool = False
    value: Any = None

    @model_validator(mode="after")
    def _value_belongs_to_fallback(self) -> Self:
        has_value = "value" in self.model_fields_set
        if self.strategy == "fallback" and not has_value:
            raise PydanticCustomError("fallback", "has no value, which fallback puts in the answer's place")
        if self.strategy != "fallback" and has_value:
            told = {"strategy": self.strategy}
            raise PydanticCustomError("fallback", "says value, which is for fallback and not for {strategy}", told)
        return self


def _threshold(value: Any) -> Any:
    """`5%` is the share 0.05."""
    found = _PER_CENT.fullmatch(value) if isinstance(value, str) else None
    number = float(found[1]) / 100 if found else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise PydanticCustomError("threshold", "is neither a number of rows nor a share such as `5%`")
    if isinstance(number, float) and not 0 <= number < 1:
        raise PydanticCustomError(
            "threshold", "is no share of rows: write a whole number, or a share from 0% to below 100%"
        )
    if number < 0:
        raise PydanticCustomError("threshold", "is no number of rows")
    return number


FailureThreshold = Annotated[int | float | None, BeforeValidator(_threshold)]
