"""Telemetry switched on for real: a command, and Python, tell what they did."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from llm_jobs.operations.executor import JobExecutor
from llm_jobs_tests.cli.house import ROWS, House, job
from llm_jobs_tests.servers.otlp import otlp_receiver
from llm_jobs_tests.servers.prometheus import push_gateway


def test_a_command_with_everything_on_tells_everybody(tmp_path: Path) -> None:
    house = House(tmp_path)
    path = house.write("reviews.yaml", job("reviews", ROWS))
    with otlp_receiver() as receiver, push_gateway() as gateway:
        house.variables.update(
            LLM_JOBS_METRICS_PUSH_URL=gateway,
            LLM_JOBS_LOG="json",
            LLM_JOBS_TRACE_SHARE="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
            OTEL_SERVICE_NAME="nightly",
        )
        done = house.process("run", str(path), "--json")
        with urlopen(f"http://{gateway}/metrics", timeout=10) as response:
            pushed = response.read().decode()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["calls_sent"] == 3  # the log is not between the facts
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines] == ["job_started", "result_recorded", "job_finished"]
    assert re.search(r'llm_jobs_calls_total\{[^}]*llm_job="reviews"[^}]*status="succeeded"\} 3\n', pushed)
    assert len(receiver.named("chat simulated")) == 3
    assert {span.service for span in receiver.spans} == {"nightly"}


def test_python_tells_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(tmp_path)
    path = house.write("reviews.yaml", job("reviews", ROWS))
    with otlp_receiver() as receiver:
        monkeypatch.setenv("LLM_JOBS_TRACE_SHARE", "1")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        JobExecutor(path, home=house.home).run()
    assert len(receiver.named("chat simulated")) == 3


def test_a_wrong_switch_is_told_before_anything_is_spent(tmp_path: Path) -> None:
    house = House(tmp_path, {"LLM_JOBS_LOG": "xml"})
    result = house.invoke("run", str(house.write("reviews.yaml", job("reviews", ROWS))))
    assert result.exit_code == 3
    assert "LLM_JOBS_LOG" in result.stderr
    assert not house.home.exists()
