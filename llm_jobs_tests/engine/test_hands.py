"""The thread that works for a loop, and is an executor to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from llm_jobs.engine.hands import Hand


def test_work_is_done_in_order_in_one_thread_and_told_in_the_loop() -> None:
    async def scenario() -> list[str]:
        loop, done = asyncio.get_running_loop(), list[str]()
        with Hand("writer") as hand:
            given = [loop.run_in_executor(hand, done.append, str(number)) for number in range(20)]
            await asyncio.gather(*given)
            return [*done, await loop.run_in_executor(hand, lambda: threading.current_thread().name)]

    assert asyncio.run(scenario()) == [*map(str, range(20)), "writer"]


def test_what_work_raises_is_told_and_the_thread_goes_on() -> None:
    async def scenario() -> str:
        loop = asyncio.get_running_loop()
        with Hand("writer") as hand:
            with pytest.raises(KeyboardInterrupt, match="enough"):
                await loop.run_in_executor(hand, _raise, KeyboardInterrupt("enough"))
            with pytest.raises(ValueError, match="no"):
                await loop.run_in_executor(hand, _raise, ValueError("no"))
            return await loop.run_in_executor(hand, str, 7)

    assert asyncio.run(scenario()) == "7"


def test_work_that_nobody_waits_for_any_more_is_done_all_the_same() -> None:
    async def scenario() -> list[int]:
        loop, begun, done = asyncio.get_running_loop(), threading.Event(), list[int]()
        with Hand("writer") as hand:
            waiting = loop.run_in_executor(hand, begun.wait)
            given_up = loop.run_in_executor(hand, done.append, 1)
            given_up.cancel()
            begun.set()
            await waiting
            await loop.run_in_executor(hand, done.append, 2)
        return done

    assert asyncio.run(scenario()) == [1, 2]


@pytest.mark.parametrize("ends", [lambda hand: hand.shutdown(), lambda hand: hand.shutdown(wait=False)])
def test_what_was_given_is_done_before_it_ends_and_nothing_is_taken_afterwards(ends: Callable[[Hand], None]) -> None:
    async def scenario() -> list[int]:
        loop, done = asyncio.get_running_loop(), list[int]()
        hand = Hand("writer")
        given = loop.run_in_executor(hand, done.append, 1)
        ends(hand)
        with pytest.raises(RuntimeError, match="takes no more work"):
            loop.run_in_executor(hand, done.append, 2)
        await given
        return done

    assert asyncio.run(scenario()) == [1]


def test_work_that_ends_after_its_loop_disturbs_nobody() -> None:
    release = threading.Event()

    async def scenario() -> Hand:
        hand = Hand("writer")
        asyncio.get_running_loop().run_in_executor(hand, release.wait)
        return hand

    hand = asyncio.run(scenario())
    release.set()
    hand.shutdown()


def _raise(error: BaseException) -> None:
    raise error
