"""The schedule that a component's document states: each tick materialises its steps, of time partitions the latest.

No annotations from the future: Dagster reads them.
"""

from typing import Any

import dagster as dg

from llm_jobs.documents.job import Schedule


def schedule_of(
    name: str, assets: dg.AssetsDefinition, stated: Schedule, partitions_def: dg.PartitionsDefinition[Any] | None
) -> dg.ScheduleDefinition:
    """A Dagster schedule, switched on where the document says so. Raises ValueError for partitions that are no times:
    a tick has none of their keys."""
    if partitions_def is not None and not isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        raise ValueError(
            f"{name}: the document states a schedule, and its assets have partitions that are no windows of "
            "time; a tick cannot tell which to materialize. Remove `schedule` and write one in Python"
        )

    @dg.schedule(
        name=f"{name}_schedule",
        target=dg.AssetSelection.assets(*assets.keys),
        cron_schedule=stated.cron,
        execution_timezone=stated.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING if stated.enabled else dg.DefaultScheduleStatus.STOPPED,
        description="Materializes the steps of this job; what is answered already costs nothing.",
    )
    def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if partitions_def is None:
            return dg.RunRequest()
        window = partitions_def.get_prev_partition_window(context.scheduled_execution_time)
        key = None if window is None else window.start.strftime(partitions_def.fmt)
        if key is None or not partitions_def.has_partition_key(key):
            return dg.SkipReason("No partition ended before this tick.")
        return dg.RunRequest(partition_key=key)

    return tick
