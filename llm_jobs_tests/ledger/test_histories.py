"""What became of one call: attempts that were recorded, and the one that is under way."""

from __future__ import annotations

from llm_jobs.ledger.base import Ledger
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
