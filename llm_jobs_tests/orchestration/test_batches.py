"""A job in mode batch through Dagster with the real operations: a run ends, sensors poll and launch, a run finishes."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from dagster._core.definitions.sensor_definition import SensorExecutionData

from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.foreground import run_in_foreground
from llm_jobs.orchestration.sensors import SENSORS
from llm_jobs_tests.cli.house import ROWS, House, job
from llm_jobs_tests.orchestration.reading import materializations


def tick(name: str, instance: dg.DagsterInstance, use_cases: BoundUseCases) -> SensorExecutionData:
    (sensor,) = (sensor for sensor in SENSORS if sensor.name == name)
    with dg.build_sensor_context(instance=instance, resources={"use_cases": use_cases}) as context:
        return sensor.evaluate_tick(context)


def test_no_process_waits_for_a_vendor(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    house = House(tmp_path)
    [accepted] = house.accept(house.write("words.yaml", job("words", ROWS, mode="batch")))
    with house.entry.open_services() as services:
        use_cases = BoundUseCases(services=services)
        [request] = tick("launch", instance, use_cases).run_requests or []
        first = run_in_foreground(use_cases, [accepted.hash], instance=instance)
        assert [report.status for report in first.reports] == ["waiting"]
        assert materializations(instance, evidence.RESULTS) == {}
        assert not tick("launch", instance, use_cases).run_requests
        assert tick("batches", instance, use_cases).skip_message == "1 batches were polled"
        [again] = tick("launch", instance, use_cases).run_requests or []
        assert again.run_key != request.run_key
        second = run_in_foreground(use_cases, [accepted.hash], instance=instance)
        assert [report.status for report in second.reports] == ["done"]
        assert materializations(instance, evidence.RESULTS) == {accepted.hash: 1}
        assert not tick("launch", instance, use_cases).run_requests
