"""The job that a plan is compared with: which rows it had, and what its answers used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from llm_jobs.documents.differences import Difference, paired_steps
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import PromptStep, Step
from llm_jobs.errors import LlmJobsError
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.counterparts import Counterparts
from llm_jobs.operations.dry_run import DryRow, dry_rows
from llm_jobs.operations.forecasts import Basis, Learned
from llm_jobs.operations.inputs import ASKED_OF_SERVERS, is_frozen
from llm_jobs.operations.planned_counts import learn
from llm_jobs.operations.planned_table import planned_table
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.tables import with_document
from llm_jobs.operations.walking import walk
from llm_jobs.sources.tables import Table

LEARNED_ROWS = 2_048
ENOUGH = 32  # answers of the step as it is, beside which those of before need not be asked
JOBS_LOOKED_AT = 8
LEARNED_ELSEWHERE = 256


def newest_before(services: Services, job: Job, document_name: str | None) -> Submission | None:
    """The newest job that was submitted from a document of this name; of several, one that asks the same models."""
    if document_name is None:
        return next(iter(services.ledger.submissions(job_hash=job.hash)), None)
    listed = services.ledger.submissions(document_name=document_name, bodies=False)
    newest: Submission | None = None
    for job_hash in list(dict.fromkeys(each.job_hash for each in listed))[:JOBS_LOOKED_AT]:
        submission = services.ledger.submissions(job_hash=job_hash)[0]
        if not submission.job:
            continue  # erased
        newest = newest or submission
        if _models(job_from_json(submission.job)) == _models(job):
            return submission
    return newest


def _models(job: Job) -> list[str]:
    return [step.model.upstream for step in job.steps]


@contextmanager
def table_before(services: Services, before: Submission, old: Job) -> Iterator[Table | None]:
    """Its table; None where it is gone: it was never run, and its file is another by now, or it was never kept."""
    if old.input.kind in ASKED_OF_SERVERS and not is_frozen(services, old):
        yield None
        return
    try:
        url = with_document(services, before, old.input).url if old.input.kind == "batch" else None
        opened = planned_table(services, old, document=Path(url) if url else None)
        table = opened.__enter__()
    except (LlmJobsError, OSError):
        yield None
        return
    try:
        yield table
    finally:
        opened.__exit__(None, None, None)


def counterparts(services: Services, before: Submission, old: Job, columns: Sequence[str]) -> Counterparts | None:
    """The rows that it had, for a table with `columns`; None where its table is gone."""
    with table_before(services, before, old) as table:
        if table is None:
            return None
        return Counterparts(chain.from_iterable(table.batches()), columns)


def learned_before(
    services: Services, before: Submission, old: Job, new: Job, differences: Sequence[Difference]
) -> list[Learned | None]:
    """What the answers of the counterpart of each step of `new` used, from some two thousand rows spread evenly."""
    learned = _learned(services, before, old, LEARNED_ROWS)
    found: list[Learned | None] = []
    for index, pair in enumerate(paired_steps(old, new)):
        if pair is None or not learned[pair].samples:
            found.append(None)
            continue
        learned[pair].basis = _basis(old, new, pair, index, differences)
        found.append(learned[pair])
    return found


def _learned(services: Services, before: Submission, old: Job, most_rows: int) -> list[Learned]:
    """What the answers of each step of a job used."""
    learned = [Learned() for _ in old.steps]
    with table_before(services, before, old) as table:
        if table is None:
            return learned
        if old.graph:
            for each in chain.from_iterable(dry_rows(services, old, table, prepared_steps(services, old))):
                for visit in each.walked.visits if isinstance(each, DryRow) else ():
                    if visit.answer is not None:
                        learn(learned[visit.step], visit)
            return learned
        stride = max(1, table.rows // most_rows)
        rows = (each for each in enumerate(chain.from_iterable(table.batches())) if each[0] % stride == 0)
        for row in walk(services.ledger, prepared_steps(services, old), rows, samples=old.sample):
            for visit in row.visits:
                if visit.answer is not None:
                    learn(learned[visit.step], visit)
    return learned


def learned_elsewhere(services: Services, job: Job, index: int, model: ModelRef) -> Learned | None:
    """What answers of a model used in the latest jobs of any document: to the same prompt where it was asked before;
    else only of its input, for other prompts have answers of other lengths."""
    step, others = job.steps[index], []
    for listed in services.ledger.latest_jobs(JOBS_LOOKED_AT):
        submission = services.ledger.submissions(job_hash=listed.job_hash)[0]
        old = job_from_json(submission.job) if submission.job and listed.job_hash != job.hash else None
        for place, other in enumerate(old.steps if old is not None else ()):
            if old is None or other.model.upstream != model.upstream:
                continue
            if _question(other) == _question(step):
                learned = _learned(services, submission, old, LEARNED_ELSEWHERE)[place]
                if learned.samples:
                    learned.basis = "family"
                    return learned
            others.append((submission, old, place))
    for submission, old, place in others:
        learned = _learned(services, submission, old, LEARNED_ELSEWHERE)[place]
        if learned.samples:
            learned.basis = "input"
            return learned
    return None


def _question(step: Step) -> object:
    return (step.messages, step.schema) if isinstance(step, PromptStep) else step.body


def _basis(old: Job, new: Job, pair: int, index: int, differences: Sequence[Difference]) -> Basis:
    if old.steps[pair].model.upstream != new.steps[index].model.upstream:
        return "model"
    # A step reads the answers of those before it: where one of them was changed, it is asked about other texts.
    changed = any(each.effect == "calls" and (each.step or 0) <= index for each in differences)
    return "family" if changed else "same"
