"""The graphs of what a user names: of each job of a document, or of a script that builds one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llm_jobs.operations.named import read_named
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.services import Services
from llm_jobs.pipelines.builder import Builder
from llm_jobs.pipelines.written import written_job


def graphs_of(
    services: Services, named: str, overrides: Overrides = NO_OVERRIDES, *, script: Path | None = None
) -> Iterator[Builder]:
    """The graph of each job that `named` means; `script`: of that script instead. Raises DocumentError, NotFound."""
    if script is not None:
        yield Builder.from_python(script, tasks=services.tasks)
        return
    for job in read_named(services, named, overrides).jobs:
        yield Builder.from_job({"job": written_job(job)}, tasks=services.tasks)
