"""What a document would ask, cost and take if it were run now, and what a change of it costs. Spends, records nothing.

Counts are exact where the ledger decides: a call is answered or it is not. A later step's call depends on the answer
before it, so where that is not known its call is counted as unknown and forecast as one that is asked. Tokens, cost and
time are forecasts (`forecasts`), learned from the answers of the same step, of the step before it was changed, or of
nothing but the limits of the requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from llm_jobs.documents.differences import Difference, job_differences
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.engine.calls import Call
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.batches_plan import modes_of
from llm_jobs.operations.counterparts import Counterparts
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.dry_run import Hidden, dry_rows
from llm_jobs.operations.forecasts import NOTHING, Interval
from llm_jobs.operations.inputs import table_told
from llm_jobs.operations.looking_back import ENOUGH, counterparts, learned_before, learned_elsewhere, newest_before
from llm_jobs.operations.named import read_named
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.planned_cost import StepPlan, planned_step, time_s, total
from llm_jobs.operations.planned_counts import CallCounts, Cause, Counted, RowCounts, StepCounts
from llm_jobs.operations.planned_table import planned_table
from llm_jobs.operations.production import concurrency_of
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.walking import walk
from llm_jobs.providers.tokens import worst_input_tokens, worst_output_tokens
from llm_jobs.sources.tables import Table

CAUSES: dict[str, Cause] = {"calls": "fields", "rows": "rows", "samples": "samples"}  # by the effect of a difference


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldCost:
    """A member that differs from the job before, and what asking because of it costs. Where several members of the
    same steps differ, they cost this together."""

    difference: Difference
    calls: int
    cost_usd: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """The job that a plan is compared with."""

    job_hash: str
    name: str
    submitted_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobPlan:
    """What running a job would come to. Costs are None where a price is unknown, `seconds` where nothing tells it."""

    job_hash: str
    name: str
    against: Before | None
    rows: RowCounts
    calls: CallCounts
    steps: tuple[StepPlan, ...]
    input_tokens: Interval
    output_tokens: Interval
    cost_usd: Interval | None
    worst_cost_usd: float | None
    saved_usd: float | None  # what the answers that are reused cost when they were bought
    seconds: float | None
    bounded_by: str | None  # what the time is made of, in words
    changes: tuple[FieldCost, ...]
    table: str | None = None  # see `inputs.table_told`


def plan_named(
    services: Services, named: str, overrides: Overrides = NO_OVERRIDES, *, against: str | None = None
) -> list[JobPlan]:
    """The plan of each job that a user names. Raises DocumentError or NotFound."""
    found = read_named(services, named, overrides)
    document_name = found.document.name if found.document else None
    chosen = find_job(services, against) if against is not None else None
    return [
        plan_job(services, job, document=found.path, before=chosen or newest_before(services, job, document_name))
        for job in found.jobs
    ]


def plan_job(services: Services, job: Job, *, document: Path | None, before: Submission | None) -> JobPlan:
    """The plan of one job. `document`: the file that it was read from. Raises DocumentError where the table is none."""
    old = job_from_json(before.job) if before is not None and before.job else None
    differences = () if old is None else job_differences(old, job)
    counted = Counted(
        job.steps,
        same_questions=not any(each.effect == "calls" for each in differences),
        worst_case=partial(_worst_cost_usd, services),
    )
    known = _walk(services, job, document, before, old, counted)
    if before is not None and old is not None and old.hash != job.hash:
        _learn_before(services, before, old, job, differences, counted)
    for part in counted.parts():
        if part.asked.calls and not part.learned.samples:
            part.learned = learned_elsewhere(services, job, part.step, part.model) or part.learned
    counted.size_unknown(prepared_steps(services, job))
    return _plan(services, job, before, counted, known, differences)


def _walk(
    services: Services, job: Job, document: Path | None, before: Submission | None, old: Job | None, counted: Counted
) -> Counterparts | None:
    with planned_table(services, job, document=document) as table:
        known = None if before is None or old is None else counterparts(services, before, old, table.schema.names)
        samples_before = job.sample if old is None else old.sample
        if job.graph:
            _see_graph(services, job, table, known, samples_before, counted)
            return known
        rows = enumerate(chain.from_iterable(table.batches()))
        for row in walk(services.ledger, prepared_steps(services, job), rows, samples=job.sample):
            counted.see(row, known, more_samples=row.sample >= samples_before)
    return known


def _see_graph(
    services: Services, job: Job, table: Table, known: Counterparts | None, samples_before: int, counted: Counted
) -> None:
    first: int | None = None
    cause = counted.cause_of_made(known)
    if known is not None:
        known.find(chain.from_iterable(table.batches()))  # a filter may drop rows, which are there all the same
    for batch in dry_rows(services, job, table, prepared_steps(services, job)):
        for each in batch:
            if isinstance(each, Hidden):
                counted.hide(each.steps, each.rows, each.example, cause)
                continue
            first = each.table if first is None else first
            if each.table == first:
                counted.see(each.walked, known, more_samples=each.walked.sample >= samples_before)
            else:
                counted.see_made(each.walked, cause)


def _learn_before(
    services: Services, before: Submission, old: Job, job: Job, differences: Sequence[Difference], counted: Counted
) -> None:
    """Where a step has few answers of its own, those of its counterpart teach what it will use."""
    few = [part for part in counted.parts() if part.asked.calls and len(part.learned.samples) < ENOUGH]
    found = learned_before(services, before, old, job, differences) if few else []
    for part in few:
        learned = found[part.step]
        part.learned = part.learned if learned is None else learned


def _plan(
    services: Services,
    job: Job,
    before: Submission | None,
    counted: Counted,
    known: Counterparts | None,
    differences: Sequence[Difference],
) -> JobPlan:
    parts, modes = counted.parts(), modes_of(services, job)
    steps = tuple(planned_step(services, job, part, modes[job.steps[part.step].name]) for part in parts)
    seconds, bounded_by = time_s(services, steps, max(1, concurrency_of(job)))
    unpriced = sum(part.unpriced for part in parts)
    worst = [step.worst_cost_usd for step in steps]
    return JobPlan(
        job_hash=job.hash,
        name=job.name,
        against=None if before is None else _before(before),
        rows=counted.rows(known),
        calls=counted.calls(),
        steps=steps,
        input_tokens=sum((step.input_tokens for step in steps), NOTHING),
        output_tokens=sum((step.output_tokens for step in steps), NOTHING),
        cost_usd=total([step.cost_usd for step in steps]),
        worst_cost_usd=None if None in worst else sum(cost or 0.0 for cost in worst),
        saved_usd=None if unpriced else sum(part.saved_usd for part in parts),
        seconds=seconds,
        bounded_by=bounded_by,
        changes=tuple(_field_cost(each, parts, steps) for each in differences),
        table=table_told(services, job),
    )


def _before(submission: Submission) -> Before:
    return Before(job_hash=submission.job_hash, name=submission.name, submitted_ns=submission.submitted_ns or 0)


def _field_cost(difference: Difference, parts: Sequence[StepCounts], steps: Sequence[StepPlan]) -> FieldCost:
    """The calls that are asked for this cause, in the step and in those after it, which read its answers."""
    cause = CAUSES.get(difference.effect)
    if cause is None:
        return FieldCost(difference=difference, calls=0, cost_usd=NOTHING)
    calls, costs = 0, []
    for part, step in zip(parts, steps, strict=True):
        if part.step >= (difference.step or 0) and (due := part.causes.get(cause, 0)):
            calls += due
            costs.append(None if step.cost_usd is None else step.cost_usd.times(due / step.calls))
    return FieldCost(difference=difference, calls=calls, cost_usd=total(costs))


def _worst_cost_usd(services: Services, call: Call, request_bytes: int) -> float | None:
    request = call.request
    entry = services.catalogue.resolve(request.model.name, bare_provider=request.model.provider)
    return services.pricing.worst_cost_usd(
        request.model,
        worst_input_tokens(request.body, payload_bytes=request_bytes),
        worst_output_tokens(request.body, entry, path=request.endpoint.path),
    )
