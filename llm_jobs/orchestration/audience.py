"""Who is told of a run while it goes on, beside Dagster itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llm_jobs.events import Listener, ignore
from llm_jobs.operations.records import JobReport


def hear_nothing(report: JobReport) -> None:
    """The hearer of runs that nobody watches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audience:
    """Who is told of a run while it goes on: the command line in the foreground, nobody in the background."""

    listener: Listener = ignore
    hear: Callable[[JobReport], None] = hear_nothing

    def told(self, reports: Iterator[JobReport]) -> Iterator[JobReport]:
        """`reports`, each told to the audience first."""
        for report in reports:
            self.hear(report)
            yield report
