"""How far the jobs of this process have come, counted from the engine's events. Shows nothing: doors do.

A `Progress` is a listener. It is told from the loop's thread and read from others; each number is whole by itself.
"""

from __future__ import annotations

from llm_jobs.events import CallRecorded, CallSent, Event, JobFinished, JobStarted, RowCompleted


class Progress:
    """Counts of rows, calls, tokens and cost since it was made. Jobs that were finished before are not among them."""

    wants = frozenset({CallRecorded, CallSent, JobFinished, JobStarted, RowCompleted})

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
        self.calls_unpriced = 0

    def __call__(self, event: Event) -> None:
        kind = type(event)
        if kind is RowCompleted:
            self._row(event)  # type: ignore[arg-type]
        elif kind is CallRecorded:
            self._call(event)  # type: ignore[arg-type]
        elif kind is CallSent:
            self.calls_sent += 1
        elif kind is JobStarted:
            self._started(event)  # type: ignore[arg-type]
        elif kind is JobFinished:
            self.jobs_finished += 1

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

    def _call(self, event: CallRecorded) -> None:
        self.prompt_tokens += event.prompt_tokens or 0
        self.completion_tokens += event.completion_tokens or 0
        if event.cost_usd is not None:
            self.cost_usd += event.cost_usd
        elif event.prompt_tokens is not None:
            self.calls_unpriced += 1
