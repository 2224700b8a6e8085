"""What failed rows do to a job: when they stop it, and what stands in for the answers that they lack. Pure.

Invariant: only a row that was asked and came to no success counts. Rows that could not be asked, that a stop left
unasked, or that failed in a table before are not judged here.
"""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents.failures import PromptFailures
from llm_jobs.documents.json_value import JsonValue

FALLBACK = "fallback"  # of a row: a value that the document states stands in an answer's place
_ENDED_WELL = frozenset({"succeeded", "incomplete"})
NOT_ASKED = frozenset({"invalid_input", "cancelled", "dropped"})

Columns = Mapping[str, JsonValue]


class Failing:
    """Counts how the rows of one table end."""

    def __init__(self, failures: PromptFailures, stand_ins: Mapping[str, Columns]) -> None:
        """`stand_ins`: by step, the columns of the value that stands in; none where the strategy is another."""
        self._failures = failures
        self._stand_ins = stand_ins
        self._ended = 0
        self._failed = 0

    def stand_in(self, step: str) -> Columns | None:
        return self._stand_ins.get(step)

    def reason_to_stop(self, status: str, error: str | None) -> str | None:
        """Counts a row that has ended so; why the job stops with it, None where it goes on."""
        if status in NOT_ASKED:
            return None
        self._ended += 1
        if status in _ENDED_WELL:
            return None
        self._failed += 1
        if self._failures.strategy == "fail":
            return f"stopped at the first row that failed (on_prompt_failure: fail), {status}: {error}"
        threshold = self._failures.threshold
        if threshold is None or not threshold.is_passed(failed=self._failed, ended=self._ended):
            return None
        counts = f"{self._failed} of the first {self._ended} rows failed"
        return (
            f"stopped because {counts}, more than the failure_threshold of {threshold}; the last was {status}: {error}"
        )
