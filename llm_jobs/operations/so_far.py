"""What a job under way has answered up to now, from its table and the ledger: nothing is asked.

Every row is walked through the steps as a run would (`walking`); one whose last step is answered is a row of the result
to be. Rows that failed are not among them: they may still be asked again. Nothing is written but the frozen
copy of the table, where the job has not begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.engine.calls import Settled
from llm_jobs.engine.following import prepare
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.health import Health
from llm_jobs.engine.steps import Means, PreparedStep
from llm_jobs.engine.stream import OpenRow
from llm_jobs.ledger.base import Answer, Submission
from llm_jobs.operations.completed import completed_row
from llm_jobs.operations.dry_run import DryRow, dry_rows
from llm_jobs.operations.images import find_image, image_finder
from llm_jobs.operations.paid import Paid
from llm_jobs.operations.recency import readable
from llm_jobs.operations.services import Services
from llm_jobs.operations.tables import job_table
from llm_jobs.operations.walking import WalkedRow, walk
from llm_jobs.pipelines.naming import last_table
from llm_jobs.pipelines.stages import stages_of
from llm_jobs.providers.base import Provider
from llm_jobs.results.columns import result_schema
from llm_jobs.results.single import batches_of
from llm_jobs.sources.tables import Table

LOOKED_UP_AT_ONCE = 512

Batches = Any  # a pyarrow.RecordBatchReader, which only the rooms of tables may name


def answered_so_far(services: Services, submission: Submission) -> Batches:
    """The answered rows of a job in input order, as record batches under the schema of its result. Streams."""
    job = job_from_json(submission.job)
    table = job_table(services, submission, job, epoch_ns=services.clock.now_ns())
    if job.graph:
        return _graph_so_far(services, job, table)
    steps = prepared_steps(services, job)
    outputs = [field for step in steps for field in step.outputs.fields]
    paid = Paid.of(services.ledger.paid(job.hash))
    epoch_ns, model = services.clock.now_ns(), job.steps[-1].model.name
    rows = (
        [_completed(row, paid, model_asked=model, epoch_ns=epoch_ns) for row in batch if row.status == "succeeded"]
        for batch in _looked_up(services, job, table, steps)
    )
    return batches_of(rows, result_schema(table.schema, outputs, sample=job.sample > 1))


def _graph_so_far(services: Services, job: Job, table: Table) -> Batches:
    """Rows of its last table, as far as everything that they are made of is answered."""
    paid = Paid.of(services.ledger.paid(job.hash))
    last, epoch_ns = len(stages_of(job.graph)) - 1, services.clock.now_ns()
    rows = (
        [
            _completed(each.row, paid, model_asked=None, epoch_ns=epoch_ns)
            for each in batch
            if isinstance(each, DryRow) and each.table == last and each.row.status == "succeeded"
        ]
        for batch in dry_rows(services, job, table, prepared_steps(services, job))
    )
    fields, outputs = last_table(job.graph, table.schema)
    return batches_of(rows, result_schema(fields, outputs, sample=job.sample > 1))


def _completed(row: OpenRow, paid: Paid, *, model_asked: str | None, epoch_ns: int) -> dict[str, object]:
    settled, more_usd = paid.told(row.settled)
    return completed_row(row, settled, model_asked=model_asked, epoch_ns=epoch_ns, more_usd=more_usd)


def is_answered(services: Services, submission: Submission) -> bool:
    """Is every row of the job answered in the ledger? Looks no further than the first batch with one that is not."""
    job = job_from_json(submission.job)
    table = job_table(services, submission, job, epoch_ns=services.clock.now_ns())
    if job.graph:
        dry = chain.from_iterable(dry_rows(services, job, table, prepared_steps(services, job)))
        return all(isinstance(each, DryRow) and each.row.status == "succeeded" for each in dry)
    batches = _looked_up(services, job, table, prepared_steps(services, job))
    return all(row.status == "succeeded" for batch in batches for row in batch)


def prepared_steps(services: Services, job: Job) -> list[PreparedStep]:
    """The job's steps, ready to make calls and to read answers; none can be sent."""
    providers: dict[str, Provider] = {}
    images = find_image(image_finder(services, job))

    def means(model: ModelRef) -> Means:
        if model.provider not in providers:
            providers[model.provider] = services.open_provider(model.provider)
        return Means(
            provider=providers[model.provider],
            gate=ModelGate(),
            price=lambda usage: None,
            weight=partial(services.weight, model),
            find_image=images,
        )

    since = readable(services, job)
    return [prepare(step, job, means, health=Health(), now=lambda: 0.0, since=since(step.name)) for step in job.steps]


def _looked_up(services: Services, job: Job, table: Table, steps: Sequence[PreparedStep]) -> Iterator[list[OpenRow]]:
    """Every row, taken as far through the steps as the ledger has answers."""
    rows = enumerate(chain.from_iterable(table.batches(batch_rows=LOOKED_UP_AT_ONCE)))
    walked = walk(services.ledger, steps, rows, samples=job.sample)
    while batch := list(islice(walked, LOOKED_UP_AT_ONCE)):
        yield [_open_row(row) for row in batch]


def _open_row(walked: WalkedRow) -> OpenRow:
    row = OpenRow(values=walked.values, sample=walked.sample)
    for visit in walked.visits:
        row.model, row.model_reason = visit.call.request.model.name, visit.reason
        if visit.answer is not None:
            row.settled.append(_settled(visit.call.call_hash, visit.answer))
    if walked.is_answered:
        row.status = "succeeded"
    return row


def _settled(call_hash: str, answer: Answer) -> Settled:
    return Settled(
        call_hash=call_hash,
        facts=answer.facts,
        reply=None,
        reused=True,
        attempts=0,
        answered_ns=answer.recorded_ns,
    )
