"""Lanes that wait for room at a model are woken, whatever became of the others that wait there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_jobs.engine.calls import Lane
from llm_jobs.engine.gates import ModelGate
from llm_jobs.limits.adaptive import AdaptiveConcurrency
from llm_jobs.limits.base import Limits
from llm_jobs.limits.limiter import Limiter
from llm_jobs.limits.memory import MemoryLimitStore
from llm_jobs_tests.engine.bench import Bench, bench, loop_ms
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual


def found(b: Bench) -> Lane:
    """A lane that does not state its concurrency."""
    lane = b.lane(concurrency=512)
    lane.is_fixed = False
    return lane


def one_at_a_time() -> ModelGate:
    return ModelGate(adaptive=AdaptiveConcurrency(at_most=1, start=1))


def numbered(start: int, count: int) -> list[dict[str, Any]]:
    return [{"x": str(number)} for number in range(start, start + count)]


@pytest.mark.parametrize("closed_after_s", [1.0, 5.0, 9.5])
def test_a_lane_that_was_closed_while_it_waited_for_room_does_not_keep_the_room_from_the_next(
    closed_after_s: float,
) -> None:
    async def scenario() -> list[str | None]:
        async with bench(ScriptedProvider(latency_s=10)) as b:
            steps = [b.step(gate=one_at_a_time())]
            working = asyncio.create_task(b.complete(numbered(0, 1), lane=found(b), steps=steps))
            await asyncio.sleep(0.5)
            leaving = found(b)
            gone = asyncio.create_task(b.complete(numbered(100, 3), lane=leaving, steps=steps))
            await asyncio.sleep(0.2)
            waiting = asyncio.create_task(b.complete(numbered(200, 3), lane=found(b), steps=steps))
            await asyncio.sleep(closed_after_s - 0.7)
            b.session.caller.close_lane(leaving)
            await asyncio.gather(working, gone)
            return [row.status for row in await asyncio.wait_for(waiting, 600)]

    assert run_virtual(scenario()) == ["succeeded"] * 3


def test_a_lane_that_takes_none_of_the_room_it_is_woken_for_leaves_it_to_the_next() -> None:
    async def scenario() -> list[str | None]:
        async with bench(ScriptedProvider(latency_s=10)) as b:
            gate = one_at_a_time()
            steps = [b.step(gate=gate)]
            working = asyncio.create_task(b.complete(numbered(0, 1), lane=found(b), steps=steps))
            await asyncio.sleep(0.5)
            for _ in range(3):  # of them nothing is ready any more
                gate.stalled[found(b)] = None
            waiting = asyncio.create_task(b.complete(numbered(200, 3), lane=found(b), steps=steps))
            await working
            return [row.status for row in await asyncio.wait_for(waiting, 600)]

    assert run_virtual(scenario()) == ["succeeded"] * 3


def test_a_call_whose_estimate_is_more_than_a_lowered_quota_holds_is_estimated_again() -> None:
    in_force = [Limits(tokens_per_minute=2_000, burst_s=60)]
    store = MemoryLimitStore(now_ms=loop_ms)

    async def scenario() -> list[str | None]:
        async with bench(ScriptedProvider()) as b:
            limiter = Limiter(store, "m", limits=lambda: in_force[0])
            gate = ModelGate(limiter=limiter, limits=lambda: in_force[0], output_limit=lambda request: 1_500)
            work = asyncio.create_task(
                b.complete(numbered(0, 4), lane=b.lane(concurrency=4), steps=[b.step(gate=gate)])
            )
            await asyncio.sleep(0.001)
            in_force[0] = Limits(tokens_per_minute=1_000, burst_s=60)
            return [row.error or row.status for row in await work]

    assert run_virtual(scenario()) == ["succeeded"] * 4


def test_a_job_that_waited_for_a_quota_uses_all_that_the_model_bears_when_the_quota_is_gone() -> None:
    in_force = [Limits(requests_per_minute=100)]
    provider = ScriptedProvider(latency_s=0.5)

    async def scenario() -> float:
        async with bench(provider) as b:
            limiter = Limiter(MemoryLimitStore(now_ms=loop_ms), "m", limits=lambda: in_force[0])
            gate = ModelGate(limiter=limiter, adaptive=AdaptiveConcurrency(at_most=256), limits=lambda: in_force[0])
            work = asyncio.create_task(b.complete(numbered(0, 1_000), lane=found(b), steps=[b.step(gate=gate)]))
            await asyncio.sleep(14)
            in_force[0] = Limits()
            assert {row.status for row in await work} == {"succeeded"}
            return asyncio.get_running_loop().time() - 14

    assert run_virtual(scenario()) < 12
    assert provider.most_in_flight > 64


def test_calls_that_got_their_quota_where_there_was_no_room_are_sent_in_the_order_in_which_they_came() -> None:
    in_force = [Limits(requests_per_minute=100)]
    sent: list[int] = []

    class Noting(ScriptedProvider):
        async def send(self, request: Any, *, call_hash: str, timeout_s: float) -> Any:
            sent.append(int(str(request.body["prompt"])))
            return await super().send(request, call_hash=call_hash, timeout_s=timeout_s)

    async def scenario() -> None:
        async with bench(Noting(latency_s=0.5)) as b:
            limiter = Limiter(MemoryLimitStore(now_ms=loop_ms), "m", limits=lambda: in_force[0])
            gate = ModelGate(limiter=limiter, adaptive=AdaptiveConcurrency(at_most=8), limits=lambda: in_force[0])
            work = asyncio.create_task(b.complete(numbered(0, 400), lane=found(b), steps=[b.step(gate=gate)]))
            await asyncio.sleep(14)
            in_force[0] = Limits()
            await work

    run_virtual(scenario())
    assert sent[100:] == list(range(100, 400))
