"""A document's schedule in a component: ticks materialise its steps, of daily partitions the day that ended last."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.testing import create_defs_folder_sandbox
from dagster.components.testing.utils import DefsFolderSandbox

from llm_jobs_tests.orchestration.test_component import SEQUENCE, loaded

# As in test_component.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated"),
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning"),
]
DAILY = {"type": "daily", "start_date": "2026-10-01"}
MORNING = datetime(2026, 10, 8, 4, tzinfo=UTC)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DefsFolderSandbox]:
    monkeypatch.setenv("LLM_JOBS_HOME", str(tmp_path / "home"))
    with create_defs_folder_sandbox() as opened:
        yield opened


def document(**schedule: Any) -> dict[str, Any]:
    return {"job": {**SEQUENCE["job"], "schedule": {"cron": "0 6 * * *", "timezone": "Europe/Berlin", **schedule}}}


def schedule(definitions: dg.Definitions) -> dg.ScheduleDefinition:
    found = definitions.resolve_schedule_def("reviews_schedule")
    assert isinstance(found, dg.ScheduleDefinition)
    return found


def asked(definitions: dg.Definitions, at: datetime) -> list[dg.RunRequest]:
    with dg.build_schedule_context(
        scheduled_execution_time=at, repository_def=definitions.get_repository_def()
    ) as told:
        return list(schedule(definitions).evaluate_tick(told).run_requests or [])


def test_a_schedule_of_the_document_is_one_of_dagster(sandbox: DefsFolderSandbox) -> None:
    definitions = loaded(sandbox, {"document": document()})
    made = schedule(definitions)
    assert (made.cron_schedule, made.execution_timezone) == ("0 6 * * *", "Europe/Berlin")
    assert made.default_status is dg.DefaultScheduleStatus.RUNNING
    [request] = asked(definitions, MORNING)
    assert request.partition_key is None


def test_one_that_is_not_enabled_waits_to_be_switched_on(sandbox: DefsFolderSandbox) -> None:
    made = schedule(loaded(sandbox, {"document": document(enabled=False)}))
    assert made.default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("at", "key"),
    [
        (MORNING, "2026-10-07"),
        (datetime(2026, 10, 8, tzinfo=UTC), "2026-10-07"),
        (datetime(2026, 10, 1, tzinfo=UTC), None),
    ],
)
def test_a_tick_of_daily_partitions_asks_for_the_day_that_ended_last(
    sandbox: DefsFolderSandbox, at: datetime, key: str | None
) -> None:
    definitions = loaded(sandbox, {"document": document(), "partitions_def": DAILY})
    assert [request.partition_key for request in asked(definitions, at)] == ([] if key is None else [key])


def test_a_schedule_over_partitions_that_are_no_times_is_refused(sandbox: DefsFolderSandbox) -> None:
    attributes = {"document": document(), "partitions_def": {"type": "static", "partition_keys": ["de", "fr"]}}
    with pytest.raises(Exception) as raised:  # noqa: PT011  Dagster wraps what a component raises in a class of its own
        loaded(sandbox, attributes)
    assert "no windows of time" in str(raised.value.__cause__)


def test_a_document_without_a_schedule_has_none(sandbox: DefsFolderSandbox) -> None:
    assert not loaded(sandbox, {"document": SEQUENCE}).schedules
