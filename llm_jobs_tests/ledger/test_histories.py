"""What became of one call: attempts that were recorded, and the one that is under way."""

from __future__ import annotations

from dataclasses import replace

from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.owners import this_process
from llm_jobs_tests.ledger.material import JOB, Asker


def test_every_attempt_is_told_with_its_job_and_the_one_under_way(ledger: Ledger) -> None:
    asker = Asker(ledger)
    assert ledger.traces("c1") == []

    first = asker.claim("c1")
    [waiting] = ledger.traces("c1")
    assert (waiting.intent_id, waiting.job_hash, waiting.facts, waiting.is_answer) == (first, JOB, None, False)

    asker.report("c1", first, "failed")
    second = asker.answer("c1")
    failed, answered = ledger.traces("c1")
    assert failed.facts is not None
    assert (failed.facts.status, failed.is_answer) == ("failed", False)
    assert (answered.intent_id, answered.is_answer) == (second, True)
    assert answered.recorded_ns is not None
    assert ledger.traces("c2") == []


def test_an_attempt_whose_owner_died_is_lost_and_told_to_its_job_also_once_the_call_was_taken_over(
    ledger: Ledger,
) -> None:
    killed = Asker(ledger, replace(this_process(), started=1.0))
    first = killed.claim("c1")
    [lost] = ledger.traces("c1")
    assert (lost.intent_id, lost.facts, lost.is_lost) == (first, None, True)

    second = Asker(ledger).claim("c1")
    assert [(each.intent_id, each.is_lost) for each in ledger.traces("c1", job_hash=JOB)] == [
        (first, True),
        (second, False),
    ]
    assert [each.intent_id for each in ledger.traces("c1")] == [second]
    assert ledger.traces("c2", job_hash=JOB) == []


def test_what_was_recorded_is_not_lost_though_its_owner_is_gone(ledger: Ledger) -> None:
    killed = Asker(ledger, replace(this_process(), started=1.0))
    killed.answer("c1")
    assert [each.is_lost for each in ledger.traces("c1", job_hash=JOB)] == [False]


def test_an_attempt_that_a_closed_owner_left_open_is_told_to_its_job_as_lost(ledger: Ledger) -> None:
    stopped = Asker(ledger)
    stopped.claim("c1")
    ledger.close_owner(stopped.owner_id)
    assert [each.is_lost for each in ledger.traces("c1", job_hash=JOB)] == [True]
