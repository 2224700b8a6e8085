"""Several real processes on one ledger: races, deaths and durability."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from llm_jobs.clock import SetClock, WallClock
from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.migrations import LATEST
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.ledger.postgres import PostgresLedger
from llm_jobs.ledger.sql import SqlLedger
from llm_jobs.ledger.sqlite import SqliteLedger
from llm_jobs_tests.ledger.conftest import NOON_NS
from llm_jobs_tests.ledger.material import Asker

Child = subprocess.Popen[str]


@contextmanager
def child(url: str, mode: str, *arguments: str) -> Iterator[Child]:
    command = [sys.executable, "-m", "llm_jobs_tests.ledger.child", url, mode, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def read(process: Child) -> list[str]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the child ended without a word"
    return line.split()


def go(*processes: Child) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


@pytest.fixture
def shared(shared_url: str) -> Iterator[Ledger]:
    ledger = open_ledger(shared_url, clock=WallClock())
    yield ledger
    ledger.close()


def test_two_processes_that_want_the_same_500_calls_are_granted_each_once(shared_url: str, shared: Ledger) -> None:
    calls = [f"call-{number}" for number in range(500)]
    with ExitStack() as stack:
        racers = [stack.enter_context(child(shared_url, "race", name, *calls)) for name in ("one", "two", "three")]
        assert [read(racer) for racer in racers] == [["ready"]] * 3
        go(*racers)
        granted = Counter(call for racer in racers for call in read(racer))

    assert granted == Counter(calls)
    assert set(shared.look_up(calls)) == set(calls)
    audit = shared.audit()
    assert (audit.intents, audit.outcomes, audit.paid_twice, audit.inconsistencies) == (500, 500, 0, ())


def test_processes_that_open_a_fresh_ledger_at_once_all_succeed(shared_url: str) -> None:
    with ExitStack() as stack:
        openers = [stack.enter_context(child(shared_url, "open")) for _ in range(3)]
        assert [read(opener) for opener in openers] == [["ready"]] * 3
        go(*openers)
        assert [read(opener) for opener in openers] == [["opened"]] * 3


def test_a_fresh_ledger_is_migrated_once_however_many_find_it_empty(shared_url: str) -> None:
    together = threading.Barrier(4)
    versions: list[int] = []

    def migrate() -> None:
        path = shared_url.removeprefix("sqlite:///")
        ledger: SqlLedger = (
            PostgresLedger(make_url(shared_url), clock=SetClock(1))
            if path == shared_url
            else SqliteLedger(Path(path), clock=SetClock(1))
        )
        assert ledger._version() == 0
        together.wait()
        ledger.migrate()
        versions.append(ledger._version())
        ledger.close()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert versions == [LATEST] * 4


def test_the_claims_of_a_killed_process_are_taken_over_at_once(shared_url: str, shared: Ledger) -> None:
    asker = Asker(shared)
    with child(shared_url, "hold", "a", "b") as holder:
        assert set(read(holder)) == {"a", "b"}
        assert set(asker.ask("a", "b").busy) == {"a", "b"}
        holder.kill()
        holder.wait()

        done = asker.ask("a", "b", "c")

    assert set(done.granted) == {"a", "b", "c"}
    lost = [row for row in shared.unrecorded() if not row.owner_alive]
    assert {row.call_hash for row in lost} == {"a", "b"}


def test_what_exchange_returned_from_survives_a_kill(shared_url: str, shared: Ledger) -> None:
    calls = [f"call-{number}" for number in range(50)]
    with child(shared_url, "record", *calls) as recorder:
        assert read(recorder) == ["recorded"]
        recorder.kill()

    assert set(shared.look_up(calls)) == set(calls)
    assert shared.audit().inconsistencies == ()


def test_readers_in_other_threads_go_on_while_exchanges_do(shared_url: str) -> None:
    ledger = open_ledger(shared_url, clock=SetClock(NOON_NS))
    asker, reader = Asker(ledger), Asker(ledger)
    done = threading.Event()
    audits: list[Sequence[str]] = []

    def read_on() -> None:
        while not done.is_set() or not audits:
            audits.append(ledger.audit().inconsistencies)
            ledger.look_up(["call-1", "call-2"])
            ledger.heartbeat(reader.owner_id)

    thread = threading.Thread(target=read_on)
    thread.start()
    for number in range(100):
        asker.answer(f"call-{number}")
    done.set()
    thread.join()

    assert set(audits) == {()}
    assert ledger.audit().answers == 100
    ledger.close()
