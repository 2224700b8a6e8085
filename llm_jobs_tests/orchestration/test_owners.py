"""Whether the process behind a run is alive."""

from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg
import psutil

from llm_jobs.orchestration.owners import PROCESS_TAG, may_be_alive, process_tag

STARTED = dg.DagsterRunStatus.STARTED


def dead_process_tag() -> str:
    """The tag of a process that ran and ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        started = psutil.Process(process.pid).create_time()
    return json.dumps({**json.loads(process_tag()), "pid": process.pid, "started": started})


def run_of(tag: str | None, status: dg.DagsterRunStatus = STARTED) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="run_jobs", status=status, tags={PROCESS_TAG: tag} if tag else {})


def test_a_run_of_this_process_is_alive() -> None:
    assert may_be_alive(run_of(process_tag()))


def test_a_run_of_a_process_that_ended_is_not() -> None:
    assert not may_be_alive(run_of(dead_process_tag()))


def test_a_run_that_ended_is_not() -> None:
    assert not may_be_alive(run_of(process_tag(), dg.DagsterRunStatus.SUCCESS))


def test_a_run_that_nobody_signed_yet_or_that_is_on_another_host_is_left_to_dagsters_monitoring() -> None:
    elsewhere = json.dumps({**json.loads(process_tag()), "host": "another", "pid": 1})
    assert may_be_alive(run_of(None))
    assert may_be_alive(run_of(elsewhere))


def test_a_run_of_an_earlier_boot_of_this_host_is_dead() -> None:
    earlier = json.dumps({**json.loads(process_tag()), "boot_id": "0", "started": 1.0})
    assert not may_be_alive(run_of(earlier))
