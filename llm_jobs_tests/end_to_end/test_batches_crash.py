"""SIGKILL over submit, poll and collect: each call is paid once by the server's own books, whatever was under way.

Each case kills a real child at a chosen step of a batch of 1,100 calls, or while the server has its submission in its
hands, and lets other runs go on until the job is done. Those that follow look before they buy: their clock is set
forward by what a vendor is given to show what it was sent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs.operations.batches_poll import SETTLE_S
from llm_jobs_tests.end_to_end.processes import REPOSITORY
from llm_jobs_tests.operations.batch_house import BatchHouse
from llm_jobs_tests.servers.batches import BatchServer, batch_server

ROWS = 1100
MOST_RUNS = 6
QUESTIONS = [f"question {number}" for number in range(ROWS)]
SUBMITTING = ("claimed:1", "claimed:2", "claimed:3", "recorded:1", "uploaded:1", "answered:1", "submitted:1")
COLLECTING = ("ended:1", "recorded lines:1", "recorded lines:2", "collected:1", "closed:1")


@pytest.fixture(scope="module")
def shared() -> Iterator[BatchServer]:
    with batch_server() as server:
        yield server


@pytest.fixture(params=["openai", "anthropic"])
def house(request: pytest.FixtureRequest, shared: BatchServer, tmp_path: Path) -> BatchHouse:
    shared.reset()
    return BatchHouse.at(tmp_path, shared, request.param)


def start_child(house: BatchHouse, job_hash: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "llm_jobs_tests.end_to_end.batches_child", str(house.house.home), job_hash]
    environment = {**os.environ, **house.house.environment, "PATH": os.environ["PATH"]}
    return subprocess.Popen([*command, *options], cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, text=True)


def is_killed(child: subprocess.Popen[str]) -> bool:
    _, told = child.communicate(timeout=120)
    assert child.returncode in (0, -signal.SIGKILL), told
    return child.returncode == -signal.SIGKILL


def finish(house: BatchHouse, job_hash: str) -> None:
    """Run the job until it is done; it may wait, but never ask again what was paid."""
    for _ in range(MOST_RUNS):
        report = house.run(job_hash)
        if report.status == "done":
            break
        assert report.status == "waiting", report.error
        house.clock.seconds += SETTLE_S + 1
        house.server.finish()
    assert (report.status, report.rows, report.succeeded) == ("done", ROWS, ROWS)
    assert set(house.server.paid.values()) == {1}
    assert (len(house.server.paid), house.server.online) == (ROWS, 0)
    audit = house.audit()
    assert (audit.answers, audit.paid_twice, audit.late, audit.unrecorded) == (ROWS, 0, 0, 0)
    assert audit.inconsistencies == ()


@pytest.mark.parametrize("point", SUBMITTING)
def test_a_submitter_that_was_killed_never_buys_a_second_batch(house: BatchHouse, point: str) -> None:
    job_hash = house.submit(QUESTIONS)
    killed = is_killed(start_child(house, job_hash, "--kill", point))
    assert killed or (point.startswith("uploaded") and house.vendor == "anthropic"), "Anthropic takes no file apart"
    finish(house, job_hash)
    assert len(house.server.batches) == 1


@pytest.mark.parametrize("made", [False, True], ids=["before it is made", "after it is made"])
def test_a_submitter_that_was_killed_while_the_vendor_answers_never_buys_a_second_batch(
    house: BatchHouse, made: bool
) -> None:
    job_hash = house.submit(QUESTIONS)
    child = start_child(house, job_hash)
    house.server.at_submission = lambda now_made: os.kill(child.pid, signal.SIGKILL) if now_made is made else None
    assert is_killed(child)
    house.server.at_submission = None
    finish(house, job_hash)
    assert len(house.server.batches) == 1


@pytest.mark.parametrize("point", COLLECTING)
def test_a_collector_that_was_killed_is_followed_by_another(house: BatchHouse, point: str) -> None:
    job_hash = house.submit(QUESTIONS)
    assert house.run(job_hash).status == "waiting"
    house.server.finish()
    assert is_killed(start_child(house, job_hash, "--kill", point))
    finish(house, job_hash)
    assert len(house.server.batches) == 1


def test_a_collector_that_was_killed_twice_leaves_expired_calls_to_be_asked_once(house: BatchHouse) -> None:
    house.server.wrong.expired = set(range(0, ROWS, 2))
    job_hash = house.submit(QUESTIONS)
    assert house.run(job_hash).status == "waiting"
    house.server.finish()
    house.server.wrong.expired = set()
    for point in ("recorded lines:1", "collected:1"):
        assert is_killed(start_child(house, job_hash, "--kill", point))
    finish(house, job_hash)
    assert len(house.server.batches) == 2
