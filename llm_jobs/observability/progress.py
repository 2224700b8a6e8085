"""How far the jobs of this process have come, counted from the engine's events. Shows nothing: doors do.

A `Progress` is a listener. It is told from the loop's thread and read from others; each number is whole by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
    TableRowCompleted,
    TableStarted,
)
from llm_jobs.observability.waits import Waits

NO_FAILURE = ("succeeded", "dropped")  # a filter left the row out


@dataclass(slots=True)
class _Rows:
    """Of one job under way: rows that were seen done, and those that are known to come, over all of its tables."""

    expected: int
    table: int
    tables: int
    done: int = 0


class Progress:
    """Counts of rows, calls, tokens and cost since it was made. Jobs that were finished before are not among them."""

    def __init__(self) -> None:
        self.jobs_started = 0
        self.jobs_finished = 0
        self.rows_expected = 0
        self.rows_done = 0
        self.rows_failed = 0
        self.rows_reused = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost_usd = 0.0
        self.saved_usd = 0.0  # what others paid for the answers reused
        self.calls_unpriced = 0
        self.budgets_reached: set[str] = set()
        self.waits = Waits()
        self._under_way: dict[str, _Rows] = {}
        self._unsized: set[str] = set()  # jobs with a table whose rows nobody knows yet
        self._hear: dict[type, Callable[[Any], None]] = {
            RowCompleted: self._row,
            TableRowCompleted: self._row,
            TableStarted: self._next_table,
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
    def size_known(self) -> bool:
        """Is it known of every job that started how many rows it has, those of all of its tables?"""
        return not self._unsized

    @property
    def table(self) -> tuple[int, int] | None:
        """Which of how many tables the only job under way is in; None where it has one, or there are several jobs."""
        jobs = list(self._under_way.values())
        return (jobs[0].table, jobs[0].tables) if len(jobs) == 1 and jobs[0].tables > 1 else None

    @property
    def percent(self) -> float | None:
        """Rows done of all rows of the jobs that started, those of all tables, 0 to 100; None where a size is not
        known."""
        if not self.size_known:
            return None
        return min(100.0, 100.0 * self.rows_done / self.rows_expected) if self.rows_expected else 0.0

    def _started(self, event: JobStarted) -> None:
        self.jobs_started += 1
        self._under_way[event.job_hash] = _Rows(expected=0, table=1, tables=event.tables)
        self._expect(event.job_hash, event.rows, is_last=event.tables == 1)

    def _next_table(self, event: TableStarted) -> None:
        job = self._under_way.setdefault(event.job_hash, _Rows(expected=0, table=1, tables=event.tables))
        job.table = event.table
        self._expect(event.job_hash, event.rows, is_last=event.table == event.tables)

    def _expect(self, job_hash: str, rows: int | None, *, is_last: bool) -> None:
        """A table begins: those before it are done."""
        job = self._under_way[job_hash]
        self.rows_expected += job.done + (rows or 0) - job.expected
        job.expected = job.done + (rows or 0)
        if is_last and rows is not None:
            self._unsized.discard(job_hash)
        else:
            self._unsized.add(job_hash)

    def _ended(self, job_hash: str) -> None:
        """A job has as many rows as were done."""
        self.jobs_finished += 1
        self.waits.end_job(job_hash)
        self._unsized.discard(job_hash)
        if (job := self._under_way.pop(job_hash, None)) is not None and job.tables > 1:
            self.rows_expected += job.done - job.expected

    def _row(self, event: RowCompleted | TableRowCompleted) -> None:
        self.rows_done += 1
        if (job := self._under_way.get(event.job_hash)) is not None:
            job.done += 1
        if event.status not in NO_FAILURE:
            self.rows_failed += 1
        elif event.reused:
            self.rows_reused += 1

    def _sent(self, event: CallSent) -> None:
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
        self._ended(event.job_hash)

    def _broken(self, event: JobBroken) -> None:
        self._ended(event.job_hash)

    def _call(self, event: CallRecorded) -> None:
        self.waits.end(event.call_hash)
        self.prompt_tokens += event.prompt_tokens or 0
        self.completion_tokens += event.completion_tokens or 0
        if event.cost_usd is not None:
            self.cost_usd += event.cost_usd
        elif event.prompt_tokens is not None:
            self.calls_unpriced += 1
