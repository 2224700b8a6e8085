"""What vendors do wrong with batches: expired, partial, repeated, foreign and broken lines, refused files, full queues.

Each is asked again as far as needed and no further, by the server's own books.
"""

from __future__ import annotations

import asyncio
import json

import pytest

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.events import ignore
from llm_jobs.operations.batches_collect import DEAD_LETTER, MOST_INCOMPLETE
from llm_jobs.operations.batches_plan import MOST_ROUNDS, Prepared, modes_of, needed
from llm_jobs.operations.batches_submit import Submitter
from llm_jobs.operations.batches_targets import open_endpoints
from llm_jobs.operations.budgets import caps_of
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.tables import job_table
from llm_jobs.providers import anthropic_batches, openai_batches
from llm_jobs.providers.batches import BatchLimits
from llm_jobs_tests.operations.batch_house import BatchHouse, statuses

QUESTIONS = [f"question {number}" for number in range(12)]


def nothing_paid_twice(house: BatchHouse) -> None:
    assert set(house.server.paid.values()) == {1}
    audit = house.audit()
    assert (audit.paid_twice, audit.inconsistencies) == (0, ())


def sizes(house: BatchHouse) -> list[int]:
    return [len(batch.requests) for batch in house.server.batches.values()]


@pytest.mark.parametrize(("kind", "status"), [("expired", "expired"), ("cancelled", "cancelled")])
def test_what_expired_or_was_cancelled_is_asked_again_and_the_rest_is_not(
    batch_house: BatchHouse, kind: str, status: str
) -> None:
    house, wrong = batch_house, batch_house.server.wrong
    setattr(wrong, kind, {1, 4, 5})
    wrong.status = status
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    setattr(wrong, kind, set())
    wrong.status = None
    assert "3 calls were submitted" in (house.run(job_hash).error or "")
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert sizes(house) == [12, 3]
    nothing_paid_twice(house)


def test_what_expires_again_and_again_is_asked_online(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.expired = set(range(12))
    job_hash = house.submit(QUESTIONS)
    for _ in range(MOST_ROUNDS):
        assert house.run(job_hash).status == "waiting"
        house.server.finish()
    assert house.run(job_hash).status == "done"
    assert (sizes(house), house.server.online) == ([12] * MOST_ROUNDS, 12)
    nothing_paid_twice(house)


def test_a_server_error_of_a_line_is_asked_again(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.errors = {0: 500, 7: 503}
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    house.server.wrong.errors = {}
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert sizes(house) == [12, 2]
    nothing_paid_twice(house)


def test_a_refused_line_is_a_failed_row_and_is_not_asked_again(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.errors = {2: 400, 3: 404}
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    report = house.run(job_hash)
    assert (report.status, report.succeeded, report.failed) == ("partial", 10, 2)
    rows = house.rows(report)
    assert [at for at, status in enumerate(statuses(rows)) if status == "failed"] == [2, 3]
    assert "it went wrong" in rows[2]["llm_error"]
    assert (sizes(house), house.server.online) == ([12], 0)


def test_a_job_that_ended_with_failures_asks_them_again_when_it_is_run_again(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.errors = {2: 400}
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "partial"
    house.server.wrong.errors = {}
    assert "1 call was submitted" in (house.run(job_hash).error or "")
    house.server.finish()
    assert house.run(job_hash).status == "done"
    nothing_paid_twice(house)


def test_submitting_again_while_it_waits_asks_for_nothing_new(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.errors = {2: 400}
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    house.poll()
    assert house.submit(QUESTIONS) == job_hash
    assert house.run(job_hash).status == "partial"
    assert sizes(house) == [12]


def test_an_answer_that_is_no_success_is_kept_and_not_bought_again(batch_house: BatchHouse) -> None:
    house = batch_house
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    job_hash = house.submit(QUESTIONS[:3], prompts=[{"name": "said", "text": "{{ text }}", "schema": schema}])
    house.run(job_hash)
    house.server.finish()
    report = house.run(job_hash)
    assert (report.status, statuses(house.rows(report))) == ("failed", ["invalid"] * 3)
    assert (house.server.online, sizes(house)) == (0, [3])
    nothing_paid_twice(house)


def test_repeated_and_foreign_lines_change_nothing(batch_house: BatchHouse) -> None:
    house, wrong = batch_house, batch_house.server.wrong
    wrong.repeated, wrong.foreign, wrong.unreadable = {0, 3}, 2, 1
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "done"
    with house.services() as services:
        letters = services.ledger.dead_letters()
    assert [letter.kind for letter in letters] == [DEAD_LETTER] * 3
    assert all("batch 1 (" in letter.reference for letter in letters)
    [state] = house.batches()
    collected = state.newest("collected")
    assert collected is not None
    assert collected.details["counts"] == {"lines": 17, "repeated": 2, "foreign": 3, "lost": 0}
    nothing_paid_twice(house)


@pytest.mark.parametrize("how", ["torn", "cut"])
def test_a_download_that_breaks_off_is_fetched_again(batch_house: BatchHouse, how: str) -> None:
    house = batch_house
    setattr(house.server.wrong, how, 1)
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "waiting"
    assert house.run(job_hash).status == "done"
    assert sizes(house) == [12]
    assert house.audit().late == 0
    nothing_paid_twice(house)


def test_an_answer_whose_line_never_comes_is_asked_again_in_the_end(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.missing = {6}
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    for _ in range(MOST_INCOMPLETE):
        assert house.run(job_hash).status == "waiting"
    house.server.wrong.missing = set()
    assert "1 call was submitted" in (house.run(job_hash).error or "")
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert sorted(house.server.paid.values()) == [1] * 11 + [2]
    assert sizes(house) == [12, 1]


def test_a_file_that_is_refused_for_a_line_fails_that_row_alone(openai_house: BatchHouse) -> None:
    house = openai_house
    house.server.wrong.bad_file = [{"code": "invalid_json_line", "message": "no request", "line": 3, "param": None}]
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    assert "11 calls were submitted" in (house.run(job_hash).error or "")
    house.server.finish()
    report = house.run(job_hash)
    assert (report.status, report.succeeded, report.failed) == ("partial", 11, 1)
    assert "line 3" in house.rows(report)[2]["llm_error"]
    assert house.server.online == 0
    nothing_paid_twice(house)


def test_a_file_that_is_refused_as_a_whole_ends_the_job_with_the_reason(openai_house: BatchHouse) -> None:
    house = openai_house
    house.server.wrong.bad_file = [{"code": "model_not_found", "message": "no batches of m", "line": None}]
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    report = house.run(job_hash)
    assert report.status == "failed"
    assert "no batches of m" in (report.error or "")
    assert (sizes(house), house.server.online, house.audit().unrecorded) == ([12], 0, 0)


def test_a_full_queue_is_met_with_smaller_batches_later(openai_house: BatchHouse) -> None:
    house = openai_house
    house.server.wrong.enqueued_tokens = 300
    job_hash = house.submit(QUESTIONS)
    reports = []
    for _ in range(40):
        reports.append(house.run(job_hash))
        if reports[-1].status == "done":
            break
        house.server.finish()
        house.clock.seconds += 7200
    assert reports[-1].status == "done"
    assert any("no room" in (report.error or "") for report in reports)
    refused = [batch for batch in house.server.batches.values() if batch.status == "failed"]
    assert 1 <= len(refused) <= 3
    nothing_paid_twice(house)


def test_nothing_is_submitted_while_the_queue_is_given_time(openai_house: BatchHouse) -> None:
    house = openai_house
    house.server.wrong.enqueued_tokens = 10
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    for _ in range(3):
        assert "no room" in (house.run(job_hash).error or "")
    assert len(house.server.batches) == 1
    with house.services() as services:
        assert services.ledger.waiting([job_hash])[job_hash].not_before_ns > services.clock.now_ns()


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (BatchLimits(requests=5, bytes=10_000_000), [5, 5, 2]),
        (BatchLimits(requests=100, bytes=1_000), None),
        (BatchLimits(requests=12, bytes=10_000_000), [12]),
    ],
)
def test_batches_are_split_by_the_limits(
    batch_house: BatchHouse, limits: BatchLimits, expected: list[int] | None
) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS)
    assert submit_within(house, job_hash, limits) == 12
    found = sizes(house)
    assert sum(found) == 12
    assert found == expected if expected else len(found) > 1
    assert all(state.batch.bytes <= limits.bytes for state in house.batches())
    house.server.finish()
    assert house.run(job_hash).status == "done"
    nothing_paid_twice(house)


def submit_within(house: BatchHouse, job_hash: str, limits: BatchLimits) -> int:
    """Submit what a job needs under other limits; returns how many calls went."""
    with house.services() as services:
        submission = services.ledger.submissions(job_hash=job_hash)[0]
        job = job_from_json(submission.job)
        prepared = Prepared(
            job=job,
            table=job_table(services, submission, job, epoch_ns=1),
            steps=prepared_steps(services, job),
            modes=modes_of(services, job),
            since_ns=0,
        )

        async def submit() -> int:
            async with open_endpoints(services) as endpoints:
                endpoints.of(house.vendor).limits = limits
                caps = caps_of(services, submission, job)
                submitter = Submitter(services, submission, endpoints, emit=ignore, caps=caps, most_tokens={})
                for portion in needed(services, prepared):
                    await submitter.take(portion.needs)
                return (await submitter.finish()).calls

        return asyncio.run(submit())


def test_a_refused_submission_fails_the_job_and_frees_its_calls(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.refuse = [401]
    job_hash = house.submit(QUESTIONS)
    report = house.run(job_hash)
    assert (report.status, "401" in (report.error or "")) == ("failed", True)
    [state] = house.batches()
    assert (state.phase, state.owns, house.audit().unrecorded) == ("lost", False, 0)
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "done"
    nothing_paid_twice(house)


@pytest.mark.parametrize("status", [429])
def test_a_submission_that_comes_too_soon_is_made_later(batch_house: BatchHouse, status: int) -> None:
    house = batch_house
    house.server.wrong.refuse = [status]
    job_hash = house.submit(QUESTIONS)
    report = house.run(job_hash)
    assert (report.status, "a batch was not made" in (report.error or "")) == ("waiting", True)
    with house.services() as services:
        assert services.ledger.waiting([job_hash])[job_hash].not_before_ns > services.clock.now_ns()
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "done"
    nothing_paid_twice(house)


def test_a_file_that_cannot_be_uploaded_costs_nothing(openai_house: BatchHouse) -> None:
    house = openai_house
    house.server.wrong.refuse_uploads = [500]
    job_hash = house.submit(QUESTIONS)
    assert house.run(job_hash).status == "waiting"
    assert house.audit().unrecorded == 0
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert len(house.server.batches) == 1


def priced(house: BatchHouse) -> str:
    """A model with a price, and a bound on its answers."""
    price = {"input_per_million_usd": 100.0, "output_per_million_usd": 100.0}
    house.house.home.mkdir(parents=True, exist_ok=True)
    entry = {"provider": house.vendor, "model": "m", "price": price, "max_output_tokens": 100}
    (house.house.home / "models.yaml").write_text(json.dumps({"priced": entry}), encoding="utf-8")
    return "priced"


def test_no_batch_may_pass_a_budget(batch_house: BatchHouse) -> None:
    house = batch_house
    worst_usd = worst_case_usd(house)
    job_hash = house.submit(QUESTIONS, model="priced", budget={"max_cost_usd": 5.5 * worst_usd})
    assert "7 calls for which the budget job:" in (house.run(job_hash).error or "")
    house.server.finish()
    for _ in range(12):
        report = house.run(job_hash)
        house.server.finish()
        if report.status != "waiting":
            break
    with house.services() as services:
        spent = services.ledger.budget_state([f"job:{job_hash}"])[f"job:{job_hash}"]
    assert spent.spent_usd <= 5.5 * worst_usd
    assert spent.reserved_usd == 0
    assert (report.status, report.succeeded) in (("partial", len(house.server.paid)), ("done", 12))
    nothing_paid_twice(house)


def test_no_batch_may_pass_a_budget_by_what_it_writes_to_the_vendors_cache(batch_house: BatchHouse) -> None:
    house = batch_house
    price = {"input_per_million_usd": 0.0, "output_per_million_usd": 0.0, "cache_write_per_million_usd": 1e6}
    entry = {"provider": house.vendor, "model": "m", "price": price, "max_output_tokens": 100}
    house.house.home.mkdir(parents=True)
    (house.house.home / "models.yaml").write_text(json.dumps({"priced": entry}), encoding="utf-8")
    parameters = {"cache_control": {"type": "ephemeral"}}
    prompts = [{"name": "said", "text": "{{ text }}", "parameters": parameters}]
    job_hash = house.submit(["question x"], model="priced", budget={"max_cost_usd": 1.0}, prompts=prompts)
    assert "does not fit what is left of the budget" in (house.run(job_hash).error or "")
    assert not house.server.batches


def worst_case_usd(house: BatchHouse) -> float:
    """What one of the questions costs at worst in a batch, as it is reserved."""
    probe = house.submit(["question x"], name="probe", model=priced(house), budget={"max_cost_usd": 100.0})
    house.run(probe)
    with house.services() as services:
        reserved = services.ledger.budget_state([f"job:{probe}"])[f"job:{probe}"].reserved_usd
    house.server.finish()
    house.run(probe)
    house.server.reset()
    assert reserved > 0
    return reserved


def test_the_simulated_model_has_batches_too(openai_house: BatchHouse) -> None:
    job_hash = openai_house.submit(QUESTIONS, model="simulated")
    assert openai_house.run(job_hash).status == "waiting"
    done = openai_house.run(job_hash)
    assert (done.status, done.succeeded) == ("done", 12)
    online = openai_house.submit(QUESTIONS, name="online", model="simulated", mode="online", sample=2)
    assert openai_house.run(online).calls_sent == 12


def test_limits_are_within_the_vendors() -> None:
    assert openai_batches.LIMITS.requests <= 50_000
    assert openai_batches.LIMITS.bytes <= 200_000_000
    assert openai_batches.LIMITS.inputs == 50_000
    assert anthropic_batches.LIMITS.requests <= 100_000
    assert anthropic_batches.LIMITS.bytes <= 256_000_000
