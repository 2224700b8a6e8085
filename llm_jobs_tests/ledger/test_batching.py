"""Vendors' batches in the ledger: owners that outlive their process, events, the jobs that wait for them."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from llm_jobs.clock import SetClock
from llm_jobs.errors import ImmutableError, LlmJobsError
from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.batch_records import UNSURE, Batch, BatchEvent, BatchEventKind, Waiting
from llm_jobs.ledger.owners import this_process
from llm_jobs.ledger.sql import SqlLedger
from llm_jobs_tests.ledger.material import ELSEWHERE, JOB, Asker, outcome


def call(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:32]


class Batcher(Asker):
    """A process that puts calls into a batch."""

    def submit(self, *call_hashes: str, token: str = "t1") -> Batch:
        self.owner_id = self.ledger.open_batch_owner(this_process())
        granted = self.ask(*call_hashes).granted
        batch = Batch(
            provider="openai",
            model="openai/m",
            base_url="https://api.openai.com/v1",
            path="/chat/completions",
            job_hash=JOB,
            submission_id=self.submission_id,
            owner_id=self.owner_id,
            token=token,
            calls=len(granted),
            bytes=100,
            sha256="0" * 64,
            details={"intents": [[number, number] for number in sorted(granted.values())]},
        )
        return replace(batch, id=self.ledger.record_batch(batch))

    def tell(self, batch: Batch, kind: BatchEventKind, vendor_id: str | None = None, status: str | None = None) -> None:
        assert batch.id is not None
        self.ledger.record_batch_event(BatchEvent(batch_id=batch.id, kind=kind, vendor_id=vendor_id, status=status))


def test_calls_of_a_batch_are_busy_for_everybody_until_its_owner_is_closed(ledger: Ledger) -> None:
    batcher, other = Batcher(ledger), Asker(ledger)
    batcher.submit(call(1), call(2))
    exchange = other.ask(call(1), call(3))
    assert set(exchange.busy) == {call(1)}
    assert set(exchange.granted) == {call(3)}
    ledger.close_owner(batcher.owner_id)
    assert set(other.ask(call(1)).granted) == {call(1)}


def test_a_batch_is_told_with_its_events_and_its_phase(ledger: Ledger) -> None:
    batcher = Batcher(ledger)
    batch = batcher.submit(call(1))
    [state] = ledger.batches(unfinished=True)
    assert (state.phase, state.vendor_id, state.owns, state.submitter_runs) == ("recorded", None, True, True)
    assert state.batch.details == batch.details
    batcher.tell(batch, "uploaded", "file-1")
    batcher.tell(batch, "polled", status=UNSURE)
    batcher.tell(batch, "submitted", "batch-1")
    [state] = ledger.batches(job_hash=JOB)
    assert (state.phase, state.vendor_id, state.file_id, state.is_unsure) == ("submitted", "batch-1", "file-1", True)
    assert [event.kind for event in state.events] == ["uploaded", "polled", "submitted"]
    batcher.tell(batch, "ended", "batch-1", "completed")
    batcher.tell(batch, "collected", "batch-1")
    ledger.close_owner(batch.owner_id)
    assert ledger.batches(unfinished=True) == []
    assert ledger.batches(ids=[state.id])[0].phase == "collected"


def test_a_batch_that_was_given_up_is_still_looked_at_for_its_lines(ledger: Ledger) -> None:
    batcher = Batcher(ledger)
    never, there = batcher.submit(call(1), token="a"), batcher.submit(call(2), token="b")
    batcher.tell(there, "submitted", "batch-2")
    for batch in (never, there):
        batcher.tell(batch, "lost", status="forgotten")
        ledger.close_owner(batch.owner_id)
    assert [state.batch.token for state in ledger.batches(unfinished=True)] == ["b"]


def test_a_token_stands_for_one_batch(ledger: Ledger) -> None:
    batcher = Batcher(ledger)
    batcher.submit(call(1), token="same")
    with pytest.raises(ImmutableError):
        batcher.submit(call(2), token="same")


def test_a_batch_whose_calls_were_given_to_others_is_not_made(ledger: Ledger) -> None:
    batcher = Batcher(ledger)
    made = batcher.submit(call(1))
    ledger.close_owner(batcher.owner_id)
    with pytest.raises(LlmJobsError, match="given to others"):
        ledger.record_batch(replace(made, token="another"))


def test_the_calls_of_a_batch_tell_what_is_recorded(ledger: Ledger) -> None:
    other, batcher = Asker(ledger), Batcher(ledger)
    batch = batcher.submit(*map(call, range(5)))
    other.claim(call(9))
    calls = ledger.batch_calls(batch)
    assert set(calls) == set(map(call, range(5)))
    assert not any(each.recorded for each in calls.values())
    batcher.report(call(2), calls[call(2)].intent_id)
    assert [h for h, each in ledger.batch_calls(batch).items() if each.recorded] == [call(2)]
    assert set(ledger.claimed_by(batch.owner_id)) == set(map(call, (0, 1, 3, 4)))
    assert ledger.holders([call(1), call(2), call(9)]) == {call(1): batch.owner_id, call(9): other.owner_id}


def test_an_intent_says_how_its_call_is_asked(ledger: Ledger) -> None:
    asker = Asker(ledger)
    wants = [replace(asker.want(call(1)), mode="batch"), asker.want(call(2))]
    ledger.exchange(asker.owner_id, outcomes=[], wants=wants)
    assert isinstance(ledger, SqlLedger)
    with ledger._reading() as plain:
        rows = plain.rows("SELECT call_hash, mode FROM intents")
    assert set(rows) == {(call(1), "batch"), (call(2), "online")}


def test_an_answer_that_comes_when_there_is_one_already_is_late(ledger: Ledger) -> None:
    batcher, other = Batcher(ledger), Asker(ledger)
    batch = batcher.submit(call(1))
    intent_id = ledger.batch_calls(batch)[call(1)].intent_id
    ledger.close_owner(batch.owner_id)
    other.answer(call(1))
    batcher.report(call(1), intent_id)
    assert ledger.audit().late == 1
    assert ledger.look_up([call(1)])[call(1)].intent_id != intent_id


def test_an_owner_without_a_batch_is_abandoned_when_its_process_is_gone(ledger: Ledger, clock: SetClock) -> None:
    alive = ledger.open_batch_owner(this_process())
    gone = ledger.open_batch_owner(ELSEWHERE)
    assert ledger.abandoned_owners() == []
    clock.advance(3600)
    assert ledger.abandoned_owners() == [gone]
    assert ledger.owners_alive([alive, gone, 999]) == {alive, gone}
    ledger.close_owner(gone)
    assert ledger.abandoned_owners() == []
    assert ledger.owners_alive([alive, gone]) == {alive}


def test_refusals_are_final_outcomes_that_are_no_answer(ledger: Ledger) -> None:
    asker = Asker(ledger)
    for status in ("failed", "truncated"):
        asker.report(call(1), asker.claim(call(1)), status)
    asker.answer(call(2))
    ledger.exchange(asker.owner_id, outcomes=[outcome(call(3), asker.claim(call(3)), "failed", final=False)], wants=[])
    found = ledger.refusals([call(1), call(2), call(3), call(4)])
    assert {key: [each.facts.status for each in value] for key, value in found.items()} == {
        call(1): ["failed", "truncated"]
    }
    assert [each.answer for each in found[call(1)]] == [b"hi", b"hi"]


def test_a_job_waits_until_it_is_worked_on_again(ledger: Ledger) -> None:
    ledger.wait(Waiting(job_hash=JOB, reason="a batch", owners=(3, 4), calls=(call(1),), not_before_ns=7))
    ledger.wait(Waiting(job_hash=JOB, reason="another batch", owners=(5,)))
    waiting = ledger.waiting([JOB, "x" * 32])[JOB]
    assert (waiting.reason, waiting.owners, waiting.not_before_ns, waiting.over) == ("another batch", (5,), 0, False)
    assert ledger.waiting([JOB])[JOB].calls == ()
    ledger.end_waiting(JOB)
    assert ledger.waiting()[JOB].over
    assert ledger.waiting()[JOB].since_ns == waiting.since_ns
    assert ledger.waiting(["y" * 32]) == {}
