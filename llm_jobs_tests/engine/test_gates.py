"""What a model allows, as the lanes of one process meet it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_jobs.engine.calls import Lane
from llm_jobs.engine.gates import ModelGate, Worst
from llm_jobs.errors import RateLimited
from llm_jobs.events import CallWaiting, QuotaPaused, QuotaWaited
from llm_jobs.limits.adaptive import AdaptiveConcurrency
from llm_jobs.limits.base import LONGEST_PAUSE_S, Limits
from llm_jobs.limits.lines import Line, Priority
from llm_jobs.observability.progress import Progress
from llm_jobs.providers.base import Answered
from llm_jobs_tests.engine.bench import Bench, bench, loop_ms, virtual_limiter
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual


def found(b: Bench, priority: Priority = "cold") -> Lane:
    """A lane that does not state its concurrency."""
    lane = b.lane(concurrency=512)
    lane.is_fixed = False
    lane.line = Line(priority)
    return lane


def numbered(start: int, count: int) -> list[dict[str, Any]]:
    return [{"x": str(number)} for number in range(start, start + count)]


def test_a_lane_that_states_nothing_keeps_as_many_in_flight_as_the_model_was_found_to_bear() -> None:
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> None:
        async with bench(provider) as b:
            gate = ModelGate(adaptive=AdaptiveConcurrency(at_most=6, start=2))
            completed = await b.complete(numbered(0, 100), lane=found(b), steps=[b.step(gate=gate)])
            assert {row.status for row in completed} == {"succeeded"}

    run_virtual(scenario())
    assert 2 < provider.most_in_flight <= 6


def test_a_stated_concurrency_is_kept_whatever_was_found() -> None:
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> None:
        async with bench(provider) as b:
            gate = ModelGate(adaptive=AdaptiveConcurrency(at_most=2, start=1))
            await b.complete(numbered(0, 60), lane=b.lane(concurrency=9), steps=[b.step(gate=gate)])

    run_virtual(scenario())
    assert provider.most_in_flight == 9


def test_hot_lanes_go_before_cold_ones_and_cold_ones_are_not_starved() -> None:
    order: list[str] = []

    class Noting(ScriptedProvider):
        async def send(self, request: Any, *, call_hash: str, timeout_s: float) -> Any:
            order.append("hot" if int(str(request.body["prompt"])) >= 1000 else "cold")
            return await super().send(request, call_hash=call_hash, timeout_s=timeout_s)

    async def scenario() -> None:
        async with bench(Noting(latency_s=1)) as b:
            gate = ModelGate(adaptive=AdaptiveConcurrency(at_most=2, start=2))
            cold = asyncio.create_task(
                b.complete(numbered(0, 80), lane=found(b), steps=[b.step(gate=gate)]),
            )
            await asyncio.sleep(5)
            order.clear()
            await b.complete(numbered(1000, 80), lane=found(b, "hot"), steps=[b.step(gate=gate)])
            hot_part = order[: order.index("hot", 70) + 1]
            assert hot_part.count("hot") >= 0.8 * len(hot_part)
            assert hot_part.count("cold") >= 0.05 * len(hot_part)
            await cold

    run_virtual(scenario())


def test_a_priority_that_changes_while_calls_wait_for_quota_moves_them() -> None:
    provider = ScriptedProvider()

    async def scenario() -> tuple[float, float]:
        async with bench(provider) as b:
            gate = ModelGate(limiter=virtual_limiter(Limits(requests_per_minute=60, burst_s=1)))
            first, second = b.lane(concurrency=64), b.lane(concurrency=64)
            ended: dict[str, float] = {}

            async def run(name: str, start: int, lane: Lane) -> None:
                await b.complete(numbered(start, 30), lane=lane, steps=[b.step(gate=gate)])
                ended[name] = asyncio.get_running_loop().time()

            one = asyncio.create_task(run("first", 0, first))
            other = asyncio.create_task(run("second", 100, second))
            await asyncio.sleep(3)
            second.line.priority = "hot"
            await asyncio.gather(one, other)
            return ended["first"], ended["second"]

    first_s, second_s = run_virtual(scenario())
    assert second_s < 0.75 * first_s


def test_calls_that_wait_for_quota_when_their_job_is_stopped_are_given_back_unsent() -> None:
    provider = ScriptedProvider()

    async def scenario() -> None:
        async with bench(provider) as b:
            lane = b.lane(concurrency=8)
            gate = ModelGate(limiter=virtual_limiter(Limits(requests_per_minute=6, burst_s=1)))
            running = asyncio.create_task(b.complete(numbered(0, 20), lane=lane, steps=[b.step(gate=gate)]))
            await asyncio.sleep(15)
            b.session.caller.close_lane(lane)
            completed = await running
            assert [row.status for row in completed].count("succeeded") == sum(provider.sent.values())
            assert {row.status for row in completed} == {"succeeded", "cancelled"}
            assert list(b.ledger.unrecorded()) == []
            assert gate.limiter is not None
            assert (gate.limiter.waiting, gate.limiter.held) == (0, 0)

    run_virtual(scenario())


def test_what_a_server_asks_to_wait_holds_for_every_call_to_its_model() -> None:
    sent_ms: list[int] = []

    class Noting(ScriptedProvider):
        async def send(self, request: Any, *, call_hash: str, timeout_s: float) -> Any:
            sent_ms.append(loop_ms())
            return await super().send(request, call_hash=call_hash, timeout_s=timeout_s)

    provider = Noting(latency_s=0.1, faults={"0": [RateLimited("later", wait_s=30.0, http_status=429)]})

    async def scenario() -> None:
        async with bench(provider) as b:
            gate = ModelGate(limiter=virtual_limiter(Limits()))
            completed = await b.complete(numbered(0, 40), lane=b.lane(concurrency=2), steps=[b.step(gate=gate)])
            assert {row.status for row in completed} == {"succeeded"}

    run_virtual(scenario())
    assert not [ms for ms in sent_ms if 300 < ms < 30_000]


@pytest.mark.parametrize(
    ("limits", "told"), [(Limits(), {"paused"}), (Limits(requests_per_minute=60, burst_s=1), {"requests", "paused"})]
)
def test_what_calls_wait_for_is_told(limits: Limits, told: set[str]) -> None:
    provider = ScriptedProvider(latency_s=0.1, faults={"0": [RateLimited("later", wait_s=30.0, http_status=429)]})

    async def scenario() -> None:
        async with bench(provider) as b:
            gate = ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits)
            progress, lane = Progress(), b.lane(concurrency=4)
            running = asyncio.create_task(b.complete(numbered(0, 10), lane=lane, steps=[b.step(gate=gate)]))
            await asyncio.sleep(10)
            for event in b.events:
                progress(event)
            assert {event.reason for event in b.events if isinstance(event, CallWaiting)} == told
            assert {reason for _, reason in progress.waits.now()} == {"paused", "retry"}
            await running
            assert {event.reason for event in b.events if isinstance(event, QuotaWaited)} <= {"requests", "paused"}

    run_virtual(scenario())


def test_tokens_are_reserved_before_and_settled_by_what_was_used() -> None:
    provider = ScriptedProvider()  # each answer uses 3 + 2 tokens

    async def scenario() -> float:
        async with bench(provider) as b:
            gate = ModelGate(
                limiter=virtual_limiter(limits := Limits(tokens_per_minute=600, burst_s=60)),
                limits=lambda: limits,
                worst=lambda request: Worst(50, 50, None),
                reserves_worst=True,
            )
            completed = await b.complete(numbered(0, 100), lane=b.lane(concurrency=64), steps=[b.step(gate=gate)])
            assert {row.status for row in completed} == {"succeeded"}
            return asyncio.get_running_loop().time()

    # 500 tokens are used, 10,000 were reserved: without settling this would take a quarter of an hour.
    assert run_virtual(scenario()) < 60


@pytest.mark.parametrize("limits", [Limits(input_tokens_per_minute=100), Limits(tokens_per_minute=100)])
def test_a_call_that_is_only_thought_to_be_too_large_is_sent(limits: Limits) -> None:
    async def scenario() -> None:
        async with bench(ScriptedProvider()) as b:  # an answer uses 3 + 2 tokens
            gate = ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits)
            completed = await b.complete([{"x": "word " * 100}], lane=b.lane(), steps=[b.step(gate=gate)])
            assert [(row.status, row.error) for row in completed] == [("succeeded", None)]

    run_virtual(scenario())


def test_where_only_what_is_read_is_limited_an_answer_without_a_bound_has_a_worst_case() -> None:
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> None:
        async with bench(provider) as b:
            gate = ModelGate(
                limiter=virtual_limiter(limits := Limits(input_tokens_per_minute=100, burst_s=60)),
                limits=lambda: limits,
                worst=lambda request: Worst(50, None, None),
                reserves_worst=True,
            )
            await b.complete(numbered(0, 6), lane=b.lane(concurrency=6), steps=[b.step(gate=gate)])

    run_virtual(scenario())
    assert provider.most_in_flight == 2


def test_what_the_vendor_says_is_left_holds_where_it_is_less_than_the_quota() -> None:
    sent_ms: list[int] = []

    class Telling(ScriptedProvider):
        async def send(self, request: Any, *, call_hash: str, timeout_s: float) -> Any:
            sent_ms.append(loop_ms())
            answered = await super().send(request, call_hash=call_hash, timeout_s=timeout_s)
            left = max(0, 10 - len(sent_ms)) if loop_ms() < 20_000 else 1000
            reset_s = max(0, 20_000 - loop_ms()) // 1000 + 1
            headers = {"remaining": str(left), "limit": "10", "reset": f"{reset_s}s"}
            told = {f"x-ratelimit-{name}-requests": value for name, value in headers.items()}
            return Answered(raw=answered.raw, headers=told)

    async def scenario() -> None:
        async with bench(Telling(latency_s=0.5)) as b:
            limits = Limits(requests_per_minute=1000, burst_s=60)
            gate = ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits)
            completed = await b.complete(numbered(0, 60), lane=b.lane(concurrency=2), steps=[b.step(gate=gate)])
            assert {row.status for row in completed} == {"succeeded"}

    run_virtual(scenario())
    assert len([ms for ms in sent_ms if ms < 19_000]) <= 24  # ten, ten that come back, what was under way


@pytest.mark.parametrize("answered_before", [0, 1])
def test_what_a_refusal_says_is_left_holds_at_once(answered_before: int) -> None:
    sent_ms: list[int] = []
    told = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20s"}

    class Refusing(ScriptedProvider):
        async def send(self, request: Any, *, call_hash: str, timeout_s: float) -> Any:
            sent_ms.append(loop_ms())
            answered = await super().send(request, call_hash=call_hash, timeout_s=timeout_s)
            if len(sent_ms) == answered_before + 1:
                raise RateLimited("later", wait_s=None, counts=told)
            return Answered(raw=answered.raw, headers={**told, "x-ratelimit-remaining-requests": "9"})

    async def scenario() -> None:
        async with bench(Refusing(latency_s=0.01)) as b:
            limits = Limits(requests_per_minute=600, burst_s=1)
            gate = ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits)
            completed = await b.complete(numbered(0, 20), lane=b.lane(concurrency=1), steps=[b.step(gate=gate)])
            assert {row.status for row in completed} == {"succeeded"}

    run_virtual(scenario())
    assert [ms < 20_000 for ms in sent_ms].count(True) == answered_before + 1


def test_a_model_that_is_full_does_not_hold_up_the_calls_of_its_job_to_another() -> None:
    async def scenario() -> tuple[float, float]:
        async with bench(ScriptedProvider(latency_s=1)) as b:
            lane, loop = found(b), asyncio.get_running_loop()
            ended: dict[str, float] = {}

            async def run(name: str, start: int, gate: ModelGate) -> None:
                await b.complete(numbered(start, 12), lane=lane, steps=[b.step(gate=gate)])
                ended[name] = loop.time()

            slow = ModelGate(adaptive=AdaptiveConcurrency(at_most=1, start=1))
            quick = ModelGate(adaptive=AdaptiveConcurrency(at_least=12, at_most=12, start=12))
            await asyncio.gather(run("slow", 0, slow), run("quick", 100, quick))
            return ended["slow"], ended["quick"]

    slow_s, quick_s = run_virtual(scenario())
    assert quick_s < 5 < 11 < slow_s


def test_a_wait_beyond_reason_pauses_for_as_long_as_any_and_breaks_nothing() -> None:
    provider = ScriptedProvider(faults={"0": [RateLimited("later", wait_s=1e308, http_status=429)]})

    async def scenario() -> list[str | None]:
        async with bench(provider) as b:
            limits = Limits(requests_per_minute=600)
            gate = ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits, emit=b.events.append)
            lane = b.lane(concurrency=1, max_retries=0)
            running = asyncio.create_task(b.complete(numbered(0, 3), lane=lane, steps=[b.step(gate=gate)]))
            await asyncio.sleep(60)
            b.session.caller.close_lane(lane)
            assert [event.seconds for event in b.events if isinstance(event, QuotaPaused)] == [LONGEST_PAUSE_S]
            return [row.status for row in await running]

    assert run_virtual(scenario()) == ["rate_limited", "cancelled", "cancelled"]
