"""What lies beside the calls: submissions, results, receipts, model versions, spend, and the audit."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from llm_jobs.clock import SetClock
from llm_jobs.errors import CallTimeout, PermanentError, RateLimited, TransientError
from llm_jobs.ledger import spending
from llm_jobs.ledger.base import (
    DeadLetter,
    Facts,
    JobChange,
    Ledger,
    ModelVersion,
    OutcomeStatus,
    Receipt,
    ResultRecord,
    Spend,
    UsageRow,
)
from llm_jobs.ledger.charges import surely_free
from llm_jobs.ledger.opening import open_ledger
from llm_jobs_tests.ledger.conftest import NOON_NS
from llm_jobs_tests.ledger.material import ELSEWHERE, JOB, Asker, outcome, submission


def result(job_hash: str, epoch_ns: int, *, succeeded: int = 2, failed: int = 0) -> ResultRecord:
    return ResultRecord(
        job_hash=job_hash,
        path=f"{job_hash}/{epoch_ns}.parquet",
        epoch_ns=epoch_ns,
        sha256="ab" * 32,
        size_bytes=1234,
        rows=2,
        succeeded=succeeded,
        failed=failed,
        facts={"calls_sent": 2, "cost_usd": None},
    )


def test_a_submission_comes_back_as_it_went_in(ledger: Ledger) -> None:
    sent = replace(submission(), as_of_ns=5, document=b"\xff\x00", labels={"α": "β"}, details={"file": {"size": 3}})

    [number] = ledger.submit([sent])

    [found] = ledger.submissions(job_hash=JOB)
    assert found.submitted_ns is not None
    assert found.submitted_ns >= NOON_NS
    assert found == replace(sent, id=number, submitted_ns=found.submitted_ns)


def test_submissions_are_found_by_any_of_their_names_newest_first(ledger: Ledger) -> None:
    a, b, c = ledger.submit(
        [
            submission("1"),
            submission("2", document_name="b.yaml"),
            submission("1", name="other", document_name="b.yaml"),
        ]
    )

    assert [item.id for item in ledger.submissions()] == [c, b, a]
    assert [item.id for item in ledger.submissions(job_hash="1")] == [c, a]
    assert [item.id for item in ledger.submissions(name="reviews")] == [b, a]
    assert [item.id for item in ledger.submissions(document_name="b.yaml", job_hash="1")] == [c]
    assert ledger.submissions(name="unknown") == []


def test_the_latest_jobs_are_told_once_each_without_bodies(ledger: Ledger) -> None:
    _, b, c, d = ledger.submit([submission("1"), submission("2"), submission("3"), submission("1")])

    latest = ledger.latest_jobs(2)

    assert [item.id for item in latest] == [d, c]
    assert {(item.document, item.job) for item in latest} == {(b"", b"")}
    assert [item.id for item in ledger.latest_jobs(10)] == [d, c, b]


def test_a_job_is_unfinished_until_a_result_has_every_row(ledger: Ledger) -> None:
    ledger.submit([submission("1"), submission("2"), submission("3"), submission("1")])
    assert ledger.unfinished() == ["1", "2", "3"]

    ledger.record_result(result("1", 10, succeeded=1, failed=1))
    ledger.record_result(result("2", 11))
    assert ledger.unfinished() == ["1", "3"]

    ledger.record_result(result("1", 12))
    assert ledger.unfinished() == ["3"]


def test_results_are_told_by_job_newest_first(ledger: Ledger) -> None:
    for record in (result("1", 10), result("2", 11), result("1", 12)):
        ledger.record_result(record)

    found = ledger.results(["1", "2", "3"])

    assert {job: [record.epoch_ns for record in records] for job, records in found.items()} == {
        "1": [12, 10],
        "2": [11],
    }
    newest = found["1"][0]
    assert newest == replace(result("1", 12), recorded_ns=newest.recorded_ns)
    assert ledger.results([]) == {}


def test_receipts_model_versions_and_dead_letters_come_back_in_order(ledger: Ledger) -> None:
    receipts = [
        Receipt(job_hash=JOB, result_path="p", destination=name, rows=2, details={"format": "csv"}) for name in "ab"
    ]
    versions = [ModelVersion(name="m", definition={"rpm": rpm}, who="ada", why="more") for rpm in (1, 2)]
    letter = DeadLetter(kind="document", reference="x.yaml", reason="unknown key", body=b"x: 1", job_hash=JOB)
    for receipt in receipts:
        ledger.record_receipt(receipt)
    for number, version in enumerate(versions):
        assert ledger.newest_model_version() == number
        ledger.record_model_version(version)
    ledger.record_dead_letter(letter)

    assert [replace(found, recorded_ns=None) for found in ledger.receipts(JOB)] == receipts
    assert ledger.receipts("another") == []
    assert [replace(found, recorded_ns=None) for found in ledger.model_versions()] == versions
    assert ledger.newest_model_version() == len(versions)
    assert [replace(found, recorded_ns=None) for found in ledger.dead_letters()] == [letter]


def test_what_was_changed_of_a_job_is_told_in_order_with_who_and_why(ledger: Ledger) -> None:
    sent = [
        JobChange(job_hash=JOB, field="budget", value={"max_cost_usd": 2.5, "max_tokens": None}, who="ada", why="more"),
        JobChange(job_hash="another", field="approved", value=True, who="bob"),
        JobChange(job_hash=JOB, field="mode", value="batch", who="ada"),
    ]

    first, second, third = [ledger.record_change(change) for change in sent]

    recorded = [
        replace(change, id=number, recorded_ns=NOON_NS)
        for change, number in zip(sent, (first, second, third), strict=True)
    ]
    found = ledger.changes(JOB)
    assert [replace(change, recorded_ns=NOON_NS) for change in found] == [recorded[0], recorded[2]]
    assert [change.id for change in ledger.changes_since(0)] == [first, second, third]
    assert [change.id for change in ledger.changes_since(second)] == [third]
    assert ledger.changes_since(third) == []


def test_spend_counts_what_a_job_paid_and_not_what_it_reused(ledger: Ledger) -> None:
    buyer, reader = Asker(ledger), Asker(ledger)
    buyer.answer("a")
    first = buyer.claim("b")
    buyer.report("b", first, "truncated", final=False)
    buyer.report("b", buyer.retry("b").granted["b"])
    assert set(reader.ask("a", "b").answered) == {"a", "b"}

    expected = Spend(attempts=3, calls=2, prompt_tokens=30, completion_tokens=15, cost_usd=0.75)
    assert ledger.spend([JOB, "unknown"]) == {JOB: expected}


def test_a_call_that_was_never_sent_is_neither_a_call_nor_an_attempt_nor_unpriced(ledger: Ledger) -> None:
    asker = Asker(ledger)
    limited = Facts(status="rate_limited", http_status=429)
    unsent = Facts(status="cancelled", error_class="Cancelled")

    def end(call_hash: str, intent_id: int, facts: Facts, *, final: bool = True) -> None:
        ended = replace(outcome(call_hash, intent_id, final=final), facts=facts)
        ledger.exchange(asker.owner_id, outcomes=[ended], wants=[])

    asker.answer("a")
    end("b", asker.claim("b"), Facts(status="failed", http_status=400))
    end("c", asker.claim("c"), unsent)
    end("d", asker.claim("d"), replace(unsent, error_class="BatchUnsent"))
    end("e", asker.claim("e"), limited, final=False)
    end("e", asker.retry("e").granted["e"], unsent)

    spend, [row] = ledger.spend([JOB])[JOB], ledger.usage()

    assert (spend.calls, spend.attempts, spend.unpriced) == (3, 3, 0)
    assert (row.calls, row.attempts, row.unpriced) == (3, 3, 0)


def test_a_job_that_sent_nothing_used_nothing(ledger: Ledger) -> None:
    asker = Asker(ledger)
    asker.report("a", asker.claim("a"), "cancelled")

    assert (ledger.spend([JOB]), ledger.usage()) == ({}, [])


def test_what_is_unpriced_is_what_budgets_count_at_its_worst(ledger: Ledger) -> None:
    asker = Asker(ledger)
    errors = (None, *(kind.__name__ for kind in (PermanentError, TransientError, RateLimited, CallTimeout)))
    codes = (None, 200, 399, 400, 404, 413, 429, 499, 500, 503, 504, 524, 529)
    cases = {
        f"{number:032x}": Facts(status=status, error_class=error, http_status=code)
        for number, (status, error, code) in enumerate(
            product(get_args(OutcomeStatus), (*errors, "Cancelled", "BatchUnsent", "BatchLostLine"), codes)
        )
    }
    wants = [replace(asker.want(name), job_hash=name) for name in cases]
    granted = ledger.exchange(asker.owner_id, outcomes=[], wants=wants).granted
    outcomes = [replace(outcome(name, granted[name]), facts=end) for name, end in cases.items()]
    ledger.exchange(asker.owner_id, outcomes=outcomes, wants=[])

    expected = {name for name, end in cases.items() if not surely_free(end)}

    assert {name for name, spend in ledger.spend(list(cases)).items() if spend.unpriced} == expected
    assert {row.job_hash for row in ledger.usage() if row.unpriced} == expected


def test_what_a_job_bought_is_told_oldest_first_however_much_it_is(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asker = Asker(ledger)
    for number in range(3):
        asker.answer(f"c{number}")
    refused, failed = asker.claim("c3"), asker.claim("c4")
    asker.report("c3", refused, "refused")
    asker.report("c4", failed, "timed_out", final=False)
    asker.report("c4", asker.retry("c4").granted["c4"])
    asker.report("c5", asker.claim("c5"), "failed")
    asker.claim("c6")
    for page in (100, 5, 2, 1):
        monkeypatch.setattr(spending, "PAGE_ROWS", page)
        told = [(call.call_hash, call.attempts, call.is_answer, call.cost_usd) for call in ledger.paid(JOB)]
        assert told == [
            *((f"c{number}", 1, True, 0.25) for number in range(3)),
            ("c3", 1, False, 0.25),
            ("c4", 1, False, 0.25),
            ("c4", 2, True, 0.25),
            ("c5", 1, False, 0.25),
        ]
    assert not list(ledger.paid("0" * 32))


def test_an_unknown_cost_is_unknown_and_not_nothing(ledger: Ledger) -> None:
    asker = Asker(ledger)
    end = outcome("a", asker.claim("a"))
    unpriced = replace(end, facts=replace(end.facts, cost_usd=None))

    ledger.exchange(asker.owner_id, outcomes=[unpriced], wants=[])

    spend = ledger.spend([JOB])[JOB]
    assert (spend.cost_usd, spend.unpriced) == (None, 1)


def test_usage_is_told_by_day_model_and_submission_with_who_submitted_it(
    shared_url: str,
) -> None:
    clock = SetClock(NOON_NS)
    ledger = open_ledger(shared_url, clock=clock)
    first, second = Asker(ledger), Asker(ledger)
    first.answer("a")
    failed = first.claim("b")
    unpriced = outcome("b", failed, "timed_out", final=False)
    no_facts = Facts(status="timed_out", reasoning_tokens=3)
    ledger.exchange(first.owner_id, outcomes=[replace(unpriced, facts=no_facts)], wants=[])
    clock.advance(86_400)
    first.report("b", first.retry("b").granted["b"])
    second.answer("c")
    assert set(second.ask("a").answered) == {"a"}

    rows = ledger.usage()

    today, tomorrow = date(2026, 9, 21), date(2026, 9, 22)
    assert [(row.day, row.submission_id, row.attempts, row.calls) for row in rows] == [
        (today, first.submission_id, 2, 1),
        (tomorrow, first.submission_id, 1, 1),
        (tomorrow, second.submission_id, 1, 1),
    ]
    assert rows[0] == UsageRow(
        day=today,
        provider="openai",
        model="openai/m",
        job_hash=JOB,
        submission_id=first.submission_id,
        submitter="ada",
        labels={"team": "search", "sprache": "deutsch"},
        attempts=2,
        calls=1,
        prompt_tokens=10,
        completion_tokens=5,
        cached_tokens=None,
        reasoning_tokens=3,
        cost_usd=0.25,
        unpriced=1,
        latency_s=0.5,
        timed=1,
    )
    assert ledger.usage(since_ns=NOON_NS + 86_400 * 10**9) == rows[1:]
    assert ledger.usage(until_ns=NOON_NS + 86_000 * 10**9) == rows[:1]
    assert ledger.usage(since_ns=NOON_NS + 10**15) == []
    ledger.close()


def test_calls_sent_and_not_recorded_are_listed_by_job(ledger: Ledger) -> None:
    asker, far = Asker(ledger), Asker(ledger, replace(ELSEWHERE, boot_id="b2"))
    asker.answer("a")
    intent_id = asker.claim("b")
    far.claim("c")
    ledger.close_owner(far.owner_id)

    found = list(ledger.unrecorded(JOB))

    assert [(row.call_hash, row.owner_alive, row.model) for row in found] == [
        ("b", True, "openai/m"),
        ("c", False, "openai/m"),
    ]
    assert (found[0].intent_id, found[0].job_hash) == (intent_id, JOB)
    assert list(ledger.unrecorded("another job")) == []
    assert ledger.audit().unrecorded == 2


def test_unrecorded_calls_are_listed_however_many_they_are(ledger: Ledger) -> None:
    asker = Asker(ledger)
    calls = [f"call-{number}" for number in range(2000)]
    asker.ask(*calls)

    assert sorted(row.call_hash for row in ledger.unrecorded()) == sorted(calls)


def test_an_intact_ledger_has_no_inconsistencies_and_is_counted(ledger: Ledger) -> None:
    asker = Asker(ledger)
    asker.answer("a")
    asker.claim("b")

    audit = ledger.audit()

    assert (audit.submissions, audit.intents, audit.outcomes, audit.answers) == (1, 2, 1, 1)
    assert (audit.late, audit.paid_twice, audit.unrecorded, audit.inconsistencies) == (0, 0, 1, ())


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("DELETE FROM answers", "1 successes that are no answer, for example call a"),
        ("DELETE FROM payloads", "1 outcomes without bodies that nobody erased, for example call a"),
        ("UPDATE outcomes SET status = 'failed'", "1 answers without a successful outcome, for example call a"),
        ("UPDATE outcomes SET call_hash = 'z'", "1 outcomes of another call's intent, for example call z"),
        (
            "INSERT INTO budgets (budget, reserved_pico_usd) VALUES ('job:1', 5)",
            "1 budgets that hold other than what is set aside, for example budget job:1",
        ),
    ],
)
def test_an_audit_finds_what_somebody_did_behind_the_triggers(
    tmp_path: Path, clock: SetClock, damage: str, sentence: str
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock)
    Asker(ledger).answer("a")
    connection = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(damage)
    connection.close()

    assert sentence in ledger.audit().inconsistencies
    ledger.close()
