"""Counts made of events, and that they stay few."""

from __future__ import annotations

import pytest

from llm_jobs.events import (
    BudgetReached,
    CallAnswered,
    CallReused,
    CallWaiting,
    ConcurrencyChanged,
    Event,
    JobBroken,
    JobFinished,
    JobStarted,
    QuotaWaited,
    RequestSent,
    RowCompleted,
)
from llm_jobs.observability.counts import KEEP_S, LATENCY_BOUNDS_S, MOST_JOBS, OTHERS, Counts
from llm_jobs_tests.observability.facts import CALL, JOB, MODEL, failed, recorded, sent


class Watch:
    """A clock that stands."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def told(*events: Event) -> Counts:
    counts = Counts(now_s=Watch())
    counts(JobStarted(JOB, "reviews", 4))
    for event in events:
        counts(event)
    return counts


def done(job_hash: str = JOB, name: str = "reviews") -> JobFinished:
    return JobFinished(job_hash, name, "done", 4, 4, 0)


def test_tokens_cost_and_latency_are_counted_by_job_and_model() -> None:
    counts = told(
        recorded(cached_tokens=4, reasoning_tokens=2),
        recorded(model="large", cost_usd=None),
        recorded("truncated", latency_s=None),
    )
    small, large = counts.jobs["reviews"].models[MODEL], counts.jobs["reviews"].models["large"]
    assert (small.input_tokens, small.output_tokens, small.cached_tokens, small.reasoning_tokens) == (20, 10, 4, 2)
    assert (small.cost_usd, small.unpriced, large.cost_usd, large.unpriced) == (1.0, 0, 0.0, 1)
    assert small.statuses == {"succeeded": 1, "truncated": 1}
    assert sum(small.latency.counts) == 1


@pytest.mark.parametrize(
    ("seconds", "place"), [(0.0, 0), (0.01, 0), (0.011, 1), (600.0, 14), (601.0, 15)], ids=lambda value: str(value)
)
def test_an_observation_counts_below_the_first_bound_that_it_does_not_pass(seconds: float, place: int) -> None:
    [call] = told(recorded(latency_s=seconds)).jobs["reviews"].models.values()
    assert call.latency.counts[place] == 1
    assert len(call.latency.counts) == len(LATENCY_BOUNDS_S) + 1


def test_a_call_is_in_flight_from_its_request_to_the_answer_or_the_failure() -> None:
    counts = told(sent(), sent("c" * 32))
    calls = counts.jobs["reviews"].models[MODEL]
    assert calls.in_flight == 2
    counts(CallAnswered(CALL))
    counts(failed(call_hash="c" * 32))
    assert calls.in_flight == 0
    counts(failed())  # an answer that could not be read was told of twice
    assert calls.in_flight == 0
    assert calls.retries == {"RateLimited": 2}


def test_a_call_that_is_sent_again_without_a_word_of_its_first_attempt_is_in_flight_once() -> None:
    counts = told(sent(), sent(attempt=2), CallAnswered(CALL))
    calls = counts.jobs["reviews"].models[MODEL]
    assert calls.in_flight == 0


def test_requests_are_counted_and_not_the_calls_that_they_carry() -> None:
    counts = told(sent(), sent("c" * 32), RequestSent(JOB, MODEL), sent("d" * 32), RequestSent(JOB, MODEL))
    calls = counts.jobs["reviews"].models[MODEL]
    assert (calls.sent, calls.in_flight, calls.provider) == (2, 3, "openai")


def test_attempts_that_were_broken_off_are_not_in_flight_for_ever() -> None:
    counts = told(sent(), JobBroken(JOB, "reviews", "SetupError"))
    assert counts.jobs["reviews"].models[MODEL].in_flight == 0
    assert counts.endings == {"broken": 1}


@pytest.mark.parametrize("end", [sent(), recorded(), CallReused(CALL, JOB, MODEL, None), done()], ids=repr)
def test_a_call_waits_until_the_next_is_told_of_it_or_its_job_ended(end: Event) -> None:
    counts = told(CallWaiting(CALL, JOB, MODEL, "elsewhere"), CallWaiting(CALL, JOB, MODEL, "tokens"))
    assert counts.waits.now() == {(MODEL, "tokens"): 1}
    counts(end)
    assert counts.waits.now() == {}


def test_a_failed_call_waits_for_its_retry_and_a_given_up_one_for_nothing() -> None:
    assert told(failed()).waits.now() == {(MODEL, "retry"): 1}
    assert told(failed(retry_in_s=None)).waits.now() == {}


def test_waits_reuse_budgets_and_limits_are_counted() -> None:
    counts = told(
        QuotaWaited(MODEL, JOB, 1.5, "tokens"),
        QuotaWaited(MODEL, JOB, 0.5, "tokens"),
        CallReused(CALL, JOB, MODEL, 0.25),
        CallReused(CALL, JOB, MODEL, None),
        BudgetReached(JOB, f"job:{JOB}"),
        BudgetReached(JOB, "provider:openai:2026-11-21"),
        ConcurrencyChanged(MODEL, 32, "growth"),
        RowCompleted(JOB, "succeeded", True),
    )
    job = counts.jobs["reviews"]
    calls = job.models[MODEL]
    assert (calls.waited, calls.waited_s) == ({"tokens": 2}, {"tokens": 2.0})
    assert (calls.reused, calls.saved_usd) == (2, 0.25)
    assert job.budgets_reached == {"job": 1, "provider": 1}
    assert (counts.models[MODEL].limit, counts.models[MODEL].changes) == (32, {"growth": 1})
    assert (job.rows, job.rows_reused) == ({"succeeded": 1}, 1)


def test_a_job_is_shown_for_a_while_after_its_end_and_then_forgotten() -> None:
    watch = Watch()
    counts = Counts(now_s=watch)
    counts(JobStarted(JOB, "reviews", 4))
    watch.now_s = 10 * KEEP_S
    assert [name for name, _ in counts.kept()] == ["reviews"]
    counts(done())
    assert [name for name, _ in counts.kept()] == ["reviews"]
    watch.now_s += KEEP_S
    assert counts.kept() == []
    counts(JobStarted("c" * 32, "another", 4))
    assert set(counts.jobs) == {"another"}


def test_names_are_bounded_however_many_jobs_run() -> None:
    watch = Watch()
    counts = Counts(now_s=watch)
    for number in range(3 * MOST_JOBS):
        watch.now_s += 1
        counts(JobStarted(f"{number:032x}", f"job {number}", 1))
        if number < MOST_JOBS:
            counts(done(f"{number:032x}"))
    assert len(counts.jobs) <= MOST_JOBS + 1
    counts(recorded(job_hash=f"{3 * MOST_JOBS - 1:032x}"))
    assert counts.jobs[OTHERS].models[MODEL].statuses == {"succeeded": 1}


def test_what_is_told_after_the_end_of_a_job_counts_among_the_others() -> None:
    counts = told(done(), recorded())
    assert counts.jobs[OTHERS].models[MODEL].statuses == {"succeeded": 1}
    assert counts.running == 0
