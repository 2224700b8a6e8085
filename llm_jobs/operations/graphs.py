"""The graphs of what a user names: of each job of a document, or of a script that builds one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.errors import NotFound
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
        written = written_job(job, usual=partial(usual_model, services))
        yield Builder.from_job({"job": written}, tasks=services.tasks)


def usual_model(services: Services, name: str) -> ModelRef | None:
    """The model that a name means where a document says no more; None where the catalogue does not know it."""
    try:
        return services.catalogue.resolve(name).model
    except NotFound:
        return None
