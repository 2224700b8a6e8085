"""Several quotas at once, in virtual time: all or nothing, and no call keeps another waiting for ever."""

from __future__ import annotations

import asyncio

import pytest

from llm_jobs.errors import PermanentError
from llm_jobs.limits.base import NOTHING, Cost, Limits
from llm_jobs.limits.composite import CompositeLimiter
from llm_jobs.limits.limiter import Limiter
from llm_jobs.limits.lines import Line
from llm_jobs.limits.memory import MemoryLimitStore
from llm_jobs_tests.virtual_time import run_virtual


def limiters(*limits: Limits) -> list[Limiter]:
    """Limiters of one store on the running loop's clock, one for each of `limits`."""
    loop = asyncio.get_running_loop()
    store = MemoryLimitStore(now_ms=lambda: int(loop.time() * 1000) + 1_000_000)
    return [Limiter(store, f"{number}", limits=lambda one=one: one) for number, one in enumerate(limits)]  # type: ignore[misc]


async def sent_within(composite: CompositeLimiter, count: int, seconds: float, cost: Cost = NOTHING) -> list[float]:
    """When each of `count` calls was sent, of those that were within so many seconds."""
    loop = asyncio.get_running_loop()
    sent = []

    async def call() -> None:
        permit = await composite.acquire(cost, Line())
        sent.append(loop.time())
        permit.release()

    tasks = [asyncio.create_task(call()) for _ in range(count)]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sent


def test_the_tightest_of_several_quotas_decides_and_the_others_lose_nothing() -> None:
    async def run() -> tuple[int, int]:
        model, organisation = limiters(
            Limits(requests_per_minute=5, burst_s=60), Limits(requests_per_minute=20, burst_s=60)
        )
        of_both = await sent_within(CompositeLimiter([model, organisation]), 12, 20)
        rest = await sent_within(CompositeLimiter([organisation]), 40, 20)
        return len(of_both), len(rest)

    assert run_virtual(run()) == (5, 15)


def test_two_quotas_that_free_up_at_different_times_are_met_together() -> None:
    async def run() -> list[float]:
        slow, other = limiters(Limits(requests_per_minute=1), Limits(requests_per_minute=1))
        await slow.acquire(NOTHING, Line())
        await asyncio.sleep(30)
        await other.acquire(NOTHING, Line())
        return await sent_within(CompositeLimiter([slow, other]), 1, 100)

    [sent_s] = run_virtual(run())
    assert 91 <= sent_s <= 92.5  # the later of the two: what the earlier granted meanwhile was given back


def test_take_is_all_or_nothing() -> None:
    async def run() -> tuple[bool, int, int]:
        free, full = limiters(Limits(concurrency=3), Limits(concurrency=1))
        await full.acquire(NOTHING, Line())
        (await free.acquire(NOTHING, Line())).release()
        permit = CompositeLimiter([free, full]).take(NOTHING, Line())
        return permit is None, free.held, full.held

    assert run_virtual(run()) == (True, 0, 1)


def test_calls_that_need_the_same_two_in_either_order_do_not_block_each_other() -> None:
    async def run() -> int:
        a, b = limiters(Limits(concurrency=1), Limits(concurrency=1))
        pairs = [CompositeLimiter([a, b]), CompositeLimiter([b, a])]

        async def call(number: int) -> None:
            permit = await pairs[number % 2].acquire(NOTHING, Line())
            assert (a.held, b.held) == (1, 1)
            await asyncio.sleep(0.2)
            permit.release()

        await asyncio.wait_for(asyncio.gather(*(call(number) for number in range(20))), 60)
        return a.held + b.held

    assert run_virtual(run()) == 0


def test_a_cancelled_call_and_a_refused_one_leave_nothing_behind() -> None:
    async def run() -> tuple[int, int, int, int]:
        wide, narrow = limiters(Limits(concurrency=2), Limits(tokens_per_minute=100, concurrency=2))
        composite = CompositeLimiter([wide, narrow])
        with pytest.raises(PermanentError, match="101 tokens"):
            await composite.acquire(Cost(101), Line())
        waits_for_the_other = await narrow.acquire(Cost(90), Line())
        assert await sent_within(composite, 3, 5, Cost(50)) == []
        waits_for_the_other.release()
        return wide.held, narrow.held, wide.waiting, narrow.waiting

    assert run_virtual(run()) == (0, 0, 0, 0)


def test_what_was_used_is_settled_with_every_quota() -> None:
    async def run() -> list[int]:
        pair = limiters(Limits(tokens_per_minute=100, burst_s=60), Limits(tokens_per_minute=100, burst_s=60))
        permit = await CompositeLimiter(pair).acquire(Cost(100), Line())
        permit.settle(Cost(30))
        permit.release()
        return [len(await sent_within(CompositeLimiter([one]), 10, 5, Cost(10))) for one in pair]

    assert run_virtual(run()) == [7, 7]


def test_a_call_that_waits_for_two_keeps_its_place_in_front_of_those_that_wait_for_one() -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        pair = limiters(Limits(requests_per_minute=20, burst_s=1), Limits(requests_per_minute=20, burst_s=1))
        lines = Line(), Line()

        async def others(limiter: Limiter, line: Line, offset_s: float) -> None:
            await asyncio.sleep(offset_s)
            while True:
                (await limiter.acquire(NOTHING, line)).release()
                await asyncio.sleep(3)

        tasks = [
            asyncio.create_task(others(limiter, line, 1.5 * at + 0.1 * number))
            for at, (limiter, line) in enumerate(zip(pair, lines, strict=True))
            for number in range(6)
        ]
        await asyncio.sleep(70)
        began_s = loop.time()
        await asyncio.wait_for(CompositeLimiter(pair).acquire(NOTHING, lines[0]), 60)
        for task in tasks:
            task.cancel()
        return loop.time() - began_s

    assert run_virtual(run()) <= 25
