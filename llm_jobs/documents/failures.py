"""What becomes of a row whose call failed, and how many such rows a job bears. Plain values; never identity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llm_jobs.documents.json_value import JsonValue

Strategy = Literal["retry", "skip", "fail", "alert", "fallback"]
LEAST_ROWS = 20  # of a table, before a share of them says anything


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """The job stops when more rows than this failed: a number of them, or a share of those that have ended, of which
    there are at least LEAST_ROWS then. One of the two is stated."""

    rows: int | None = None
    share: float | None = None

    def is_passed(self, *, failed: int, ended: int) -> bool:
        if self.rows is not None:
            return failed > self.rows
        return self.share is not None and ended >= LEAST_ROWS and failed > self.share * ended

    def __str__(self) -> str:
        return f"{self.rows} rows" if self.share is None else f"{100 * self.share:g} %"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptFailures:
    """What becomes of a row whose call came to no success, after its attempts and the rules of its step.

    retry: the row ends, with its status and reason; a later run asks it again.  alert: the same, and the alert channels
    are told.  skip: the row ends, and later tables are made without it.  fail: the first such row stops the job.
    fallback: `value` stands in the answer's place and the row goes on, to end with the status `fallback`.
    """

    strategy: Strategy = "retry"
    value: JsonValue = None  # of fallback: text, or what the step's schema declares
    threshold: Threshold | None = None

    @property
    def concerns_others(self) -> bool:
        """Does a failed row do more than end?"""
        return self.strategy in ("fail", "fallback") or self.threshold is not None


ENDS = PromptFailures()  # what a document means that says nothing of it


def failures_from(members: Mapping[str, Any] | None) -> PromptFailures:
    """What JSON has of `PromptFailures`; jobs of before have nothing of it."""
    if members is None:
        return ENDS
    threshold = members["threshold"]
    return PromptFailures(**{**members, "threshold": Threshold(**threshold) if threshold else None})
