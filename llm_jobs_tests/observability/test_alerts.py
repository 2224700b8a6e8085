"""When alerts are raised: conditions over scripted events, and one message for each episode."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from llm_jobs.documents.job import Budget
from llm_jobs.documents.watched import Alert, Channel
from llm_jobs.events import CallReused, Event, JobStarted, RowCompleted
from llm_jobs.observability.alerts import MOST_EPISODES, Judge
from llm_jobs.observability.figures import Figures
from llm_jobs_tests.observability.facts import CALL, JOB, MODEL, failed, recorded

GOOD, BAD = (RowCompleted(JOB, status, False) for status in ("succeeded", "refused"))
MAIL = Channel(action="email", recipients=("admin@example.com",))


def judge(*conditions: str) -> Judge:
    return Judge([Alert(condition=condition, channel=MAIL) for condition in conditions])


def raised_at(
    condition: str, events: Sequence[Event], *, seconds: float = 1.0, budget: Budget | None = None
) -> list[int]:
    """After which events the alert was raised, judged after each; one takes `seconds`."""
    told, now_s = judge(condition), [0.0]
    figures = Figures(budget=budget, now_s=lambda: now_s[0])
    found = []
    for number, event in enumerate(events, 1):
        now_s[0] = number * seconds
        figures(event)
        found += [number for _ in told.judge(figures.values())]
    return found


@pytest.mark.parametrize(
    ("condition", "events", "expected"),
    [
        ("error_rate > 0.05", [GOOD, GOOD, BAD, BAD], [3]),
        ("error_rate > 0.4", [BAD, GOOD, GOOD, BAD, BAD], [1, 4]),  # 1, 1/2, 1/3, 1/2, 3/5
        ("error_rate > 0.05 and rows >= 4", [BAD, BAD, GOOD, GOOD], [4]),
        ("success_rate < 0.5", [GOOD, BAD, BAD], [3]),
        ("execution_time > 600", [JobStarted(JOB, "reviews", 4), GOOD, GOOD, GOOD], [4]),  # 300 s each
        ("failed >= 2", [BAD, GOOD, BAD], [3]),
        ("failed / rows_expected > 0.25", [JobStarted(JOB, "reviews", 4), BAD, BAD], [3]),
        ("token_usage > 20", [recorded(), recorded()], [2]),
        ("cost_usd > 0.9", [recorded(), recorded()], [2]),
        ("retries > 1 or failed > 0", [failed(), BAD], [2]),
        ("latency_p95 > 10", [recorded(), recorded(latency_s=20.0)], [2]),
        ("reused == 1", [CallReused(CALL, JOB, MODEL, None), CallReused(CALL, JOB, MODEL, None)], [1]),
        ("budget_used > 0.8", [recorded(), recorded(), recorded()], [2]),
        ("not rows > 0", [JobStarted(JOB, "reviews", 4), GOOD], [1]),
    ],
)
def test_an_alert_is_raised_when_its_condition_begins_to_hold(
    condition: str, events: list[Event], expected: list[int]
) -> None:
    assert raised_at(condition, events, seconds=300.0, budget=Budget(max_cost_usd=1.2)) == expected


@pytest.mark.parametrize(
    "condition", ["error_rate > 0.05", "error_rate <= 1", "failed / rows > 0", "cost_usd < 10", "latency_p95 > 0"]
)
def test_nothing_is_raised_for_want_of_knowledge(condition: str) -> None:
    assert raised_at(condition, [recorded(cost_usd=None, latency_s=None), JobStarted(JOB, "reviews", 4)]) == []


def test_what_is_not_known_hides_nothing_that_is() -> None:
    assert raised_at("error_rate > 0.05 or retries > 0", [failed()]) == [1]


def test_an_episode_lasts_until_the_condition_holds_no_more() -> None:
    told = judge("failed > 0")
    counts = [len(list(told.judge({"failed": number}))) for number in (1, 1, 2, 0, 0, 3, 3)]
    assert counts == [1, 0, 0, 0, 0, 1, 0]


def test_a_number_that_sways_about_a_bound_fills_no_mailbox() -> None:
    told = judge("error_rate > 0.05")
    raised = [each for sway in range(100) for each in told.judge({"error_rate": 0.06 if sway % 2 else 0.04})]
    assert [each.is_last for each in raised] == [False] * (MOST_EPISODES - 1) + [True]


def test_each_alert_has_its_own_episodes_and_is_told_with_what_it_reads() -> None:
    told = judge("failed > 0", "failed > 1 and rows > 1")
    first = list(told.judge({"failed": 1, "rows": 1}))
    second = list(told.judge({"failed": 2, "rows": 2}))
    assert [(each.alert.condition, each.metrics) for each in (*first, *second)] == [
        ("failed > 0", {"failed": 1}),
        ("failed > 1 and rows > 1", {"failed": 2, "rows": 2}),
    ]


def test_a_condition_that_could_never_be_judged_is_named() -> None:
    told = judge("cost_usd > 1", "rows > 5", "cost_usd > 2 or rows > 5")
    for rows in (1, 2):
        assert list(told.judge({"cost_usd": math.nan, "rows": rows})) == []
    assert told.unknown() == ["cost_usd > 1", "cost_usd > 2 or rows > 5"]
