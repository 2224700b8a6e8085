"""A document that names several jobs and their order: `pipeline: {name, jobs: [NAME, … | {id, name, depends_on}]}`.

A bare name comes after the entry before it; an entry with an id comes after those that its `depends_on` lists. What the
names mean is found when the pipeline is submitted, and each job is read when it is due: it may read what another wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.graphs import cycle_of
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.documents.triggers import Names
from llm_jobs.documents.validation import did_you_mean, raise_if_any, validate

KEY = "pipeline"
_Text = Annotated[str, Field(min_length=1, max_length=200)]


def _entries(value: Any) -> Any:
    """A bare name as an entry that comes after the one before it."""
    if not isinstance(value, list):
        return value
    found: list[Any] = []
    for item in value:
        before = found[-1] if found and isinstance(found[-1], dict) else {}
        after = [before.get("id", before.get("name"))] if before else []
        found.append({"name": item, "depends_on": after} if isinstance(item, str) else item)
    return found


class EntryModel(Model):
    name: _Text
    id: _Text | None = None
    depends_on: Names = Field(default_factory=list)


class PipelineModel(Model):
    name: _Text | None = None
    jobs: Annotated[list[EntryModel], BeforeValidator(_entries), Field(min_length=1)]


class PipelineDocument(Model):
    pipeline: PipelineModel


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineJob:
    """A job of a pipeline: its id there, the name of its document, and the ids that come before it."""

    id: str
    name: str
    needs: tuple[str, ...]
    at: KeyPath = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedPipeline:
    """The jobs in the order of the document, of which the graph of `needs` has no cycle."""

    name: str
    jobs: tuple[PipelineJob, ...]
    source: Source = field(compare=False, repr=False)


def is_pipeline(source: Source) -> bool:
    return isinstance(source.value, dict) and KEY in source.value and "job" not in source.value


def parse(source: Source) -> ParsedPipeline:
    """The pipeline. Raises DocumentError with every problem found."""
    document, problems = validate(PipelineDocument, source, source.value)
    raise_if_any(problems)
    assert document is not None
    checks = Checks(source)
    jobs = tuple(_job(entry, index) for index, entry in enumerate(document.pipeline.jobs))
    _check_ids(jobs, checks)
    raise_if_any(checks.problems)
    _check_cycles(jobs, checks)
    raise_if_any(checks.problems)
    return ParsedPipeline(name=document.pipeline.name or PurePath(source.file).stem, jobs=jobs, source=source)


def _job(entry: EntryModel, index: int) -> PipelineJob:
    needs = tuple(dict.fromkeys(entry.depends_on))
    return PipelineJob(id=entry.id or entry.name, name=entry.name, needs=needs, at=(KEY, "jobs", index))


def _check_ids(jobs: Sequence[PipelineJob], checks: Checks) -> None:
    known = [job.id for job in jobs]
    for index, job in enumerate(jobs):
        if job.id in known[:index]:
            checks.refuse(
                job.at,
                f"a second job has the id {job.id!r}",
                rule="each job of a pipeline has an id of its own; without one, its name is its id",
                remedy="write `id:` beside the name",
            )
        for number, need in enumerate(job.needs):
            if need not in known:
                checks.refuse(
                    (*job.at, "depends_on", number),
                    f"no job of the pipeline has the id {need!r}",
                    rule=f"known here: {', '.join(known)}",
                    remedy=did_you_mean(need, known, otherwise="write one of these, or add the job"),
                )


def _check_cycles(jobs: Sequence[PipelineJob], checks: Checks) -> None:
    needs = {job.id: job.needs for job in jobs}
    if path := cycle_of(needs):
        at = next(job.at for job in jobs if job.id == path[0])
        checks.refuse(
            (*at, "depends_on"),
            f"the jobs wait for each other: {' → '.join(path)}",
            rule="a job comes after others, and never after itself",
            remedy="remove one of these dependencies",
        )
