"""What became of the rows of each step of a job, found in the tables that the run left."""

from __future__ import annotations

from dataclasses import dataclass

from llm_jobs.documents.job import Job
from llm_jobs.ledger.base import ResultRecord
from llm_jobs.operations.services import Services
from llm_jobs.operations.staged import column_names
from llm_jobs.pipelines.stages import Stage, stages_of
from llm_jobs.results.unanswered import unanswered_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRows:
    """Of one step: the rows of its table, those of them that it has no answer for, and the table's path."""

    rows: int
    unanswered: int
    path: str


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
    tables = record.facts.get("tables")
    for table in tables if isinstance(tables, list) else ():
        if table["step"] == stage.name:
            return str(table["path"]), int(table["rows"])
    return None


def _of_stage(services: Services, stage: Stage, path: str, rows: int) -> dict[str, StepRows]:
    columns = {step.name: column_names(step) for step in stage.steps}
    lacking = unanswered_rows(services.store, path, columns)
    names = [*([stage.made_by.name] if stage.made_by else []), *columns]
    place = services.store.locate(path)
    return {name: StepRows(rows=rows, unanswered=lacking.get(name, 0), path=place) for name in names}
