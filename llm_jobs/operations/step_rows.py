"""The tables that a run left beside its result, by step, and what became of the rows of each step in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from llm_jobs.documents.job import Job
from llm_jobs.documents.steps import CompoundStep, RowStep
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import ResultRecord
from llm_jobs.operations.services import Services
from llm_jobs.operations.staged import column_names
from llm_jobs.pipelines.stages import Stage, stages_of
from llm_jobs.results.unanswered import column_types, unanswered_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRows:
    """Of one step: the rows of its table, those of them that it has no answer for, the table's path, and its columns
    with their Arrow types."""

    rows: int
    unanswered: int
    path: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptTable:
    """A table beside a result, named by the last of its steps, with the digest that was recorded of it."""

    step: str
    path: str
    sha256: str
    rows: int


def kept_tables(record: ResultRecord) -> list[KeptTable]:
    """The tables beside a result, in the order in which they were made."""
    listed = record.facts.get("tables")
    return [KeptTable(**table) for table in listed] if isinstance(listed, list) else []


def step_table(job: Job, record: ResultRecord, step: str) -> str:
    """The path of the table that holds what `step` made of its rows: the result itself, or one beside it. Raises
    NotFound."""
    stages = stages_of(job.graph or job.steps)
    named = {name: number for number, stage in enumerate(stages) for name in _names(stage)}
    if step not in named:
        hint = did_you_mean(step, list(named), otherwise="name another")
        raise NotFound(f"job {job.hash} ({job.name}) has no step {step!r}: {hint}; its steps: {', '.join(named)}")
    number = named[step]
    table = _table(record, stages[number], is_last=number == len(stages) - 1)
    if table is None:
        raise NotFound(f"no table of step {step} was kept: another step makes its rows anew before anything is asked")
    return table[0]


def _names(stage: Stage) -> Iterator[str]:
    """The steps of a table: the one that makes its rows, and those over them, within others too."""
    if stage.made_by is not None:
        yield stage.made_by.name
    yield from _within(stage.steps)


def _within(steps: Iterable[RowStep]) -> Iterator[str]:
    for step in steps:
        yield step.name
        if isinstance(step, CompoundStep):
            yield from _within(step.steps)


def step_rows(services: Services, job: Job) -> dict[str, StepRows]:
    """By step of the outermost level, in the newest result of `job`; empty where it has none."""
    records = services.ledger.results([job.hash]).get(job.hash, ())
    if not records:
        return {}
    stages = stages_of(job.graph or job.steps)
    found: dict[str, StepRows] = {}
    for number, stage in enumerate(stages):
        table = _table(records[0], stage, is_last=number == len(stages) - 1)
        if table is not None:
            found |= _of_stage(services, stage, *table)
    return found


def _table(record: ResultRecord, stage: Stage, *, is_last: bool) -> tuple[str, int] | None:
    """The path and the rows of a stage's table; None where it was not kept, for it has no steps of its own."""
    if is_last:
        return record.path, record.rows
    return next(((table.path, table.rows) for table in kept_tables(record) if table.step == stage.name), None)


def _of_stage(services: Services, stage: Stage, path: str, rows: int) -> dict[str, StepRows]:
    columns = {step.name: column_names(step) for step in stage.steps}
    lacking = unanswered_rows(services.store, path, columns)
    names = [*([stage.made_by.name] if stage.made_by else []), *columns]
    place, types = services.store.locate(path), column_types(services.store, path)
    return {name: StepRows(rows=rows, unanswered=lacking.get(name, 0), path=place, columns=types) for name in names}
