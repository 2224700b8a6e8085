"""Who is alive: processes on this machine are looked up, others are judged by their last heartbeat."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from llm_jobs.clock import SetClock
from llm_jobs.ledger.base import Ledger, OwnerIdentity
from llm_jobs.ledger.owners import is_alive, this_process
from llm_jobs_tests.ledger.material import ELSEWHERE, Asker

BOOTED_NS = int(psutil.boot_time() * 1e9)
LONG_AGO_NS = BOOTED_NS - 10**9
NOW_NS = BOOTED_NS + 10**15


def alive(identity: OwnerIdentity, *, beat_ns: int, now_ns: int = NOW_NS) -> bool:
    return is_alive(identity, last_heartbeat_ns=beat_ns, now_ns=now_ns)


def test_this_process_is_alive_however_old_its_heartbeat() -> None:
    assert alive(this_process(), beat_ns=0)


def test_the_identity_tells_the_run() -> None:
    assert this_process("run-7") == replace(this_process(), run_id="run-7")


def test_a_pid_that_somebody_else_has_now_is_not_the_owner() -> None:
    me = this_process()

    assert not alive(replace(me, started=me.started - 100), beat_ns=NOW_NS)


def test_an_ended_process_is_dead_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        owner = replace(this_process(), pid=child.pid, started=process.create_time())
        assert alive(owner, beat_ns=NOW_NS)
        child.kill()
        child.wait()

    assert not alive(owner, beat_ns=NOW_NS)


def test_a_killed_process_that_nobody_has_waited_for_is_dead() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = psutil.Process(child.pid)
        owner = replace(this_process(), pid=child.pid, started=process.create_time())
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert not alive(owner, beat_ns=NOW_NS)


def test_an_owner_from_before_this_machine_booted_is_dead_at_once() -> None:
    owner = replace(this_process(), boot_id="another boot")

    assert not alive(owner, beat_ns=LONG_AGO_NS, now_ns=LONG_AGO_NS + 1)


def test_another_machine_of_the_same_name_is_judged_by_its_heartbeat() -> None:
    owner = replace(this_process(), boot_id="another boot")

    assert alive(owner, beat_ns=NOW_NS - 10**9)
    assert not alive(owner, beat_ns=NOW_NS - 61 * 10**9)


@pytest.mark.parametrize(("age_s", "expected"), [(0, True), (60, True), (61, False)])
def test_an_owner_elsewhere_is_alive_for_60_s_after_its_heartbeat(age_s: int, expected: bool) -> None:
    assert alive(ELSEWHERE, beat_ns=NOW_NS - age_s * 10**9) is expected


def test_another_pid_namespace_is_another_host() -> None:
    me = this_process()
    container = replace(me, host=me.host.replace("pid:[", "pid:[1"), pid=1)

    assert "pid:[" in me.host
    assert alive(container, beat_ns=NOW_NS)
    assert not alive(container, beat_ns=NOW_NS - 61 * 10**9)


def test_live_runs_are_those_of_living_owners(ledger: Ledger, clock: SetClock) -> None:
    me = this_process("here")
    for identity in (me, me, ELSEWHERE, replace(me, run_id="gone", started=1.0), this_process(None)):
        ledger.open_owner(identity)
    closed = ledger.open_owner(this_process("closed"))
    ledger.close_owner(closed)

    assert ledger.live_runs(me.host) == ["here", "far"]
    clock.advance(61)
    assert ledger.live_runs(me.host) == ["here"]


def test_a_batch_holds_its_calls_until_it_is_closed_whatever_becomes_of_who_submitted_it(
    ledger: Ledger, clock: SetClock
) -> None:
    batch = ledger.open_batch_owner(replace(ELSEWHERE, run_id="ended"))
    other = Asker(ledger)
    wants = [other.want("a")]
    intent_id = ledger.exchange(batch, outcomes=[], wants=wants).granted["a"]

    clock.advance(100_000)
    assert other.ask("a").busy == {"a": intent_id}
    assert ledger.live_runs(ELSEWHERE.host) == []

    ledger.close_owner(batch)
    assert set(other.ask("a").granted) == {"a"}
