"""One call that several jobs ask for: what ends it for one of them does not end it for the others."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from llm_jobs.engine.gates import ModelGate, Worst
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.ledger.base import BudgetCap
from llm_jobs.providers.base import Reply, Request
from llm_jobs_tests.engine.bench import Bench, bench, memory_ledger
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual

ROWS = [{"x": str(number)} for number in range(6)]


class Cap:
    def __init__(self, cap_usd: float) -> None:
        self._caps = (BudgetCap(key="job:poor", max_cost_usd=cap_usd),)

    def of(self, provider: str, now_ns: int) -> tuple[BudgetCap, ...]:
        return self._caps


def priced(b: Bench) -> PreparedStep:
    return b.step(gate=ModelGate(worst=lambda request: Worst(10, 10, 1.0)))


@pytest.mark.parametrize("cap_usd", [0.5, 2.5])
def test_a_call_that_one_job_cannot_afford_is_sent_for_the_other_that_asks_for_it(cap_usd: float) -> None:
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> tuple[list[Any], list[Any]]:
        async with bench(provider) as b:
            poor, rich = b.lane(), b.lane()
            poor.caps = Cap(cap_usd)
            first, second = await asyncio.gather(
                b.complete(ROWS, lane=poor, steps=[priced(b)]), b.complete(ROWS, lane=rich, steps=[priced(b)])
            )
            return first, second

    first, second = run_virtual(scenario())
    assert {(row.status, row.error) for row in second} == {("succeeded", None)}
    assert {row.status for row in first} <= {"succeeded", "cancelled"}
    assert set(provider.sent.values()) == {1}


@pytest.mark.parametrize("after_s", [0.0, 0.0005, 0.001, 0.002, 0.003, 0.004, 0.006, 0.008])
def test_a_job_that_asks_for_what_another_is_just_giving_up_gets_its_answers(after_s: float) -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider(latency_s=10)

    async def scenario() -> list[Any]:
        async with bench(provider, ledger) as b:
            leaving = b.lane(concurrency=2)
            gone = asyncio.create_task(b.complete(ROWS, lane=leaving))
            await asyncio.sleep(5)
            b.session.caller.close_lane(leaving)
            await asyncio.sleep(after_s)
            completed = await b.complete(ROWS, lane=b.lane())
            await gone
            return completed

    assert {(row.status, row.error) for row in run_virtual(scenario())} == {("succeeded", None)}
    assert set(provider.sent.values()) == {1}


class _CannotRead(ScriptedProvider):
    def read(self, request: Request, raw: bytes) -> Reply:
        if b"to 3" in raw:
            raise AttributeError("a provider's defect")
        return super().read(request, raw)


def test_a_recorded_answer_that_a_provider_chokes_on_fails_its_own_row_alone() -> None:
    ledger = memory_ledger()

    async def scenario(provider: ScriptedProvider) -> list[Any]:
        async with bench(provider, ledger) as b:
            return [row.status for row in await b.complete(ROWS)]

    assert run_virtual(scenario(ScriptedProvider())) == ["succeeded"] * 6
    assert run_virtual(scenario(_CannotRead())) == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 2


class _Cancelling(ScriptedProvider):
    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Any:
        if request.body["prompt"] == "3":
            raise asyncio.CancelledError
        return await super().send(request, call_hash=call_hash, timeout_s=timeout_s)


def test_a_call_whose_provider_was_cancelled_by_somebody_else_fails_alone() -> None:
    async def scenario() -> list[Any]:
        async with bench(_Cancelling()) as b:
            return [row.status for row in await asyncio.wait_for(b.complete(ROWS), 600)]

    assert run_virtual(scenario()) == ["succeeded"] * 3 + ["failed"] + ["succeeded"] * 2


def test_an_answer_that_is_nested_without_end_is_no_answer_and_ends_nobody_elses() -> None:
    def check(output: Any) -> dict[str, Any]:
        if "3" in output:
            raise RecursionError("maximum recursion depth exceeded while decoding a JSON array")
        return {"answer": output}

    async def scenario() -> list[Any]:
        async with bench(ScriptedProvider()) as b:
            step = b.step()
            step.outputs.values = check  # type: ignore[method-assign]
            return [row.status for row in await b.complete(ROWS, steps=[step])]

    assert run_virtual(scenario()) == ["succeeded"] * 3 + ["invalid"] + ["succeeded"] * 2


def test_a_session_keeps_nothing_of_jobs_that_have_ended() -> None:
    async def scenario() -> int:
        async with bench(ScriptedProvider()) as b:
            for _ in range(50):
                await b.complete(ROWS, lane=b.lane())
            await asyncio.sleep(1)
            gc.collect()
            return len(b.session.caller._lanes)

    assert run_virtual(scenario()) < 5


def test_a_job_whose_time_is_over_does_not_wait_for_a_call_that_another_job_has_not_sent_yet() -> None:
    provider = ScriptedProvider(latency_s=100)

    async def scenario() -> tuple[float, list[Any], list[Any]]:
        async with bench(provider) as b:
            patient, short = b.lane(concurrency=1), b.lane(concurrency=1)
            first = asyncio.create_task(b.complete(ROWS, lane=patient))
            await asyncio.sleep(1)
            second = asyncio.create_task(b.complete(ROWS[3:], lane=short))
            await asyncio.sleep(1)
            b.session.caller.close_lane(short)
            completed = await second
            ended_s = asyncio.get_running_loop().time()
            return ended_s, completed, await first

    ended_s, completed, first = run_virtual(scenario())
    assert ended_s < 10
    assert {row.status for row in completed} == {"cancelled"}
    assert {row.status for row in first} == {"succeeded"}
    assert set(provider.sent.values()) == {1}


def test_a_hot_job_does_not_stand_in_the_queue_of_the_cold_one_that_asked_for_the_same_call_before() -> None:
    provider = ScriptedProvider(latency_s=1)
    rows = [{"x": str(number)} for number in range(300)]

    async def scenario() -> float:
        async with bench(provider) as b:
            cold, hot = b.lane(concurrency=1), b.lane(concurrency=4)
            hot.line.priority = "hot"
            first = asyncio.create_task(b.complete(rows, lane=cold))
            await asyncio.sleep(5)
            assert {row.status for row in await b.complete(rows[-8:], lane=hot)} == {"succeeded"}
            ended_s = asyncio.get_running_loop().time()
            assert {row.status for row in await first} == {"succeeded"}
            return ended_s

    assert run_virtual(scenario()) < 20
    assert set(provider.sent.values()) == {1}


class _Shaken(Cap):
    """Budgets that cannot be told the second time."""

    asked = 0

    def of(self, provider: str, now_ns: int) -> tuple[BudgetCap, ...]:
        self.asked += 1
        if self.asked > 1:
            raise ZeroDivisionError
        return ()


def test_a_defect_that_is_met_while_a_call_waits_for_another_process_ends_the_job_and_does_not_hang_it() -> None:
    ledger = memory_ledger()

    async def scenario() -> None:
        async with bench(ScriptedProvider(latency_s=50), ledger) as one, bench(ScriptedProvider(), ledger) as other:
            holding = asyncio.create_task(one.complete(ROWS[:1]))
            await asyncio.sleep(1)
            lane = other.lane()
            lane.caps = _Shaken(1.0)
            with pytest.raises(ZeroDivisionError):
                await asyncio.wait_for(other.complete(ROWS[:1], lane=lane), 600)
            await holding

    run_virtual(scenario())


def test_whoever_waits_for_hours_asks_seldom_and_hears_of_the_end_within_seconds() -> None:
    class Counting:
        def __init__(self, ledger: Any) -> None:
            self._ledger = ledger
            self.exchanges = 0

        def exchange(self, owner_id: int, **asked: Any) -> Any:
            self.exchanges += 1
            return self._ledger.exchange(owner_id, **asked)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._ledger, name)

    ledger = memory_ledger()
    counting: Any = Counting(ledger)

    async def scenario() -> float:
        slow, waiting = ScriptedProvider(latency_s=7200), ScriptedProvider()
        async with bench(slow, ledger) as one, bench(waiting, counting) as other:
            lane = one.lane()
            lane.timeout_s = 10_000.0
            first = asyncio.create_task(one.complete([{"x": "a"}], lane=lane))
            await asyncio.sleep(1)
            (row,) = await other.complete([{"x": "a"}])
            await first
            assert (row.status, row.settled[0].reused) == ("succeeded", True)
            assert not waiting.sent
            return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) < 7200 + 6
    assert counting.exchanges < 2000
