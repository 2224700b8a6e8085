"""The real use cases behind the interface, with a real ledger and a model server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from llm_jobs.operations.accept import accept
from llm_jobs.operations.services import Services, open_services
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.bound import BoundUseCases
from llm_jobs.orchestration.foreground import run_in_foreground
from llm_jobs.settings import Settings
from llm_jobs_tests.orchestration.reading import check_results, shown
from llm_jobs_tests.servers.faults import FaultPlan
from llm_jobs_tests.servers.replay import ReplayServer, replay_server

ROWS = [{"id": 1, "text": "good"}, {"id": 2, "text": "poison"}]
JOB = {
    "job": {
        "name": "mixed",
        "input": {"rows": ROWS},
        "prompts": [{"name": "answer", "model": "openai/gpt-4.1-mini", "text": "{{ text }}"}],
        "output": {"destination": "file", "path": "answers.csv"},
    }
}


@pytest.fixture
def server() -> Iterator[ReplayServer]:
    with replay_server(plan=FaultPlan(poison="poison")) as started:
        yield started


@pytest.fixture
def services(tmp_path: Path, server: ReplayServer) -> Iterator[Services]:
    settings = Settings.from_environment({"LLM_JOBS_HOME": str(tmp_path / "home")}, working_directory=tmp_path)
    environment = {**os.environ, "OPENAI_BASE_URL": server.openai_url, "OPENAI_API_KEY": "sk-test"}
    with open_services(settings, environment=environment, working_directory=tmp_path) as opened:
        yield opened


def submit(services: Services, tmp_path: Path) -> str:
    document = tmp_path / "mixed.json"
    document.write_text(json.dumps(JOB), encoding="utf-8")
    (accepted,) = accept(services, document, origin="cli")
    return accepted.job.hash


def test_a_job_waits_for_a_run_until_it_ended_and_again_once_it_is_submitted_again(
    instance: dg.DagsterInstance, services: Services, tmp_path: Path
) -> None:
    use_cases = BoundUseCases(services=services)
    job_hash = submit(services, tmp_path)
    assert [job.job_hash for job in use_cases.launchable().jobs] == [job_hash]
    (report,) = run_in_foreground(use_cases, [job_hash], instance=instance).reports
    assert (report.status, report.succeeded, report.failed) == ("partial", 1, 1)
    assert use_cases.launchable().jobs == ()
    submit(services, tmp_path)
    assert [job.job_hash for job in use_cases.launchable().jobs] == [job_hash]


def test_a_real_run_shows_its_result_its_checks_and_its_delivery(
    instance: dg.DagsterInstance, services: Services, tmp_path: Path, server: ReplayServer
) -> None:
    job_hash = submit(services, tmp_path)
    done = run_in_foreground(BoundUseCases(services=services), [job_hash], instance=instance)
    for asset_key in (evidence.JOB_DOCUMENTS, evidence.INPUTS, evidence.RESULTS, evidence.DELIVERIES):
        assert shown(instance, asset_key).materialized == {job_hash}
    checks = check_results(instance, done.run_ids[0])
    assert checks == {
        (evidence.EVERY_ROW_ANSWERED, job_hash): False,
        (evidence.DIGEST_INTACT, job_hash): True,
        (evidence.NOTHING_PAID_TWICE, job_hash): True,
    }
    table = BoundUseCases(services=services).results_of("mixed")
    assert table.column("answer").to_pylist() == ["echo: good", None]
    assert server.stats()["total"] == 2
