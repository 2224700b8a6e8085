"""Keeps Dagster's catalogue true to the ledger without runs: work done elsewhere, the table of jobs, the libraries.

Each function compares what is stored on both sides and reports the difference as runless events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import dagster as dg

from llm_jobs.documents.identity import hash_of
from llm_jobs.operations.records import Inventory, JobLine
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.coverage import OP_NAME, covered
from llm_jobs.orchestration.partitions import register, registered
from llm_jobs.orchestration.use_cases import UseCases

DATA_VERSION_TAG = "dagster/data_version"
USAGE_EVERY_S = 30.0
USAGE_REST = 20
SECONDS_TO_SUM = "seconds to sum"


def record_work_done_elsewhere(
    instance: dg.DagsterInstance, use_cases: UseCases, lines: Sequence[JobLine], *, going: Sequence[dg.DagsterRun]
) -> list[str]:
    """Register and report the results that no run of this instance made (Python API, another `DAGSTER_HOME`).

    What the runs that are `going` cover is theirs to report. Returns the job hashes.
    """
    made = {line.job_hash: line for line in lines if line.result is not None and line.succeeded}
    missing = made.keys() - instance.get_materialized_partitions(evidence.RESULTS) if made else set()
    keys = registered(instance)
    missing -= set().union(*(covered(run, keys, op_name=OP_NAME) for run in going))
    in_order = [job_hash for job_hash in reversed(made) if job_hash in missing]  # lines are newest first
    register(instance, in_order)
    for job_hash, job in use_cases.submitted(in_order).items():
        for event in evidence.submission_events(job, {evidence.JOB_DOCUMENTS, evidence.INPUTS}):
            instance.report_runless_asset_event(event)
        instance.report_runless_asset_event(evidence.line_event(made[job_hash]))
    return in_order


def refresh_job_table(instance: dg.DagsterInstance, lines: Sequence[JobLine]) -> bool:
    """Report the table of jobs if it differs from the one that the catalogue shows."""
    shown = lines[: evidence.LATEST_JOBS]
    digest = hash_of([repr(line) for line in shown])
    latest = instance.get_latest_materialization_event(evidence.JOB_TABLE)
    if not shown or _in_sync(instance, latest, digest):
        return False
    metadata, tags = evidence.job_table(shown), {DATA_VERSION_TAG: digest}
    instance.report_runless_asset_event(dg.AssetMaterialization(evidence.JOB_TABLE, metadata=metadata, tags=tags))
    return True


def refresh_usage(
    instance: dg.DagsterInstance, use_cases: UseCases, lines: Sequence[JobLine], *, now_s: Callable[[], float]
) -> bool:
    """Report what was spent if there are results that were not there when it was last told. Summing reads every
    attempt of a month, so it is done seldom enough to cost a twentieth of the time."""
    made = [line.result for line in lines if line.result is not None]
    digest = hash_of(made)
    latest = instance.get_latest_materialization_event(evidence.USAGE)
    if not made or _in_sync(instance, latest, digest):
        return False
    began_s = now_s()
    told = latest.asset_materialization if latest else None
    if latest and told and began_s - latest.timestamp < _usage_rest_s(told):
        return False
    metadata = evidence.usage_metadata(use_cases.usage_sheet())
    metadata[SECONDS_TO_SUM] = round(now_s() - began_s, 3)
    tags = {DATA_VERSION_TAG: digest}
    instance.report_runless_asset_event(dg.AssetMaterialization(evidence.USAGE, metadata=metadata, tags=tags))
    return True


def _in_sync(instance: dg.DagsterInstance, told: dg.EventLogEntry | None, digest: str) -> bool:
    """Whether a table was `told` with this content, after the newest result. A result stands in the ledger before
    Dagster hears of it, so a table may tell it first: Dagster calls that table unsynced until it is told again."""
    made = told.asset_materialization if told else None
    if told is None or made is None or (made.tags or {}).get(DATA_VERSION_TAG) != digest:
        return False
    result = instance.get_latest_materialization_event(evidence.RESULTS)
    return result is None or result.timestamp <= told.timestamp


def _usage_rest_s(told: dg.AssetMaterialization) -> float:
    """How long what was told stands at least."""
    stated = told.metadata.get(SECONDS_TO_SUM)
    seconds = stated.value if isinstance(stated, dg.FloatMetadataValue) else None
    return max(USAGE_EVERY_S, USAGE_REST * (seconds or 0.0))


def observe(instance: dg.DagsterInstance, asset_key: dg.AssetKey, inventory: Inventory) -> bool:
    """Report what a library or catalogue holds if it changed since the last observation."""
    records = instance.fetch_observations(asset_key, limit=1).records
    known = records[0].event_log_entry.asset_observation if records else None
    if known and known.tags.get(DATA_VERSION_TAG) == inventory.digest:
        return False
    metadata, tags = evidence.inventory_metadata(inventory), {DATA_VERSION_TAG: inventory.digest}
    instance.report_runless_asset_event(dg.AssetObservation(asset_key, metadata=metadata, tags=tags))
    return True
