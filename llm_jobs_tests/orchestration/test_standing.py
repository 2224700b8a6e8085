"""Sensors and schedules of recurring documents, and what they tell of jobs that may not start yet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from llm_jobs.operations.arrivals import Arrivals
from llm_jobs.operations.records import RecurringDocument
from llm_jobs.operations.recurring import Tick
from llm_jobs.operations.release import Released
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.partitions import registered
from llm_jobs.orchestration.standing import recurring_sensor
from llm_jobs_tests.orchestration.fake import FakeUseCases, accepted, job, key
from llm_jobs_tests.orchestration.test_schedules import tick as schedule_tick
from llm_jobs_tests.orchestration.test_sensors import launched, tick

DAILY = RecurringDocument(path="recurring/daily.yaml", name="daily", cron="0 9 * * *", timezone="UTC", enabled=True)
LATER = RecurringDocument(path="recurring/daily.yaml", name="daily", cron="0 10 * * *", timezone="UTC", enabled=True)
NEW = RecurringDocument(path="recurring/new.yaml", name="new", cron="0 9 * * *", timezone="UTC", enabled=True)


def test_a_gated_job_shows_its_reason_in_the_tick_and_on_its_partition(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1, name="nightly"))
    use_cases.gates[key(1)] = "it starts within 22:00-06:00 UTC only"
    skipped = tick("launch", instance, use_cases)
    assert skipped.skip_message == f"gated: nightly ({key(1)[:8]}): it starts within 22:00-06:00 UTC only"
    assert not skipped.run_requests
    assert registered(instance) == [key(1)]
    (told,) = instance.fetch_observations(evidence.RESULTS, limit=10).records
    assert told.partition_key == key(1)
    observation = told.event_log_entry.asset_observation
    assert observation is not None
    assert observation.metadata["gated"].value == "it starts within 22:00-06:00 UTC only"
    use_cases.gates.clear()
    assert len(launched(instance, use_cases)) == 1


def test_many_gated_jobs_are_told_shortly(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.submit(*(job(number) for number in range(9)))
    use_cases.gates = {key(number): "closed" for number in range(9)}
    assert (tick("launch", instance, use_cases).skip_message or "").endswith("; and 4 more")


def test_a_tick_of_a_gated_document_says_why_and_asks_for_no_run(
    instance: dg.DagsterInstance, use_cases: FakeUseCases
) -> None:
    use_cases.submit(job(1, name="digest"))
    use_cases.gates[key(1)] = "'SELECT 1' gives 1 of the 2 that it waits for"
    found = schedule_tick(instance, use_cases)
    assert not found.run_requests
    assert "gives 1 of the 2" in (found.skip_message or "")


@pytest.mark.parametrize(
    ("came_to", "told"),
    [(Tick(skipped="digest.yaml is there no longer"), "no longer"), (Tick(waits="it waits for a"), "gated: it waits")],
)
def test_a_tick_that_comes_to_no_job_says_why(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, came_to: Tick, told: str
) -> None:
    use_cases.skips["digest"] = came_to
    assert told in (schedule_tick(instance, use_cases).skip_message or "")


def test_what_was_released_is_launched_in_the_same_tick_and_what_was_refused_is_told(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, capfd: pytest.CaptureFixture[str]
) -> None:
    use_cases.submit(job(1, name="second"))
    use_cases.released.append(Released(accepted=[accepted(job(1, name="second"))], postponed={"third": "no server"}))
    assert len(launched(instance, use_cases)) == 1
    told = capfd.readouterr().err
    assert "second" in told
    assert "third waits on: no server" in told


def test_files_that_arrived_become_partitions_and_problems_are_told(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, capfd: pytest.CaptureFixture[str]
) -> None:
    found = Arrivals(accepted=[accepted(job(7))], problems=["bad.json: no table"], remaining=2)
    use_cases.arrivals.append(found)
    skipped = tick("arrivals", instance, use_cases).skip_message
    assert skipped == "1 files were submitted, 2 left for the next look"
    assert registered(instance) == [key(7)]
    assert "bad.json: no table" in capfd.readouterr().err


@contextmanager
def page(answer: dict[str, object]) -> Iterator[tuple[str, list[str]]]:
    """A page that answers every mutation so, and the names of the code locations that it was asked to reload."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append(body["variables"]["name"])
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"reloadRepositoryLocation": answer}}).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def look(instance: dg.DagsterInstance, use_cases: FakeUseCases, *, page_url: str | None = None) -> SensorExecutionData:
    sensor = recurring_sensor([DAILY], page_url=page_url)
    with dg.build_sensor_context(instance=instance, resources={"use_cases": use_cases}) as context:
        return sensor.evaluate_tick(context)


@pytest.mark.parametrize(
    ("current", "told"),
    [
        ([DAILY], "1 recurring documents are as they were loaded."),
        ([DAILY, NEW], "recurring/new.yaml appeared. Reload the code location"),
        ([], "recurring/daily.yaml has no schedule any more. Reload"),
        ([LATER], "recurring/daily.yaml has another schedule or name. Reload"),
    ],
)
def test_recurring_documents_that_differ_from_the_schedules_are_told(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, current: list[RecurringDocument], told: str
) -> None:
    use_cases.recurring = current
    assert told in (look(instance, use_cases).skip_message or "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ({"__typename": "WorkspaceLocationEntry"}, "is being reloaded"),
        ({"__typename": "PythonError", "message": "no such module"}, "could not be reloaded: no such module"),
    ],
)
def test_where_the_pages_address_is_known_the_code_location_is_reloaded(
    instance: dg.DagsterInstance, use_cases: FakeUseCases, answer: dict[str, object], told: str
) -> None:
    use_cases.recurring = [DAILY, NEW]
    with page(answer) as (url, asked):
        assert told in (look(instance, use_cases, page_url=url).skip_message or "")
        use_cases.recurring = [DAILY]
        look(instance, use_cases, page_url=url)
    assert asked == ["llm_jobs"]


def test_a_page_that_is_not_there_breaks_no_tick(instance: dg.DagsterInstance, use_cases: FakeUseCases) -> None:
    use_cases.recurring = []
    told = look(instance, use_cases, page_url="http://127.0.0.1:9").skip_message or ""
    assert "could not be asked" in told
