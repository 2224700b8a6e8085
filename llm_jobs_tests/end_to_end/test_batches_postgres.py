"""Batches with the ledger in PostgreSQL: several processes at once, and a killed one, buy each call once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs.operations.batches_poll import SETTLE_S
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.end_to_end.processes import REPOSITORY
from llm_jobs_tests.operations.batch_house import BatchHouse, variables
from llm_jobs_tests.servers.batches import batch_server
from llm_jobs_tests.servers.postgres import postgres_server

QUESTIONS = [f"question {number}" for number in range(1100)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[BatchHouse]:
    with postgres_server() as postgres, batch_server() as server:
        environment = {**variables(server), "LLM_JOBS_DATABASE_URL": postgres.create_database("batches")}
        yield BatchHouse(house=House(tmp_path, environment), server=server)


def start(house: BatchHouse, job_hash: str, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "llm_jobs_tests.end_to_end.batches_child", str(house.house.home), job_hash]
    environment = {**os.environ, **house.house.environment, "PATH": os.environ["PATH"]}
    return subprocess.Popen([*command, *options], cwd=REPOSITORY, env=environment)


def test_processes_that_submit_and_collect_at_once_buy_each_call_once(house: BatchHouse) -> None:
    job_hash = house.submit(QUESTIONS)
    killed, *others = [start(house, job_hash, "--kill", "claimed:2"), *(start(house, job_hash) for _ in range(2))]
    assert killed.wait(60) in (-signal.SIGKILL, 0)
    assert [each.wait(60) for each in others] == [0, 0]
    house.server.wrong.expired = {0, 3}
    for _ in range(6):
        house.server.finish()
        house.clock.seconds += SETTLE_S + 1
        collectors = [start(house, job_hash) for _ in range(2)]
        assert [each.wait(60) for each in collectors] == [0, 0]
        report = house.run(job_hash)
        if report.status == "done":
            break
        house.server.wrong.expired = set()
    assert (report.status, report.rows) == ("done", len(QUESTIONS))
    assert (len(house.server.paid), set(house.server.paid.values()), house.server.online) == (len(QUESTIONS), {1}, 0)
    audit = house.audit()
    assert (audit.answers, audit.paid_twice, audit.unrecorded) == (len(QUESTIONS), 0, 0)
    assert audit.inconsistencies == ()
