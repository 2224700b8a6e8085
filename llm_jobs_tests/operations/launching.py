"""A house whose clock stands where a test puts it, with documents dropped into its inbox."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from llm_jobs.clock import SetClock
from llm_jobs.events import ignore
from llm_jobs.operations.describe import latest_jobs
from llm_jobs.operations.intake import intake
from llm_jobs.operations.records import IntakeReport, JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import Services, open_services
from llm_jobs.settings import Settings

NOON = "2026-11-20T12:00:00"


def ns(utc: str) -> int:
    return int(datetime.fromisoformat(f"{utc}+00:00").timestamp()) * 1_000_000_000


def document(name: str, *sections: str, text: str = "Name a colour.") -> str:
    """A job of one prompt that the simulated provider answers."""
    lines = ["job:", f"  name: {name}", "  model: simulated", *(f"  {section}" for section in sections)]
    return "\n".join([*lines, f"  prompts: [{{name: answer, text: '{text}'}}]", ""])


@dataclass(slots=True)
class House:
    """Open services over a home folder; `reopened` is the same after a restart."""

    services: Services
    clock: SetClock

    @property
    def home(self) -> Path:
        return self.services.settings.home

    def drop(self, name: str, text: str) -> IntakeReport:
        path = self.services.settings.inbox / name
        path.write_text(text)
        os.utime(path, ns=(0, 0))
        return intake(self.services, budget_s=60)

    def keep(self, folder: str, name: str, text: str) -> Path:
        path = self.home / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(0, 0))
        return path

    def run(self, *job_hashes: str) -> list[JobReport]:
        return list(run_jobs(self.services, job_hashes, listener=ignore))

    def statuses(self) -> dict[str, tuple[str, str | None]]:
        """By name, oldest first: what `llm-jobs status` shows."""
        return {line.name: (line.status, line.waits_for) for line in reversed(latest_jobs(self.services))}


@contextmanager
def opened(folder: Path, *, utc: str = NOON, **environment: str) -> Iterator[House]:
    """A house below `folder`, as of `utc`; opened again, it is what a restart finds."""
    stated = {"LLM_JOBS_HOME": str(folder / "home"), **environment}
    settings = Settings.from_environment(stated, working_directory=folder)
    clock = SetClock(ns(utc))
    with open_services(settings, environment=stated, working_directory=folder) as services:
        yield House(services=replace(services, clock=clock), clock=clock)
