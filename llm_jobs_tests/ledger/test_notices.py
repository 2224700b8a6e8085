"""Of several processes that would send a message about a job, one does; on every database."""

from __future__ import annotations

import threading

import pytest

from llm_jobs.clock import SetClock
from llm_jobs.ledger.base import Ledger, Notice
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.ledger.owners import this_process
from llm_jobs_tests.ledger.material import ELSEWHERE, JOB

OTHER_JOB = "k" * 32
RACERS = 8


@pytest.fixture
def owners(ledger: Ledger) -> tuple[int, int]:
    """Two that run the same job."""
    return ledger.open_owner(this_process("one")), ledger.open_owner(this_process("other"))


def notice(owner_id: int, number: int = 1, *, about: str = "alert", job_hash: str = JOB) -> Notice:
    return Notice(job_hash=job_hash, about=about, number=number, owner_id=owner_id)


def test_what_was_told_is_not_told_by_another_and_everything_else_is(ledger: Ledger, owners: tuple[int, int]) -> None:
    one, other = owners
    assert ledger.tell(notice(one))
    assert not ledger.tell(notice(other))
    assert ledger.tell(notice(other, about="end"))
    assert ledger.tell(notice(other, job_hash=OTHER_JOB))


def test_who_told_last_tells_again_while_it_is_alive_and_then_the_other(
    ledger: Ledger, owners: tuple[int, int]
) -> None:
    one, other = owners
    assert ledger.tell(notice(one))
    assert not ledger.tell(notice(other, 2))
    assert ledger.tell(notice(one, 2))
    ledger.close_owner(one)
    assert not ledger.tell(notice(other, 2))
    assert ledger.tell(notice(other, 3))


def test_what_was_told_is_counted_by_job_and_message(ledger: Ledger, owners: tuple[int, int]) -> None:
    one, _ = owners
    for number in (1, 2):
        ledger.tell(notice(one, number))
    ledger.tell(notice(one, about="end"))
    ledger.tell(notice(one, job_hash=OTHER_JOB))
    assert ledger.told(JOB) == {"alert": 2, "end": 1}
    assert ledger.told("0" * 32) == {}


def test_one_on_another_machine_that_is_silent_for_a_minute_tells_no_more(shared_url: str, clock: SetClock) -> None:
    ledger = open_ledger(shared_url, clock=clock, owner_timeout_s=60.0)
    far, here = ledger.open_owner(ELSEWHERE), ledger.open_owner(this_process())
    assert ledger.tell(notice(far))
    assert not ledger.tell(notice(here, 2))
    ledger.close_owner(far)
    assert ledger.tell(notice(here, 2))
    ledger.close()


def test_of_many_that_tell_at_once_one_does(shared_url: str, clock: SetClock) -> None:
    with_ledger = [open_ledger(shared_url, clock=clock) for _ in range(RACERS)]
    barrier, told = threading.Barrier(RACERS), list[bool]()

    def race(ledger: Ledger) -> None:
        owner_id = ledger.open_owner(this_process())
        barrier.wait()
        told.append(ledger.tell(notice(owner_id)))

    threads = [threading.Thread(target=race, args=(ledger,)) for ledger in with_ledger]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ledger in with_ledger:
        ledger.close()
    assert sorted(told) == [False] * (RACERS - 1) + [True]
