"""How far the jobs of this process have come, counted from the engine's events. Shows nothing: doors do.

A `Progress` is a listener. It is told from the loop's thread and read from others; each number is whole by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llm_jobs.events import (
    BudgetReached,
    CallFailed,
    CallRecorded,
    CallReused,
    CallSent,
    CallWaiting,
    Event,
    JobBroken,
    JobFinished,
    JobStarted,
    RowCompleted,
)
from llm_jobs.observability.waits import Waits


class Progress:
    """Counts of rows, calls, tokens and cost since it was made. Jobs that were finished before are not among them."""

    def __init__(self) -> None:
        self.jobs_started = 0
        self.jobs_finished = 0
        self.rows_expected = 0
        self.size_known = True  # of every job that started
        self.rows_done = 0
        self.rows_failed = 0
        self.rows_reused = 0
        self.calls_sent = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost_usd = 0.0
        self.saved_usd = 0.0  # what reused answers cost once
        self.calls_unpriced = 0
        self.budgets_reached: set[str] = set()
        self.waits = Waits()
        self._hear: dict[type, Callable[[Any], None]] = {
            RowCompleted: self._row,
            CallRecorded: self._call,
            CallSent: self._sent,
            CallReused: self._reused,
            CallWaiting: self._waiting,
            CallFailed: self._failed,
            BudgetReached: self._budget,
            JobStarted: self._started,
            JobFinished: self._finished,
            JobBroken: self._broken,
        }
        self.wants = frozenset(self._hear)

    def __call__(self, event: Event) -> None:
        if (hear := self._hear.get(type(event))) is not None:
            hear(event)

    @property
    def percent(self) -> float | None:
        """Rows done of all rows of the jobs that started, 0 to 100; None where a size is not known."""
        if not self.size_known:
            return None
        return 100.0 * self.rows_done / self.rows_expected if self.rows_expected else 0.0

    def _started(self, event: JobStarted) -> None:
        self.jobs_started += 1
        if event.rows is None:
            self.size_known = False
        else:
            self.rows_expected += event.rows

    def _row(self, event: RowCompleted) -> None:
        self.rows_done += 1
        if event.status != "succeeded":
            self.rows_failed += 1
        elif event.reused:
            self.rows_reused += 1

    def _sent(self, event: CallSent) -> None:
        self.calls_sent += 1
        self.waits.end(event.call_hash)

    def _waiting(self, event: CallWaiting) -> None:
        self.waits.begin(event.call_hash, event.job_hash, event.model, event.reason)

    def _failed(self, event: CallFailed) -> None:
        if event.retry_in_s is not None:
            self.waits.begin(event.call_hash, event.job_hash, event.model, "retry")

    def _reused(self, event: CallReused) -> None:
        self.saved_usd += event.saved_usd or 0.0
        self.waits.end(event.call_hash)

    def _budget(self, event: BudgetReached) -> None:
        self.budgets_reached.add(event.key)

    def _finished(self, event: JobFinished) -> None:
        self.jobs_finished += 1
        self.waits.end_job(event.job_hash)

    def _broken(self, event: JobBroken) -> None:
        self.jobs_finished += 1
        self.waits.end_job(event.job_hash)

    def _call(self, event: CallRecorded) -> None:
        self.waits.end(event.call_hash)
        self.prompt_tokens += event.prompt_tokens or 0
        self.completion_tokens += event.completion_tokens or 0
        if event.cost_usd is not None:
            self.cost_usd += event.cost_usd
        elif event.prompt_tokens is not None:
            self.calls_unpriced += 1
