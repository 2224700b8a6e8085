"""A job's newest result as reports and comparisons take it: which of its columns are the table's, which are answers."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.steps import GroupStep, SplitStep, SweepStep
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import ResultRecord, Submission
from llm_jobs.operations.services import Services
from llm_jobs.operations.step_rows import kept_tables
from llm_jobs.results import columns
from llm_jobs.results.row_columns import row_fields
from llm_jobs.results.single import read_result
from llm_jobs.results.survey import Survey, survey


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """The newest result of a job. `inputs` and `answers` are its columns but for the facts, in their order."""

    submission: Submission
    record: ResultRecord
    inputs: tuple[str, ...]
    answers: tuple[str, ...]


def sheet_of(services: Services, submission: Submission) -> Sheet:
    """The newest result of a job. Raises NotFound where it has none."""
    records = services.ledger.results([submission.job_hash]).get(submission.job_hash, ())
    if not records:
        raise NotFound(
            f"job {submission.job_hash} ({submission.name}) has no result yet; run it: llm-jobs run "
            f"{submission.job_hash[:12]}"
        )
    return _sheet(submission, records[0], read_result(services.store, records[0].path).schema.names)


def cost_usd(services: Services, sheet: Sheet, found: Survey) -> float | None:
    """What a result cost with the tables that it was made of; None where nothing of it is known. `found`: in its last
    table."""
    surveys = [found]
    for table in kept_tables(sheet.record):
        with suppress(NotFound):  # `verify` tells that
            surveys.append(survey(services.store, table.path))
    known = [total for each in surveys if (total := each.total(columns.COST_USD)) is not None]
    return sum(known) if known else None


def _sheet(submission: Submission, record: ResultRecord, names: Sequence[str]) -> Sheet:
    outputs = _answers(job_from_json(submission.job))
    own = [name for name in names if not name.startswith(columns.PREFIX)]
    return Sheet(
        submission=submission,
        record=record,
        inputs=tuple(name for name in own if name not in outputs),
        answers=tuple(name for name in own if name in outputs),
    )


def _answers(job: Job) -> set[str]:
    """The columns that steps compute, and what groups sum up. What a group, a split or a sweep goes by is no answer."""
    found: set[str] = set()
    for step in job.graph or job.steps:
        if isinstance(step, GroupStep):
            found |= set(step.aggregate)
        elif not isinstance(step, SplitStep | SweepStep):
            found |= {field.name for field in row_fields([step])}
    return found
