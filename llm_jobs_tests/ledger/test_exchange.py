"""The rules of `exchange`, the same on every database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llm_jobs.clock import SetClock
from llm_jobs.errors import ImmutableError, LlmJobsError
from llm_jobs.ledger.base import Exchange, Ledger, OutcomeStatus
from llm_jobs_tests.ledger.material import ELSEWHERE, JOB, Asker, facts, outcome


def test_a_call_that_nobody_asked_is_granted_with_an_intent(ledger: Ledger) -> None:
    done = Asker(ledger).ask("a", "b")

    assert set(done.granted) == {"a", "b"}
    assert len(set(done.granted.values())) == 2
    assert not done.answered
    assert not done.busy
    assert not done.failed


def test_intents_are_numbered_upwards(ledger: Ledger) -> None:
    asker = Asker(ledger)

    assert asker.claim("a") < asker.claim("b") < asker.claim("c")


def test_an_exchange_of_nothing_does_nothing(ledger: Ledger) -> None:
    assert ledger.exchange(Asker(ledger).owner_id, outcomes=[], wants=[]) == Exchange()


def test_an_answered_call_is_answered_and_no_intent_is_written(ledger: Ledger) -> None:
    asker = Asker(ledger)
    intent_id = asker.answer("a")

    done = Asker(ledger).ask("a")

    assert not done.granted
    answer = done.answered["a"]
    assert (answer.intent_id, answer.answer, answer.facts) == (intent_id, b"hi", facts())
    assert ledger.audit().intents == 1


def test_outcomes_are_settled_before_wants_of_the_same_exchange(ledger: Ledger) -> None:
    asker = Asker(ledger)
    intent_id = asker.claim("a")

    done = ledger.exchange(asker.owner_id, outcomes=[outcome("a", intent_id)], wants=[asker.want("a")])

    assert done.answered["a"].intent_id == intent_id


def test_a_call_wanted_twice_in_one_batch_is_granted_once_and_busy_behind_that(ledger: Ledger) -> None:
    done = Asker(ledger).ask("a", "b", "a")

    assert set(done.granted) == {"a", "b"}
    assert done.busy == {"a": done.granted["a"]}


def test_a_call_that_a_living_owner_holds_is_busy_behind_its_latest_intent(ledger: Ledger) -> None:
    holder, other = Asker(ledger), Asker(ledger)
    first = holder.claim("a")
    assert other.ask("a").busy == {"a": first}

    holder.report("a", first, "failed", final=False)
    second = holder.retry("a").granted["a"]

    assert second > first
    assert other.ask("a", behind=first).busy == {"a": second}


def test_a_call_that_this_owner_holds_already_is_busy_behind_itself(ledger: Ledger) -> None:
    asker = Asker(ledger)
    intent_id = asker.claim("a")

    assert asker.ask("a").busy == {"a": intent_id}


@pytest.mark.parametrize("status", ["truncated", "refused", "filtered", "empty", "failed", "rate_limited", "timed_out"])
def test_who_waits_behind_a_failure_gets_that_failure_and_does_not_ask_again(
    ledger: Ledger, status: OutcomeStatus
) -> None:
    holder, other = Asker(ledger), Asker(ledger)
    intent_id = holder.claim("a")
    holder.report("a", intent_id, status)

    done = other.ask("a", behind=intent_id)

    assert done.failed == {"a": facts(status)}
    assert not done.granted


def test_who_is_told_of_a_failure_claims_nothing(ledger: Ledger) -> None:
    holder, waiter, third = Asker(ledger), Asker(ledger), Asker(ledger)
    intent_id = holder.claim("a")
    holder.report("a", intent_id, "failed")
    assert set(waiter.ask("a", behind=intent_id).failed) == {"a"}

    assert set(third.ask("a").granted) == {"a"}


def test_who_asks_for_the_first_time_after_a_failure_is_granted_a_new_try(ledger: Ledger) -> None:
    holder, other = Asker(ledger), Asker(ledger)
    holder.report("a", holder.claim("a"), "failed")

    assert set(other.ask("a").granted) == {"a"}


def test_a_failure_before_the_one_that_was_waited_for_does_not_count(ledger: Ledger) -> None:
    first, second, third = Asker(ledger), Asker(ledger), Asker(ledger)
    first.report("a", first.claim("a"), "failed")
    intent_id = second.claim("a")
    assert third.ask("a", behind=intent_id).busy == {"a": intent_id}

    ledger.close_owner(second.owner_id)

    assert set(third.ask("a", behind=intent_id).granted) == {"a"}


def test_a_failure_that_a_retry_follows_is_not_told_to_those_who_wait(ledger: Ledger) -> None:
    holder, other = Asker(ledger), Asker(ledger)
    intent_id = holder.claim("a")
    holder.report("a", intent_id, "rate_limited", final=False)

    assert other.ask("a", behind=intent_id).busy == {"a": intent_id}


def test_an_answer_goes_before_an_older_failure(ledger: Ledger) -> None:
    asker, other = Asker(ledger), Asker(ledger)
    failed = asker.claim("a")
    asker.report("a", failed, "failed")
    asker.answer("a")

    assert set(other.ask("a", behind=failed).answered) == {"a"}


def test_a_retry_under_a_claim_that_was_taken_over_is_busy(ledger: Ledger, clock: SetClock) -> None:
    far, near = Asker(ledger, ELSEWHERE), Asker(ledger)
    first = far.claim("a")
    far.report("a", first, "failed", final=False)
    clock.advance(61)
    taken = near.claim("a")

    assert far.retry("a").busy == {"a": taken}


def test_a_retry_under_a_claim_that_was_given_back_claims_it_again(ledger: Ledger) -> None:
    asker = Asker(ledger)
    asker.report("a", asker.claim("a"), "failed")

    assert set(asker.retry("a").granted) == {"a"}


def test_the_claims_of_an_owner_elsewhere_are_free_60_s_after_its_last_heartbeat(
    ledger: Ledger, clock: SetClock
) -> None:
    far, near = Asker(ledger, ELSEWHERE), Asker(ledger)
    intent_id = far.claim("a")
    clock.advance(50)
    ledger.heartbeat(far.owner_id)
    clock.advance(59)
    assert near.ask("a").busy == {"a": intent_id}

    clock.advance(2)

    assert near.claim("a") > intent_id


def test_a_closed_owner_gives_back_its_claims(ledger: Ledger) -> None:
    holder, other = Asker(ledger), Asker(ledger)
    holder.claim("a")

    ledger.close_owner(holder.owner_id)

    assert set(other.ask("a").granted) == {"a"}


def test_a_late_answer_is_kept_and_listed_and_changes_no_answer(ledger: Ledger, clock: SetClock) -> None:
    far, near = Asker(ledger, ELSEWHERE), Asker(ledger)
    lost = far.claim("a")
    clock.advance(61)
    won = near.answer("a")

    far.report("a", lost)

    assert ledger.look_up(["a"])["a"].intent_id == won
    assert [attempt[0] for attempt in ledger.attempts("a")] == [lost, won]
    audit = ledger.audit()
    assert (audit.late, audit.paid_twice, audit.answers, audit.inconsistencies) == (1, 1, 1, ())
    assert (ledger.late(JOB), ledger.late("f" * 32)) == (1, 0)


def test_of_two_answers_in_one_exchange_the_first_that_is_told_is_the_answer_and_the_other_is_late(
    ledger: Ledger,
) -> None:
    asker = Asker(ledger)
    older = asker.claim("a")
    newer = asker.retry("a").granted["a"]

    ledger.exchange(asker.owner_id, outcomes=[outcome("a", newer), outcome("a", older)], wants=[])

    assert ledger.look_up(["a"])["a"].intent_id == newer
    assert ledger.audit().late == 1


def test_a_late_outcome_does_not_give_back_the_claim_of_who_took_over(ledger: Ledger, clock: SetClock) -> None:
    far, near, third = Asker(ledger, ELSEWHERE), Asker(ledger), Asker(ledger)
    lost = far.claim("a")
    clock.advance(61)
    taken = near.claim("a")

    far.report("a", lost, "failed")

    assert third.ask("a").busy == {"a": taken}


def test_two_answers_to_one_call_in_one_batch_make_one_answer(ledger: Ledger, clock: SetClock) -> None:
    far, near = Asker(ledger, ELSEWHERE), Asker(ledger)
    lost = far.claim("a")
    clock.advance(61)
    taken = near.claim("a")

    ledger.exchange(near.owner_id, outcomes=[outcome("a", lost), outcome("a", taken)], wants=[])

    assert ledger.look_up(["a"])["a"].intent_id == lost
    assert ledger.audit().late == 1


def test_a_second_outcome_of_one_intent_is_refused_and_nothing_of_its_batch_is_written(ledger: Ledger) -> None:
    asker = Asker(ledger)
    first, second = asker.answer("a"), asker.claim("b")

    with pytest.raises(ImmutableError, match="append-only"):
        ledger.exchange(asker.owner_id, outcomes=[outcome("b", second), outcome("a", first)], wants=[asker.want("c")])

    assert set(ledger.look_up(["a", "b"])) == {"a"}
    assert set(asker.ask("c").granted) == {"c"}
    asker.report("b", second)
    assert set(ledger.look_up(["b"])) == {"b"}


def test_an_outcome_of_no_intent_is_refused(ledger: Ledger) -> None:
    asker = Asker(ledger)

    with pytest.raises(LlmJobsError, match="does not exist"):
        asker.report("a", 999)


def test_an_outcome_is_filed_under_the_hash_of_its_intent_whatever_it_claims(ledger: Ledger) -> None:
    asker = Asker(ledger)
    intent_id = asker.claim("a")

    asker.report("b", intent_id)

    assert set(ledger.look_up(["a", "b"])) == {"a"}


def test_facts_and_bodies_come_back_as_they_went_in(ledger: Ledger) -> None:
    asker = Asker(ledger)
    intent_id = asker.claim("a")
    sent = outcome("a", intent_id, "failed", answer=bytes(range(256)) * 100)

    ledger.exchange(asker.owner_id, outcomes=[sent], wants=[])

    assert ledger.attempts("a") == [(intent_id, sent.facts, sent.request, sent.answer)]


def test_error_texts_with_nul_and_lone_surrogates_are_storable(ledger: Ledger) -> None:
    asker = Asker(ledger)
    intent_id = asker.claim("a")
    sent = outcome("a", intent_id, "failed")

    ledger.exchange(
        asker.owner_id, outcomes=[replace(sent, facts=replace(sent.facts, error="a\0b\ud800c €😀"))], wants=[]
    )

    assert ledger.attempts("a")[0][1].error == "a\ufffdb\ufffdc €😀"


def test_many_calls_are_settled_at_once(ledger: Ledger) -> None:
    asker = Asker(ledger)
    calls = [f"call-{number}" for number in range(2500)]

    granted = asker.ask(*calls).granted
    outcomes = [outcome(call, granted[call]) for call in calls]
    ledger.exchange(asker.owner_id, outcomes=outcomes, wants=[])

    assert len(ledger.look_up(calls)) == 2500
    assert len(asker.ask(*calls).answered) == 2500


@pytest.mark.parametrize("held", [False, True])
def test_a_call_that_failed_finally_may_be_wanted_in_the_same_exchange(ledger: Ledger, held: bool) -> None:
    asker, other = Asker(ledger), Asker(ledger)
    first = asker.claim("a")

    done = ledger.exchange(
        asker.owner_id, outcomes=[outcome("a", first, "failed")], wants=[asker.want("a", held=held), asker.want("b")]
    )

    assert set(done.granted) == {"a", "b"}
    assert done.granted["a"] > first
    assert other.ask("a").busy == {"a": done.granted["a"]}
