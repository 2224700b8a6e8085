"""Jobs of a component that wait for a vendor's batch: their run ends, and a sensor asks for the next one.

A run whose jobs wait is marked with what it waits for. The run that goes on with them says so on the one before, so
that a tick that is cut off loses nothing: until then its key keeps it from being asked for twice. No annotations from
the future: Dagster reads them.
"""

from collections.abc import Sequence, Set
from pathlib import Path

import dagster as dg

from llm_jobs.operations.batches import poll
from llm_jobs.operations.waiting import waiting_jobs
from llm_jobs.orchestration.hosted import unheard
from llm_jobs.orchestration.sensors import COLLECTED_IN_A_TICK, POLL_INTERVAL_S

WAITING_TAG = "llm_jobs/waiting"  # on a run: the operation whose jobs wait
JOBS_TAG = "llm_jobs/waiting_jobs"  # on the same: their hashes
GOES_ON_TAG = "llm_jobs/goes_on_with"  # on the next run: the run before it
OVER = "over"
RUNS_LOOKED_AT = 100
_COPIED_TAGS = ("dagster/partition", "dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


def mark_waiting(context: dg.AssetExecutionContext, job_hashes: Sequence[str]) -> None:
    """Say on the run of `context` that these of its jobs wait."""
    tags = {WAITING_TAG: context.op_execution_context.op.name, JOBS_TAG: ",".join(job_hashes)}
    context.instance.add_run_tags(context.run.run_id, tags)


def go_on(context: dg.AssetExecutionContext) -> None:
    """Say on the run that this one goes on with that it waits no more."""
    before = context.run.tags.get(GOES_ON_TAG)
    if before is not None and context.instance.has_run(before):
        context.instance.add_run_tags(before, {WAITING_TAG: OVER})


def batches_sensor_of(name: str, assets: dg.AssetsDefinition, home: Path | None) -> dg.SensorDefinition:
    """A sensor that polls the vendors, and materialises again what waited for batches that have ended."""
    op_name = assets.op.name

    @dg.sensor(
        name=f"{name}_batches",
        description="Asks vendors how far the batches of this job are, and materializes its steps when they ended.",
        asset_selection=dg.AssetSelection.assets(*assets.keys),
        minimum_interval_seconds=POLL_INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
    )
    def batches(context: dg.SensorEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        marked = dg.RunsFilter(tags={WAITING_TAG: op_name}, statuses=_ENDED)
        runs = context.instance.get_runs(marked, limit=RUNS_LOOKED_AT)
        if not runs:
            return dg.SkipReason("No run waits for a batch.")
        with unheard(home) as services:
            for each in poll(services, most_calls=COLLECTED_IN_A_TICK):
                if each.problem is not None:
                    context.log.warning(f"batch {each.batch_id}: {each.problem}")
            held = waiting_jobs(services, [job_hash for run in runs for job_hash in _jobs_of(run)]).held
        asked = [_next(run, assets.keys) for run in runs if not held.keys() & set(_jobs_of(run))]
        reasons = "; ".join(dict.fromkeys(waiting.reason for waiting in held.values()))
        return asked or dg.SkipReason(f"{len(held)} jobs wait: {reasons}")

    return batches


_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]


def _jobs_of(run: dg.DagsterRun) -> list[str]:
    return run.tags[JOBS_TAG].split(",")


def _next(run: dg.DagsterRun, keys: Set[dg.AssetKey]) -> dg.RunRequest:
    """For the same assets of the job and the same partitions."""
    tags = {name: run.tags[name] for name in _COPIED_TAGS if name in run.tags}
    chosen = keys & (run.asset_selection or keys)
    return dg.RunRequest(run_key=run.run_id, asset_selection=sorted(chosen), tags={**tags, GOES_ON_TAG: run.run_id})
