"""Recurring documents as schedules."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest
from dagster._core.definitions.schedule_definition import ScheduleExecutionData

from llm_jobs.operations.records import RecurringDocument
from llm_jobs.orchestration.coverage import PARTITION_TAG
from llm_jobs.orchestration.partitions import registered
from llm_jobs.orchestration.schedules import recurring_schedules
from llm_jobs_tests.orchestration.fake import FakeUseCases, job, key

TICK = datetime(2026, 11, 21, 6, tzinfo=UTC)


def document(*, name: str = "digest", path: str = "digest", enabled: bool = True) -> RecurringDocument:
    return RecurringDocument(path=path, name=name, cron="0 6 * * *", timezone="Europe/Paris", enabled=enabled)


def tick(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> ScheduleExecutionData:
    (schedule,) = recurring_schedules([document()])
    with dg.build_schedule_context(
        instance=instance, scheduled_execution_time=TICK, resources={"use_cases": use_cases}
    ) as context:
        return schedule.evaluate_tick(context)


@pytest.mark.parametrize(
    ("enabled", "status"), [(True, dg.DefaultScheduleStatus.RUNNING), (False, dg.DefaultScheduleStatus.STOPPED)]
)
def test_a_schedule_states_what_its_document_states(*, enabled: bool, status: dg.DefaultScheduleStatus) -> None:
    (schedule,) = recurring_schedules([document(enabled=enabled)])
    assert (schedule.name, schedule.cron_schedule, schedule.execution_timezone, schedule.default_status) == (
        "digest",
        "0 6 * * *",
        "Europe/Paris",
        status,
    )


def test_names_are_made_fit_for_dagster_and_told_apart() -> None:
    schedules = recurring_schedules([document(name="täglich 1"), document(name="täglich 1", path="other.yaml")])
    names = [schedule.name for schedule in schedules]
    assert all(name.startswith("t_glich_1_") for name in names)
    assert len(set(names)) == 2
    reordered = recurring_schedules([document(name="a"), document(name="täglich 1", path="other.yaml")])
    assert [schedule.name for schedule in reordered] == ["a", "t_glich_1"]


def test_a_tick_submits_the_document_as_of_the_tick_and_launches_its_partition(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1, name="digest"))
    (request,) = tick(instance, use_cases).run_requests or []
    assert use_cases.ticks == [("digest", int(TICK.timestamp()) * 10**9)]
    assert registered(instance) == [key(1)]
    assert request.tags[PARTITION_TAG] == key(1)


def test_a_tick_at_which_nothing_changed_says_so(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(job(1, name="digest"))
    list(use_cases.run_jobs([key(1)], listener=print, run_id=""))
    result = tick(instance, use_cases)
    assert not result.run_requests
    assert result.skip_message == "Nothing changed since an earlier tick: every row is answered."
