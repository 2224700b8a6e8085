"""The resources that a run or a sensor opens in its own process, and closes at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llm_jobs.events import Listener, ignore
from llm_jobs.operations.records import JobReport
from llm_jobs.orchestration.pools import Pools
from llm_jobs.orchestration.use_cases import UseCases


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


def in_process(use_cases: UseCases, audience: Audience) -> dict[str, object]:
    """Resources that are open already, for runs in this process and for tests."""
    return {"use_cases": use_cases, "pools": Pools(sleep=time.sleep), "audience": audience}
