"""Puts the definitions together. Resources come from the caller: the real ones, or a test's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import dagster as dg

from llm_jobs.orchestration.assets import ASSETS
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.io_manager import IO_MANAGER_KEY, ResultsIOManager
from llm_jobs.orchestration.jobs import ALL_JOBS
from llm_jobs.orchestration.pools import Pools
from llm_jobs.orchestration.sensors import SENSORS
from llm_jobs.orchestration.use_cases import UseCases


def build_definitions(
    *,
    resources: Mapping[str, object],
    schedules: Sequence[dg.ScheduleDefinition] = (),
    sensors: Sequence[dg.SensorDefinition] = (),
) -> dg.Definitions:
    """Every asset, job and sensor of the project, with `resources`, and with the `schedules` and `sensors` of recurring
    documents.

    One process per run: a run is one step, and starting another process would cost seconds.
    """
    return dg.Definitions(
        assets=ASSETS,
        jobs=ALL_JOBS,
        sensors=[*SENSORS, *sensors],
        schedules=schedules,
        resources=resources,
        executor=dg.in_process_executor,
    )


def in_process(use_cases: UseCases, audience: Audience) -> dict[str, object]:
    """Resources that are open already, for runs in this process and for tests."""
    return {
        "use_cases": use_cases,
        "pools": Pools(sleep=time.sleep),
        "audience": audience,
        IO_MANAGER_KEY: ResultsIOManager(use_cases),
    }
