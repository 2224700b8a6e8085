"""Planned events for runs whose set of jobs has gaps; the only place that reaches below Dagster's public API.

Dagster plans partitions from tags, and tags say one key or one range. With these events a run over a list shows its
jobs as in progress, and as failed where no result came. They are what `DagsterInstance.create_run` writes for a range.
"""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData, DagsterEvent


def report_planned(context: dg.AssetExecutionContext, job_hashes: Sequence[str]) -> None:
    """Say that this run intends to make the selected assets of each of `job_hashes`."""
    for asset_key in sorted(context.selected_asset_keys):
        for job_hash in job_hashes:
            data = AssetMaterializationPlannedData(asset_key, partition=job_hash, partitions_subset=None)
            event = DagsterEvent.build_asset_materialization_planned_event(
                context.run.job_name, context.op_execution_context.op_handle.name, data
            )
            context.instance.report_dagster_event(event, context.run.run_id)
