"""Rows through steps: order, columns, failures that stay where they are, memory that does not grow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from llm_jobs.engine.calls import Lane
from llm_jobs.engine.steps import Row
from llm_jobs.engine.stream import OPEN_ROWS, ROWS_PER_TURN, RowStream
from llm_jobs.errors import RowError, TransientError
from llm_jobs_tests.engine.bench import Bench, bench, memory_ledger
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual


def test_rows_come_out_in_input_order_whatever_the_order_of_answers() -> None:
    faults = {str(n): [TransientError("again")] for n in range(0, 600, 7)}

    async def scenario() -> None:
        async with bench(ScriptedProvider(latency_s=0.01, faults=faults)) as b:
            completed = await b.complete([{"x": str(n)} for n in range(600)])
            assert [row.values["x"] for row in completed] == [str(n) for n in range(600)]
            assert {row.status for row in completed} == {"succeeded"}

    run_virtual(scenario())


def test_the_answer_of_one_step_is_a_column_of_the_next() -> None:
    async def scenario() -> None:
        async with bench(ScriptedProvider()) as b:
            steps = [b.step("{{ x }}", name="first"), b.step("again: {{ first }}", name="second")]
            (row,) = await b.complete([{"x": "hello"}], steps=steps)
            assert row.values["second"] == "answer to again: answer to hello"
            assert len(row.settled) == 2

    run_virtual(scenario())


def test_a_row_that_cannot_be_rendered_fails_alone_and_is_not_sent() -> None:
    provider = ScriptedProvider()

    async def scenario() -> None:
        async with bench(provider) as b:
            completed = await b.complete([{"x": "a"}, {"x": None}, {"x": "c"}])
            assert [row.status for row in completed] == ["succeeded", "invalid_input", "succeeded"]
            assert "x" in (completed[1].error or "")

    run_virtual(scenario())
    assert provider.sent == {"a": 1, "c": 1}


def test_several_samples_are_several_calls_and_the_first_is_the_one_asked_without_samples() -> None:
    provider = ScriptedProvider()

    async def scenario() -> None:
        async with bench(provider) as b:
            await b.complete([{"x": "q"}])
            completed = await b.complete([{"x": "q"}], samples=3)
            assert [row.sample for row in completed] == [0, 1, 2]
            assert [row.settled[0].reused for row in completed] == [True, False, False]

    run_virtual(scenario())
    assert provider.sent == {"q": 3}


def test_no_more_rows_are_open_than_the_bound_however_long_the_table_and_however_slow_its_first_row() -> None:
    taken = 0
    most = 0

    def endless(total: int) -> Iterator[dict[str, str]]:
        nonlocal taken
        for number in range(total):
            taken += 1
            yield {"x": "slow" if number == 0 else str(number % 50)}

    async def scenario() -> None:
        nonlocal most
        faults = {"slow": [TransientError("again")] * 3}
        async with bench(ScriptedProvider(latency_s=0.01, faults=faults)) as b:
            lane = b.lane(max_retries=5)
            stream = RowStream(steps=[b.step()], samples=1, caller=b.session.caller, lane=lane, emit=lambda event: None)
            given = 0
            async for batch in stream.complete(endless(3 * OPEN_ROWS), b.session.recorder.broken):
                most = max(most, taken - given)
                given += len(batch)
            assert given == 3 * OPEN_ROWS

    run_virtual(scenario())
    assert OPEN_ROWS // 2 < most <= OPEN_ROWS + ROWS_PER_TURN


def stream_of(b: Bench, lane: Lane, *, stops_at_bad_rows: bool) -> RowStream:
    return RowStream(
        steps=[b.step()],
        samples=1,
        caller=b.session.caller,
        lane=lane,
        emit=b.events.append,
        stops_at_bad_rows=stops_at_bad_rows,
    )


def test_a_job_that_ends_at_its_first_bad_row_sends_no_more() -> None:
    provider = ScriptedProvider(latency_s=1)
    ledger = memory_ledger()
    rows: list[Row] = [{"x": str(number)} if number != 40 else {} for number in range(900)]

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            stream = stream_of(b, b.lane(concurrency=8), stops_at_bad_rows=True)
            with pytest.raises(RowError):
                async for _ in stream.complete(iter(rows), b.session.recorder.broken):
                    pass
            await asyncio.sleep(600)
        assert list(ledger.unrecorded()) == []

    run_virtual(scenario())
    assert sum(provider.sent.values()) <= 8


def test_a_job_whose_rows_nobody_reads_any_more_sends_no_more() -> None:
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> int:
        async with bench(provider) as b:
            stream = stream_of(b, b.lane(concurrency=8), stops_at_bad_rows=False)
            rows: list[Row] = [{"x": str(number)} for number in range(2_000)]
            async with aclosing(stream.complete(iter(rows), b.session.recorder.broken)) as completed:
                async for _ in completed:
                    break
            sent = sum(provider.sent.values())
            await asyncio.sleep(600)
            return sum(provider.sent.values()) - sent

    assert run_virtual(scenario()) <= 8
