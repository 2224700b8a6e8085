"""A pipeline from the inbox to its last result, through the ticks of Dagster's sensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest

from llm_jobs.operations.launchable import launchable
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.build import build_definitions, in_process
from llm_jobs.orchestration.foreground import QUIET
from llm_jobs.orchestration.instances import open_instance
from llm_jobs.orchestration.owners import PROCESS_TAG, process_tag
from llm_jobs_tests.operations.launching import House, document, ns, opened
from llm_jobs_tests.operations.test_dependencies import DIAMOND, keep_four

LATE = 'conditions: [{type: time_window, start: "22:00", end: "06:00", timezone: Europe/Paris}]'


@dataclass(frozen=True, kw_only=True)
class Instance:
    """Dagster over a house: its sensors tick when a test says so, and its runs go in this process."""

    house: House
    instance: dg.DagsterInstance

    def tick(self, name: str) -> tuple[list[str], str | None]:
        """One tick, and the runs that it asks for; returns the runs' tags of names, and why there are none."""
        use_cases = BoundUseCases(services=self.house.services)
        resources = in_process(use_cases, Audience(listener=lambda event: None, hear=lambda report: None))
        definitions = build_definitions(resources=resources)
        sensor = definitions.get_repository_def().get_sensor_def(name)
        with dg.build_sensor_context(instance=self.instance, resources={"use_cases": use_cases}) as context:
            came_to = sensor.evaluate_tick(context)
        requests = came_to.run_requests or []
        for request in requests:
            definitions.resolve_job_def(str(request.job_name or "run_jobs")).execute_in_process(
                run_config={**QUIET, **request.run_config},
                instance=self.instance,
                tags={**request.tags, PROCESS_TAG: process_tag()},
            )
        return [request.tags["llm_jobs/job"] for request in requests], came_to.skip_message


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Instance]:
    with opened(tmp_path) as house, open_instance(tmp_path / "dagster", capture_output=False) as instance:
        yield Instance(house=house, instance=instance)


def drop(running: Instance, name: str, text: str) -> None:
    running.house.keep("inbox", name, text)
    running.tick("intake")


def test_a_diamond_of_jobs_is_launched_in_its_order(running: Instance) -> None:
    keep_four(running.house)
    drop(running, "nightly.yaml", DIAMOND)
    assert [running.tick("launch")[0] for _ in range(4)] == [
        ["collector"],
        ["processor_a, processor_b"],
        ["aggregator"],
        [],
    ]
    assert len(running.instance.get_materialized_partitions(evidence.RESULTS)) == 4


def test_a_job_that_waits_for_its_hours_says_so_and_is_launched_when_they_come(running: Instance) -> None:
    drop(running, "late.yaml", document("late", LATE))
    started, told = running.tick("launch")
    assert started == []
    assert "22:00-06:00 Europe/Paris only, next at 2026-11-20 22:00+01:00" in (told or "")
    (job,) = launchable(running.house.services).gated
    (observed,) = running.instance.fetch_observations(evidence.RESULTS, limit=5).records
    assert observed.partition_key == job.job_hash
    running.house.clock.advance((ns("2026-11-20T21:00:00") - running.house.clock.now_ns()) / 1e9)
    assert running.tick("launch")[0] == ["late"]
    assert running.instance.get_materialized_partitions(evidence.RESULTS) == {job.job_hash}
