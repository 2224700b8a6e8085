"""Budgets: what a cap lets through, what waits for calls in flight, and what is left for another day."""

from __future__ import annotations

from typing import Any

from llm_jobs.engine.gates import ModelGate, Worst
from llm_jobs.errors import RateLimited
from llm_jobs.events import BudgetReached, CallWaiting
from llm_jobs.ledger.base import BudgetCap, Ledger
from llm_jobs_tests.engine.bench import JOB, Bench, bench, memory_ledger
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual

BUDGET = f"job:{JOB}"
COST_USD = 0.5  # of each answer, as the bench prices them


class Cap:
    def __init__(self, cap_usd: float) -> None:
        self._caps = (BudgetCap(key=BUDGET, max_cost_usd=cap_usd),)

    def of(self, provider: str, now_ns: int) -> tuple[BudgetCap, ...]:
        return self._caps


def under_cap(provider: ScriptedProvider, ledger: Ledger, *, cap_usd: float, worst_usd: float | None) -> Any:
    async def scenario() -> tuple[list[Any], Bench]:
        async with bench(provider, ledger) as b:
            lane = b.lane(concurrency=8)
            lane.caps = Cap(cap_usd)
            gate = ModelGate(worst=lambda request: Worst(10, 10, worst_usd))
            rows = [{"x": str(number)} for number in range(30)]
            return await b.complete(rows, lane=lane, steps=[b.step(gate=gate)]), b

    return run_virtual(scenario())


def test_a_cap_is_never_passed_and_the_rest_is_left_for_a_higher_one() -> None:
    ledger = memory_ledger()
    first, second = ScriptedProvider(latency_s=1), ScriptedProvider(latency_s=1)
    completed, b = under_cap(first, ledger, cap_usd=10.0, worst_usd=1.0)
    answered = [row for row in completed if row.status == "succeeded"]
    assert len(answered) * COST_USD <= 10.0 < (len(answered) + 1) * COST_USD + 1.0
    refused = [row for row in completed if row.status != "succeeded"]
    assert {row.status for row in refused} == {"cancelled"}
    assert all(BUDGET in row.error for row in refused)
    assert [event for event in b.events if isinstance(event, BudgetReached)] == [BudgetReached(JOB, BUDGET)]
    assert sum(first.sent.values()) == len(answered)

    completed, _ = under_cap(second, ledger, cap_usd=100.0, worst_usd=1.0)
    assert {row.status for row in completed} == {"succeeded"}
    assert set((first.sent + second.sent).values()) == {1}


def test_calls_wait_while_others_in_flight_hold_the_rest_of_the_budget() -> None:
    completed, b = under_cap(ScriptedProvider(latency_s=1), memory_ledger(), cap_usd=3.0, worst_usd=1.0)
    assert [row.status for row in completed].count("succeeded") == 5
    assert any(isinstance(event, CallWaiting) and event.reason == "budget" for event in b.events)


def test_a_call_whose_worst_case_is_unknown_is_not_sent_under_a_cap() -> None:
    provider = ScriptedProvider()
    completed, _ = under_cap(provider, memory_ledger(), cap_usd=10.0, worst_usd=None)
    assert {row.status for row in completed} == {"cancelled"}
    assert not provider.sent


def test_retries_count_and_a_refused_attempt_costs_nothing() -> None:
    faults = {str(number): [RateLimited("later", wait_s=1.0, http_status=429)] for number in range(30)}
    provider = ScriptedProvider(latency_s=1, faults=faults)
    completed, _ = under_cap(provider, memory_ledger(), cap_usd=15.5, worst_usd=1.0)
    assert [row.status for row in completed].count("succeeded") >= 29
