"""SIGKILL at every stage of a job: nothing that was recorded is bought again, and `verify` tells the rest.

Each case kills a real child at a chosen event of a job of 2,000 rows and lets another child finish. The server's own
books say what was asked twice. How many of those the server had answered depends on the processor that the child gets:
`benchmarks/crash.py` measures it.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.engine.recorder import KEPT_AT_ONCE
from llm_jobs.operations.services import open_services
from llm_jobs.operations.verify import verify
from llm_jobs.settings import Settings
from llm_jobs_tests.end_to_end.documents import FORMATS, Format, write_document
from llm_jobs_tests.end_to_end.processes import child_environment, finish, run_child, start_child, start_command_line
from llm_jobs_tests.servers.replay import ReplayServer, replay_server

ROWS = 2000
CONCURRENCY = 100
LATENCY_S = 0.05

# Events of a call are told 2,000 times, those of the result once: seeded counts spread over the job.
CALL_EVENTS = ("CallIntended", "CallSent", "CallAnswered", "CallRecorded")
RESULT_EVENTS = ("ResultWritten", "ResultLinked", "ResultRecorded")


def _points() -> list[tuple[str, Format]]:
    random = Random(20261121)
    points = [f"{event}:{random.randint(1, ROWS)}" for event in CALL_EVENTS for _ in range(9)]
    points += [f"{event}:1" for event in RESULT_EVENTS for _ in FORMATS]
    return [(point, FORMATS[number % len(FORMATS)]) for number, point in enumerate(points)]


@pytest.mark.parametrize(("point", "form"), _points())
def test_a_job_that_was_killed_is_finished_by_the_next_run(tmp_path: Path, point: str, form: Format) -> None:
    with replay_server(latency_s=LATENCY_S) as server:
        document = _document(tmp_path, form)
        environment = child_environment(server.openai_url)
        killed = start_child(tmp_path / "home", [document], environment=environment, options=_options("--kill", point))
        _, told = killed.communicate(timeout=120)
        assert killed.returncode == -signal.SIGKILL, told
        may_be_paid = _may_have_been_paid(tmp_path / "home")
        (facts,) = run_child(tmp_path / "home", [document], environment=environment, options=_options())
        _check(server, facts, may_be_paid)


@pytest.mark.parametrize("seed", range(3))
def test_a_job_that_was_killed_at_any_time_is_finished_by_the_next_run(tmp_path: Path, seed: int) -> None:
    with replay_server(latency_s=LATENCY_S) as server:
        document = _document(tmp_path, FORMATS[seed])
        environment = child_environment(server.openai_url)
        killed = start_child(tmp_path / "home", [document], environment=environment, options=_options())
        _wait_for_requests(server, Random(seed).randint(100, ROWS - 200))
        killed.kill()
        killed.communicate(timeout=120)
        may_be_paid = _may_have_been_paid(tmp_path / "home")
        (facts,) = run_child(tmp_path / "home", [document], environment=environment, options=_options())
        _check(server, facts, may_be_paid)


@pytest.mark.parametrize("seed", range(5))
def test_a_command_line_that_was_killed_is_finished_by_the_next_one(tmp_path: Path, seed: int) -> None:
    with replay_server(latency_s=LATENCY_S) as server:
        document, home = _document(tmp_path, FORMATS[seed % 3]), tmp_path / "home"
        places = {"LLM_JOBS_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
        environment = child_environment(server.openai_url, places)
        killed = start_command_line("run", str(document), *_options(), environment=environment)
        _wait_for_requests(server, Random(seed + 100).randint(100, ROWS - 200))
        killed.kill()
        killed.communicate(timeout=120)
        may_be_paid = _may_have_been_paid(home)
        again = start_command_line("run", str(document), "--json", *_options(), environment=environment)
        (facts,) = finish(again)
        _check(server, facts, may_be_paid)


def _document(folder: Path, form: Format) -> Path:
    questions = [f"question number {number}" for number in range(ROWS)]
    return write_document(folder / "documents", form, name="questions", model="openai/replayed", questions=questions)


def _options(*more: str) -> list[str]:
    return ["--concurrency", str(CONCURRENCY), *more]


def _wait_for_requests(server: ReplayServer, count: int) -> None:
    deadline = time.monotonic() + 60
    while server.stats()["total"] < count:
        assert time.monotonic() < deadline, "the child sends nothing"


def _may_have_been_paid(home: Path) -> int:
    settings = Settings.from_environment({"LLM_JOBS_HOME": str(home)}, working_directory=home)
    with open_services(settings, environment={}, working_directory=home) as services:
        return len(verify(services).unrecorded)


def _check(server: ReplayServer, facts: dict[str, Any], may_be_paid: int) -> None:
    assert (facts["status"], facts["rows"], facts["succeeded"]) == ("done", ROWS, ROWS)
    result = pq.read_table(facts["result"], columns=["llm_status", "llm_reused"])
    assert result["llm_status"].to_pylist() == ["succeeded"] * ROWS
    assert not any(result["llm_reused"].to_pylist()), "the job paid for all, if not in this run"
    stats = server.stats()
    assert stats["distinct"] == ROWS
    asked_again = stats["total"] - ROWS
    assert asked_again <= CONCURRENCY + KEPT_AT_ONCE, "more was asked again than was in flight or not kept"
    assert set(stats["by_body"].values()) <= {1, 2}
    assert asked_again <= may_be_paid, "verify did not list a call that was sent"
    assert may_be_paid <= 2 * CONCURRENCY + KEPT_AT_ONCE, "verify listed more than one window too many"
