"""Calls that were cut off are known, so that the same request is never sent again."""

from __future__ import annotations

from typing import get_args

from llm_jobs.documents.job import AnswerStatus
from llm_jobs.ledger.base import Ledger, OutcomeStatus
from llm_jobs_tests.ledger.material import Asker


def test_a_call_that_was_cut_off_is_told_with_its_text_and_its_newest_attempt(ledger: Ledger) -> None:
    asker = Asker(ledger)
    asker.report("no", asker.claim("no"), "refused")
    asker.report("cut", asker.claim("cut"), "truncated")
    asker.report("cut", newest := asker.claim("cut"), "truncated")
    asker.answer("whole")
    found = ledger.truncated(["cut", "no", "whole", "unknown"])
    assert list(found) == ["cut"]
    assert (found["cut"].facts.status, found["cut"].answer, found["cut"].intent_id) == ("truncated", b"hi", newest)
    assert found["cut"].facts.cost_usd == 0.25
    assert ledger.look_up(["cut"]) == {}


def test_every_answer_that_is_no_success_can_be_looked_back_to(ledger: Ledger) -> None:
    asker = Asker(ledger)
    statuses: tuple[OutcomeStatus, ...] = (
        "truncated",
        "refused",
        "filtered",
        "empty",
        "invalid",
        "failed",
        "cancelled",
    )
    for status in statuses:
        asker.report(status, asker.claim(status), status)
    asker.answer("succeeded")
    found = ledger.unsuccessful([*statuses, "succeeded", "unknown"])
    assert {call_hash: answer.facts.status for call_hash, answer in found.items()} == {
        status: status for status in get_args(AnswerStatus)
    }


def test_an_attempt_that_is_followed_by_a_retry_is_not_the_end_of_its_call(ledger: Ledger) -> None:
    asker = Asker(ledger)
    asker.report("cut", asker.claim("cut"), "truncated", final=False)
    assert ledger.truncated(["cut"]) == {}


def test_an_erased_text_stays_a_truncation(ledger: Ledger) -> None:
    asker = Asker(ledger)
    asker.report("cut", asker.claim("cut"), "truncated")
    ledger.erase(call_hashes=["cut"], who="ada", why="asked for")
    assert ledger.truncated(["cut"])["cut"].answer is None
