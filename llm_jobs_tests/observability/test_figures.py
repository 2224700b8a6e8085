"""What one job comes to: each metric that a document may name, from the facts that the engine tells."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.job import Budget
from llm_jobs.documents.watched import METRICS
from llm_jobs.events import CallReused, Event, JobBroken, JobFinished, JobStarted, QuotaWaited, RowCompleted
from llm_jobs.observability.figures import Figures, Sketch
from llm_jobs_tests.observability.facts import CALL, JOB, MODEL, failed, recorded

GOOD, BAD, UNASKABLE, DROPPED = (
    RowCompleted(JOB, status, False) for status in ("succeeded", "refused", "invalid_input", "dropped")
)
STARTED = JobStarted(JOB, "reviews", 8)


class Time:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def measured(*events: Event, after_s: float = 0.0, budget: Budget | None = None) -> dict[str, float]:
    time = Time()
    figures = Figures(budget=budget, spent_usd=0.25, spent_tokens=10, now_s=time)
    for event in events:
        figures(event)
    time.now_s += after_s
    return figures.values()


def test_every_metric_that_a_document_may_name_has_a_value_and_no_other() -> None:
    assert measured().keys() == METRICS.keys()


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            (GOOD, GOOD, BAD, UNASKABLE),
            {"rows": 4, "succeeded": 2, "failed": 2, "success_rate": 0.5, "error_rate": 0.5},
        ),
        ((GOOD, UNASKABLE), {"input_errors": 1, "prompt_failures": 0}),
        ((GOOD, DROPPED, DROPPED), {"rows": 1, "failed": 0, "error_rate": 0.0}),
        ((STARTED,), {"rows_expected": 8, "execution_time": 30.0, "rows_per_minute": 0.0}),
        ((STARTED, *[GOOD] * 5), {"rows_per_minute": 10.0}),
        ((recorded(), recorded()), {"calls": 2, "token_usage": 30, "input_tokens": 20, "output_tokens": 10}),
        ((recorded(), recorded()), {"cost_usd": 1.0}),
        ((recorded("refused"), recorded("failed"), recorded("cancelled"), recorded()), {"prompt_failures": 2}),
        ((CallReused(CALL, JOB, MODEL, 0.25), CallReused(CALL, JOB, MODEL, None)), {"reused": 2, "saved_usd": 0.25}),
        ((failed(), failed(), failed(retry_in_s=None)), {"retries": 2}),
        ((QuotaWaited(MODEL, JOB, 1.5, "tokens"), QuotaWaited(MODEL, JOB, 0.5, "requests")), {"quota_wait": 2.0}),
        ((GOOD, GOOD, BAD, JobFinished(JOB, "reviews", "partial", 1, 1, 1)), {"rows": 3, "failed": 1}),
        ((STARTED, JobFinished(JOB, "reviews", "done", 8, 8, 0, seconds=2.5)), {"execution_time": 2.5}),
        ((STARTED, GOOD, GOOD, JobFinished(JOB, "reviews", "partial", 4, 3, 1)), {"rows": 4, "error_rate": 0.25}),
        ((STARTED, GOOD, BAD, JobFinished(JOB, "reviews", "done", 1, 1, 0)), {"rows": 2, "error_rate": 0.5}),
        ((STARTED, JobBroken(JOB, "reviews", "SetupError")), {"error_rate": 1.0, "success_rate": 0.0}),
    ],
)
def test_the_facts_make_the_metrics(events: tuple[Event, ...], expected: dict[str, float]) -> None:
    found = measured(*events, after_s=30.0)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("name", "events"),
    [
        ("error_rate", ()),
        ("success_rate", (STARTED,)),
        ("latency_p95", (STARTED, GOOD)),
        ("rows_expected", (JobStarted(JOB, "reviews", None),)),
        ("cost_usd", (recorded(), recorded(cost_usd=None))),
        ("budget_used", (recorded(),)),
    ],
)
def test_what_is_not_known_is_no_number(name: str, events: tuple[Event, ...]) -> None:
    assert math.isnan(measured(*events)[name])


@pytest.mark.parametrize(
    ("budget", "share"),
    [
        (Budget(max_cost_usd=3.0), 0.25),  # 0.25 before, and one call of 0.5
        (Budget(max_tokens=100), 0.25),  # 10 before, and one call of 15
        (Budget(max_cost_usd=3.0, max_tokens=50), 0.5),
    ],
)
def test_the_budget_counts_what_earlier_runs_spent_and_the_fuller_cap(budget: Budget, share: float) -> None:
    assert measured(recorded(), budget=budget)["budget_used"] == pytest.approx(share)


def test_what_a_batch_answered_before_the_budget_was_read_is_spent_once() -> None:
    figures = Figures(budget=Budget(max_cost_usd=3.0, max_tokens=100), spent_usd=0.75, spent_tokens=25, spent_ns=7)
    figures(replace(recorded(), recorded_ns=6))
    assert (figures.values()["budget_used"], figures.values()["cost_usd"]) == (0.25, 0.5)
    figures(replace(recorded(), recorded_ns=8))
    assert figures.values()["budget_used"] == pytest.approx(1.25 / 3)


def test_the_cap_in_tokens_is_known_where_the_price_is_not() -> None:
    budget = Budget(max_cost_usd=3.0, max_tokens=50)
    assert measured(recorded(cost_usd=None), budget=budget)["budget_used"] == pytest.approx(0.5)


@given(st.lists(st.floats(0.001, 1000.0), min_size=1), st.sampled_from([1, 50, 90, 95, 99, 100]))
def test_percentiles_are_right_within_one_per_cent(values: list[float], share: int) -> None:
    sketch = Sketch()
    for each in values:
        sketch.observe(each)
    nearest_rank = sorted(values)[max(1, math.ceil(len(values) * share / 100)) - 1]
    assert sketch.percentile(share) == pytest.approx(nearest_rank, rel=0.0101)
