"""The assets of a document's steps, made by one operation: the steps that are asked for, and what they need.

A part of the steps is a job of its own with the same calls, so what it answered is reused by the whole. A partition is
a job; those of one run are answered together. No annotations from the future here: Dagster reads them.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dagster as dg

from llm_jobs.documents.job import Job
from llm_jobs.operations.accept import read_document, record
from llm_jobs.operations.outlines import Outline, part_of
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.preflight import check_environment
from llm_jobs.operations.recency import run_due
from llm_jobs.operations.services import Services
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.hosted import hosted
from llm_jobs.orchestration.pools import Pools
from llm_jobs.orchestration.slices import Slice, first_slice, slice_of
from llm_jobs.orchestration.step_batches import go_on
from llm_jobs.orchestration.step_outcomes import Outcomes, StepResult
from llm_jobs.orchestration.step_specs import every_row_answered, providers_of_steps

ORIGIN = "dagster"


@dataclass(frozen=True, kw_only=True)
class StepWork:
    """A document and how it is read. `text`: of a document that lies in no file."""

    path: Path
    text: bytes | None = None
    home: Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    input: str | None = None
    profile: str | None = None

    def read(self) -> bytes:
        return self.path.read_bytes() if self.text is None else self.text

    def overrides(self, part: Slice | None) -> Overrides:
        """What is said over the document, for one partition."""
        parameters, table = dict(self.parameters), self.input
        if part is not None:
            parameters, table = part.filled(parameters), part.filled(table)
        if table is not None and "://" not in table:
            table = str(self.path.parent / table)  # beside the document, wherever Dagster runs
        return replace(NO_OVERRIDES, parameters=parameters, input=table, profile=self.profile)

    def submit(self, services: Services, part: Slice | None, steps: Collection[str]) -> Job:
        """The job that makes `steps`, submitted. Raises DocumentError, NotFound or SetupError."""
        beside = self.path if self.text is None else None
        document = read_document(services, self.path, self.overrides(part), text=self.read(), locked_beside=beside)
        job = run_due(services, part_of(document.jobs[0], steps))
        record(services, replace(document, jobs=(job,)), origin=ORIGIN)
        return job


def step_assets(
    outline: Outline,
    specs: Mapping[str, dg.AssetSpec],
    work: StepWork,
    *,
    name: str,
    partitions_def: dg.PartitionsDefinition[Any] | None,
    backfill_policy: dg.BackfillPolicy | None,
    op_tags: Mapping[str, Any],
) -> dg.AssetsDefinition:
    """The assets `specs` (by step). The pool is that of their provider; of several, slots are claimed at run time."""
    providers = providers_of_steps(outline.steps)
    steps = {spec.key: name for name, spec in specs.items()}

    @dg.multi_asset(
        name=f"{name}__steps",
        specs=list(specs.values()),
        check_specs=[every_row_answered(spec) for spec in specs.values()],
        partitions_def=partitions_def,
        backfill_policy=backfill_policy,
        can_subset=True,
        op_tags=op_tags,
        pool=providers[0] if len(providers) == 1 else None,
    )
    def answer_steps(context: dg.AssetExecutionContext) -> Iterator[StepResult]:
        claimed = providers if len(providers) > 1 else []
        go_on(context)
        with hosted(work.home) as (services, listener):
            outcomes = _answered(context, services, listener, work, steps, claimed)
        yield from outcomes.told()

    return answer_steps


def _answered(
    context: dg.AssetExecutionContext,
    services: Services,
    listener: Any,
    work: StepWork,
    steps: Mapping[dg.AssetKey, str],
    claimed: Sequence[str],
) -> Outcomes:
    """Run the jobs of the run's partitions together, deliver what is whole, and keep what became of each."""
    checked = {check.asset_key for check in context.selected_asset_check_keys}  # one may be executed alone
    chosen = {steps[key] for key in context.selected_asset_keys | checked}
    jobs = {part: work.submit(services, part, chosen) for part in parts_of(context)}
    check_environment(services, list(jobs.values()))
    use_cases = BoundUseCases(services=services)
    outcomes = Outcomes(context=context, steps=steps, services=services, jobs=jobs)
    run_id = context.run.run_id
    hashes = list(dict.fromkeys(job.hash for job in jobs.values()))
    reports = closing(use_cases.run_jobs(hashes, listener=listener, run_id=run_id))
    with Pools(sleep=time.sleep).held(context.instance, run_id, names=claimed), reports as told:
        for report in told:
            outcomes.ended(report, use_cases.job_page(report.job_hash) if report.result else None)
    if context.selected_asset_keys == set(steps):
        for job_hash in outcomes.answered():
            outcomes.delivered(use_cases.deliver(job_hash, listener=listener, again=False))
    return outcomes


def parts_of(context: dg.AssetExecutionContext) -> list[Slice | None]:
    """The partitions of the run; one None where the assets have none."""
    if not context.has_partition_key and not context.has_partition_key_range:
        return [None]
    partitions = context.assets_def.partitions_def
    assert partitions is not None
    return [slice_of(partitions, key) for key in context.partition_keys]


def loading_overrides(work: StepWork, partitions_def: dg.PartitionsDefinition[Any] | None) -> Overrides:
    """What is said over the document while it is read for its steps alone."""
    return work.overrides(None if partitions_def is None else first_slice(partitions_def))
