"""Puts the definitions together. Resources come from the caller: the real ones, or a test's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import dagster as dg

from llm_jobs.orchestration.assets import ASSETS
from llm_jobs.orchestration.jobs import ALL_JOBS
from llm_jobs.orchestration.sensors import SENSORS


def build_definitions(
    *, resources: Mapping[str, object], schedules: Sequence[dg.ScheduleDefinition] = ()
) -> dg.Definitions:
    """Every asset, job and sensor of the project, with `resources` and the `schedules` of recurring documents.

    One process per run: a run is one step, and starting another process would cost seconds.
    """
    return dg.Definitions(
        assets=ASSETS,
        jobs=ALL_JOBS,
        sensors=SENSORS,
        schedules=schedules,
        resources=resources,
        executor=dg.in_process_executor,
    )
