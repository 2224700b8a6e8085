"""The virtual clock that the asynchronous tests run on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from llm_jobs_tests.virtual_time import run_virtual


def test_an_hour_passes_at_once_and_to_the_second() -> None:
    async def wait() -> float:
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time()

    started_s = time.monotonic()
    assert run_virtual(wait()) == 3600
    assert time.monotonic() - started_s < 5


def test_those_who_wait_less_come_first() -> None:
    async def race() -> list[float]:
        order: list[float] = []

        async def wait(seconds: float) -> None:
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(*(wait(seconds) for seconds in (30.0, 0.001, 7.5)))
        return order

    assert run_virtual(race()) == [0.001, 7.5, 30.0]


def test_a_timeout_ends_what_takes_longer() -> None:
    async def too_long() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.sleep(61)
        return asyncio.get_running_loop().time()

    assert run_virtual(too_long()) == 60


def test_time_stands_still_while_a_thread_works() -> None:
    async def hand_over() -> tuple[float, bool]:
        loop = asyncio.get_running_loop()
        alarm = loop.create_task(asyncio.sleep(1))
        release = threading.Event()
        threading.Timer(0.05, release.set).start()
        await loop.run_in_executor(None, release.wait)
        return loop.time(), alarm.done()

    assert run_virtual(hand_over()) == (0, False)


def test_a_loop_that_nothing_can_wake_says_so_instead_of_hanging() -> None:
    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(TimeoutError, match="every task waits"):
        run_virtual(wait_for_ever())
