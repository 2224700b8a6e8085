"""Steps that compute in their own time: other rows go on, few work at once, and nothing is left when a job ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import FilterStep, PromptStep, RowStep, TaskStep
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.graph import AwaitedStep, GraphStream, Work
from llm_jobs.engine.steps import Means, PreparedStep, Row
from llm_jobs.engine.stream import OpenRow
from llm_jobs.errors import RowError
from llm_jobs.pipelines.stages import plan_of
from llm_jobs.results.outputs import Outputs
from llm_jobs.results.row_columns import row_fields
from llm_jobs_tests.engine.bench import Bench, bench
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.engine.test_graph import ask, compute
from llm_jobs_tests.virtual_time import run_virtual

Values = Mapping[str, JsonValue]
Compute = Callable[[Values], Awaitable[Values]]


class Slow:
    """Takes as many seconds as a row says, or fails as it says; counts."""

    def __init__(self) -> None:
        self.at_work = 0
        self.most_at_work = 0
        self.begun = 0
        self.cancelled = 0

    async def __call__(self, row: Values) -> Values:
        self.begun += 1
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        seconds = row["s"]
        assert isinstance(seconds, int | float)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_work -= 1
        if seconds == 7:
            raise RowError("seven")
        return {"t": f"took {seconds}"}


def stream_of(b: Bench, steps: Sequence[RowStep], slow: Compute, *, at_once: int, **options: object) -> GraphStream:
    means = Means(provider=b.provider, gate=ModelGate(), price=lambda usage: 0.5)

    def work(step: RowStep) -> Work:
        if isinstance(step, TaskStep):
            return AwaitedStep(compute=slow, at_once=at_once)
        assert isinstance(step, PromptStep)
        return PreparedStep(step, means, outputs=Outputs(step), epoch=None)

    plan = plan_of(steps, prepare=work, columns=lambda step: tuple(field.name for field in row_fields([step])))
    return GraphStream(plan=plan, samples=1, caller=b.session.caller, lane=b.lane(), emit=b.events.append, **options)


def through(
    rows: Sequence[Row], *steps: RowStep, slow: Compute, at_once: int = 4, **options: object
) -> tuple[list[OpenRow], float]:
    """All rows in order, and the seconds that they took."""

    async def scenario() -> tuple[list[OpenRow], float]:
        async with bench(ScriptedProvider()) as b:
            stream = stream_of(b, steps, slow, at_once=at_once, **options)
            began, done = asyncio.get_running_loop().time(), []
            async for batch in stream.complete(iter(rows), b.session.recorder.broken):
                done += batch
            return done, asyncio.get_running_loop().time() - began

    return run_virtual(scenario())


def test_rows_wait_for_their_own_work_alone_and_come_in_order() -> None:
    done, seconds = through([{"s": 5}, {"s": 1}, {"s": 2}], compute("t"), ask("a", "{{ t }}"), slow=Slow())
    assert [row.values["a"] for row in done] == [f"answer to took {s}" for s in (5, 1, 2)]
    assert seconds == pytest.approx(5, abs=0.5)


def test_few_rows_are_worked_on_at_once() -> None:
    slow = Slow()
    _, seconds = through([{"s": 1}] * 10, compute("t"), slow=slow, at_once=2)
    assert (slow.begun, slow.most_at_work) == (10, 2)
    assert seconds == pytest.approx(5, abs=0.5)


def test_a_row_that_cannot_be_used_fails_alone_and_what_needs_it_never_starts() -> None:
    done, _ = through([{"s": 7}, {"s": 1}], compute("t"), ask("a", "{{ t }}"), slow=Slow())
    assert [(row.status, row.error) for row in done] == [("invalid_input", "seven"), ("succeeded", None)]
    assert "a" not in done[0].values


def test_a_row_that_a_filter_drops_meanwhile_ends_when_its_work_does() -> None:
    steps = (compute("t", needs=[]), FilterStep(name="f", where="s > 1", needs=()))
    done, _ = through([{"s": 1}, {"s": 2}], *steps, slow=Slow())
    assert [row.values["s"] for row in done if row.status == "succeeded"] == [2]


def test_a_job_that_takes_no_bad_row_ends_with_it() -> None:
    with pytest.raises(RowError, match="seven"):
        through([{"s": 7}, {"s": 1}], compute("t"), slow=Slow(), stops_at_bad_rows=True)


def test_a_defect_is_no_rows_own_and_ends_the_job() -> None:
    async def broken(row: Values) -> Values:
        raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"):
        through([{"s": 1}], compute("t"), slow=broken)


def test_work_is_cancelled_when_nobody_reads_on() -> None:
    slow = Slow()

    async def scenario() -> None:
        async with bench(ScriptedProvider()) as b:
            stream = stream_of(b, [compute("t")], slow, at_once=4)
            rows: list[Row] = [{"s": 50}] * 6
            async with asyncio.timeout(2), aclosing(stream.complete(iter(rows), b.session.recorder.broken)) as batches:
                async for _ in batches:
                    break

    with pytest.raises(TimeoutError):
        run_virtual(scenario())
    assert (slow.at_work, slow.cancelled) == (0, 4)


def test_rows_that_were_not_begun_when_the_job_was_stopped_are_cancelled() -> None:
    slow = Slow()

    async def scenario() -> list[OpenRow]:
        async with bench(ScriptedProvider()) as b:
            stream = stream_of(b, [compute("t")], slow, at_once=1)
            asyncio.get_running_loop().call_later(1.5, b.session.caller.close_lane, stream._lane)
            done: list[OpenRow] = []
            async for batch in stream.complete(iter([{"s": 1}] * 4), b.session.recorder.broken):
                done += batch
            return done

    done = run_virtual(scenario())
    assert [row.status for row in done] == ["succeeded", "succeeded", "cancelled", "cancelled"]
    assert slow.begun == 2
