"""Slots of pools, with a limit of one, and with processes that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dagster as dg
import pytest

from llm_jobs.orchestration.instances import open_instance
from llm_jobs.orchestration.owners import PROCESS_TAG, process_tag
from llm_jobs.orchestration.pools import Pools, limited_pools

HOLDER = """
import sys, time
from pathlib import Path
from llm_jobs.orchestration.instances import open_instance
from llm_jobs.orchestration.owners import PROCESS_TAG, process_tag
from llm_jobs.orchestration.pools import Pools
import dagster as dg

instance = open_instance(Path(sys.argv[1]))
run = instance.run_storage.add_run(
    dg.DagsterRun(job_name="run_jobs", status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: process_tag()})
)
with Pools(sleep=time.sleep).held(instance, run.run_id, names=["openai"]):
    print(run.run_id, flush=True)
    sys.stdin.read()
"""


class Impatient(Exception):
    """Raised instead of waiting."""


def no_waiting(seconds: float) -> None:
    raise Impatient


def started_run(instance: dg.DagsterInstance) -> str:
    run = dg.DagsterRun(job_name="run_jobs", status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: process_tag()})
    return instance.run_storage.add_run(run).run_id


def claimed(instance: dg.DagsterInstance, name: str) -> list[str]:
    return [slot.run_id for slot in instance.event_log_storage.get_concurrency_info(name).claimed_slots]


@pytest.fixture
def holder(instance: dg.DagsterInstance, dagster_home: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the only slot of `openai`."""
    instance.event_log_storage.set_concurrency_slots("openai", 1)
    command = [sys.executable, "-c", HOLDER, str(dagster_home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield process
        process.kill()


def test_a_pool_without_a_limit_is_not_claimed(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("openai", 1)
    assert limited_pools(instance, ["anthropic", "openai"]) == ["openai"]
    with Pools(sleep=no_waiting).held(instance, started_run(instance), names=["anthropic"]):
        assert claimed(instance, "anthropic") == []


def test_a_slot_is_held_for_the_run_and_given_back_after_an_error(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("openai", 1)
    run_id = started_run(instance)
    held = Pools(sleep=no_waiting).held(instance, run_id, names=["openai"])
    with suppress(ZeroDivisionError), held:
        assert claimed(instance, "openai") == [run_id]
        raise ZeroDivisionError
    assert claimed(instance, "openai") == []


def test_who_finds_the_only_slot_taken_waits_until_it_is_free(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("openai", 1)
    first, second = started_run(instance), started_run(instance)
    waits = []
    holding = Pools(sleep=no_waiting).held(instance, first, names=["openai"])
    holding.__enter__()

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            holding.__exit__(None, None, None)

    with Pools(sleep=wait, poll_interval_s=0.5).held(instance, second, names=["openai"]):
        assert claimed(instance, "openai") == [second]
    assert waits[:3] == [0.5, 0.5, 0.5]


def test_who_gives_up_waiting_leaves_no_place_in_the_queue(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("openai", 1)
    first, second, third = started_run(instance), started_run(instance), started_run(instance)
    waiting = Pools(sleep=no_waiting).held(instance, second, names=["openai"])
    with Pools(sleep=no_waiting).held(instance, first, names=["openai"]), pytest.raises(Impatient):
        waiting.__enter__()
    with Pools(sleep=no_waiting).held(instance, third, names=["openai"]):
        assert claimed(instance, "openai") == [third]


def test_two_pools_are_claimed_together_and_given_back_together(instance: dg.DagsterInstance) -> None:
    for name in ("anthropic", "openai"):
        instance.event_log_storage.set_concurrency_slots(name, 1)
    with Pools(sleep=no_waiting).held(instance, started_run(instance), names=["openai", "anthropic"]):
        assert claimed(instance, "openai")
        assert claimed(instance, "anthropic")
    assert not claimed(instance, "openai")
    assert not claimed(instance, "anthropic")


def test_an_explicit_limit_is_not_overwritten(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.set_concurrency_slots("openai", 7)
    limited_pools(instance, ["openai"])
    assert instance.event_log_storage.get_concurrency_info("openai").slot_count == 7


def test_the_default_limit_of_the_instance_holds_for_pools_without_their_own(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("concurrency: {pools: {granularity: op, default_limit: 1}}\n")
    with open_instance(tmp_path) as instance:
        first, second = started_run(instance), started_run(instance)
        waiting = Pools(sleep=no_waiting).held(instance, second, names=["anthropic"])
        with Pools(sleep=no_waiting).held(instance, first, names=["anthropic"]), pytest.raises(Impatient):
            waiting.__enter__()


def test_the_slot_of_a_living_process_is_not_taken(instance: dg.DagsterInstance, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(Impatient), Pools(sleep=no_waiting).held(instance, started_run(instance), names=["openai"]):
        pass


def test_the_slot_of_a_killed_process_is_taken_at_once(
    instance: dg.DagsterInstance, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    run_id = started_run(instance)
    with Pools(sleep=no_waiting).held(instance, run_id, names=["openai"]):
        assert claimed(instance, "openai") == [run_id]


def test_a_place_in_the_queue_of_a_killed_process_is_no_obstacle(
    instance: dg.DagsterInstance, holder: subprocess.Popen[str], dagster_home: Path
) -> None:
    command = [sys.executable, "-c", HOLDER, str(dagster_home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as waiter:
        while not instance.event_log_storage.get_concurrency_info("openai").pending_step_count:
            assert waiter.poll() is None
        waiter.kill()
    holder.kill()
    holder.wait()
    with Pools(sleep=no_waiting).held(instance, started_run(instance), names=["openai"]):
        pass
