"""A run that Dagster starts tells whom the environment names."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.request import urlopen

import dagster as dg
import pytest

from llm_jobs.operations.accept import accept
from llm_jobs.operations.services import open_services
from llm_jobs.orchestration.build import build_definitions
from llm_jobs.orchestration.jobs import RUN_JOBS
from llm_jobs.orchestration.partitions import register
from llm_jobs.orchestration.resources import in_each_process
from llm_jobs.settings import Settings
from llm_jobs_tests.cli.house import ROWS, job
from llm_jobs_tests.servers.prometheus import push_gateway


def test_a_run_pushes_its_metrics_and_writes_its_log(
    instance: dg.DagsterInstance, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = Settings.from_environment({"LLM_JOBS_HOME": str(tmp_path / "home")}, working_directory=tmp_path)
    (document := tmp_path / "reviews.json").write_text(json.dumps(job("reviews", ROWS)))
    with open_services(settings, environment=os.environ, working_directory=tmp_path) as services:
        [accepted] = accept(services, document, origin="inbox")
    register(instance, [accepted.job.hash])
    with push_gateway() as gateway:
        environment = {**os.environ, "LLM_JOBS_METRICS_PUSH_URL": gateway, "LLM_JOBS_LOG": "json"}
        resources = in_each_process(settings, environment=environment, working_directory=tmp_path)
        definitions = build_definitions(resources=resources)
        run = definitions.resolve_job_def(RUN_JOBS.job_name)
        assert run.execute_in_process(instance=instance, partition_key=accepted.job.hash).success
        with urlopen(f"http://{gateway}/metrics", timeout=10) as response:
            pushed = response.read().decode()
    assert re.search(r'llm_jobs_calls_total\{[^}]*llm_job="reviews"[^}]*\} 3\n', pushed)
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith('{"time"')]
    assert [line["event"] for line in lines] == ["job_started", "result_recorded", "job_finished"]
    assert {line["job_hash"] for line in lines} == {accepted.job.hash}
