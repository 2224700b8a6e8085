"""A stream that is read by blocking code: bounded, and closed in its own loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from llm_jobs.operations.background import AHEAD, consume


def test_a_stream_is_some_items_ahead_of_its_reader_and_no_more() -> None:
    made = taken = furthest = 0

    async def numbers() -> AsyncGenerator[int, None]:
        nonlocal made, furthest
        for number in range(5_000):
            made += 1
            furthest = max(furthest, made - taken)
            yield number

    for number in consume(numbers):
        assert number == taken
        taken += 1
    assert taken == 5_000
    assert furthest <= AHEAD + 2  # one that waits for room, and one that the reader has in its hand


def test_closing_lets_the_stream_end_before_what_it_works_with() -> None:
    ended: list[bool] = []

    async def numbers() -> AsyncGenerator[int, None]:
        helper = asyncio.create_task(asyncio.Event().wait())
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            ended.append(not helper.done())
            helper.cancel()

    stream = consume(numbers)
    assert next(stream) == 1
    stream.close()  # type: ignore[attr-defined] # a generator
    assert ended == [True]


def test_what_the_stream_raises_is_raised_after_what_it_made() -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        raise KeyError("gone")

    stream = consume(numbers)
    assert next(stream) == 1
    with pytest.raises(KeyError, match="gone"):
        next(stream)
