"""Rows through graphs: what may start does, what needs a step that failed does not, and compounds end as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import CompoundStep, FilterStep, Message, PromptStep, RequestStep, RowStep, TaskStep
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.graph import ComputedStep, GraphStream, Work
from llm_jobs.engine.steps import Means, PreparedStep, Row
from llm_jobs.engine.stream import CARRIED, MISSING, OpenRow
from llm_jobs.errors import DocumentError, PermanentError, RowError
from llm_jobs.pipelines.stages import plan_of
from llm_jobs.providers.base import Answered, Request
from llm_jobs.results.outputs import Outputs
from llm_jobs.results.row_columns import row_fields
from llm_jobs_tests.engine.bench import Bench, bench
from llm_jobs_tests.engine.scripted import MODEL, Fault, ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual

Compute = Callable[[Mapping[str, JsonValue]], Mapping[str, JsonValue]]


def ask(name: str, text: str, *, needs: Sequence[str] | None = None, when: str | None = None) -> PromptStep:
    message = Message(role="user", content=text)
    needed = None if needs is None else tuple(needs)
    return PromptStep(name=name, model=MODEL, messages=(message,), needs=needed, when=when)


def compute(name: str, *, needs: Sequence[str] | None = None) -> TaskStep:
    outputs: Mapping[str, Mapping[str, JsonValue]] = {"": {"type": "string"}}
    needed = None if needs is None else tuple(needs)
    return TaskStep(name=name, task=name, version="1", inputs={}, outputs=outputs, needs=needed)


def through(
    rows: Sequence[Row],
    *steps: RowStep,
    provider: ScriptedProvider | None = None,
    tasks: Mapping[str, Compute] | None = None,
) -> list[OpenRow]:
    """All rows through the graph of `steps`, in order."""
    asked = provider or ScriptedProvider()

    async def scenario() -> list[OpenRow]:
        async with bench(asked) as b:
            return await _completed(b, rows, steps, tasks or {})

    return run_virtual(scenario())


async def _completed(
    b: Bench, rows: Sequence[Row], steps: Sequence[RowStep], tasks: Mapping[str, Compute]
) -> list[OpenRow]:
    means = Means(provider=b.provider, gate=ModelGate(), price=lambda usage: 0.5)

    def work(step: RowStep) -> Work:
        if isinstance(step, TaskStep):
            return ComputedStep(compute=tasks[step.task])
        assert isinstance(step, PromptStep | RequestStep)
        return PreparedStep(step, means, outputs=Outputs(step), epoch=None)

    plan = plan_of(steps, prepare=work, columns=lambda step: tuple(field.name for field in row_fields([step])))
    stream = GraphStream(plan=plan, samples=1, caller=b.session.caller, lane=b.lane(), emit=b.events.append)
    done: list[OpenRow] = []
    async for batch in stream.complete(iter(rows), b.session.recorder.broken):
        done += batch
    return done


def test_steps_come_one_after_the_other_where_nothing_else_is_said() -> None:
    [row] = through([{"x": "q"}], ask("a", "{{ x }}"), ask("b", "{{ a }}!"))
    assert (row.status, row.values["b"]) == ("succeeded", "answer to answer to q!")


def test_branches_of_one_row_are_asked_at_once_and_joined() -> None:
    provider = ScriptedProvider(latency_s=1.0)
    graph = (
        ask("a", "a {{ x }}", needs=[]),
        ask("b", "b {{ x }}", needs=[]),
        ask("c", "{{ a }} + {{ b }}", needs=["a", "b"]),
    )
    [row] = through([{"x": "q"}], *graph, provider=provider)
    assert provider.most_in_flight == 2
    assert row.values["c"] == "answer to answer to a q + answer to b q"


def test_the_facts_of_a_row_are_in_the_order_of_its_steps_whichever_answered_first() -> None:
    faults: dict[str, list[Fault]] = {"slow q": [None]}
    graph = (ask("a", "slow {{ x }}", needs=[]), ask("b", "b {{ x }}", needs=[]))
    first = through([{"x": "q"}], *graph, provider=ScriptedProvider(latency_s=0.5, faults=faults))
    again = through([{"x": "q"}], *graph)
    assert [each.call_hash for each in first[0].settled] == [each.call_hash for each in again[0].settled]


def test_a_step_whose_condition_does_not_hold_is_skipped_and_its_column_is_null() -> None:
    provider = ScriptedProvider()
    rows = [{"x": "q", "kind": "a"}, {"x": "r", "kind": "b"}]
    done = through(rows, ask("a", "{{ x }}", when="kind == 'a'"), provider=provider)
    assert [(row.status, row.values["a"]) for row in done] == [("succeeded", "answer to q"), ("succeeded", None)]
    assert set(provider.sent) == {"q"}


def test_what_needs_only_skipped_steps_is_skipped_and_a_join_runs_with_what_there_is() -> None:
    provider = ScriptedProvider()
    graph = (
        ask("a", "a {{ x }}", needs=[], when="x == 'q'"),
        ask("b", "b {{ x }}", needs=[], when="x != 'q'"),
        ask("after_b", "{{ b }}", needs=["b"]),
        ask("join", "{{ a or b }}", needs=["a", "after_b"]),
    )
    [row] = through([{"x": "q"}], *graph, provider=provider)
    assert row.values["after_b"] is None
    assert row.values["join"] == "answer to answer to a q"


def test_a_branch_that_fails_stops_what_needs_it_and_nothing_else() -> None:
    provider = ScriptedProvider(faults={"a q": [PermanentError("no", http_status=400)]})
    graph = (
        ask("a", "a {{ x }}", needs=[]),
        ask("b", "b {{ x }}", needs=[]),
        ask("c", "{{ a }}", needs=["a"]),
        ask("d", "{{ b }}", needs=["b"]),
    )
    [row] = through([{"x": "q"}], *graph, provider=provider)
    assert (row.status, row.error) == ("failed", "no")
    assert row.values["d"] == "answer to answer to b q"
    assert "c" not in row.values


def test_a_filter_leaves_rows_out_and_asks_nothing_more_of_them() -> None:
    provider = ScriptedProvider()
    rows: list[Row] = [{"x": "q", "n": 1}, {"x": "r", "n": 2}, {"x": "s", "n": 3}]
    done = through(rows, FilterStep(name="odd", where="n % 2"), ask("a", "{{ x }}"), provider=provider)
    assert [row.values["x"] for row in done] == ["q", "s"]
    assert set(provider.sent) == {"q", "s"}


def test_a_task_computes_columns_and_a_row_that_it_cannot_use_fails_alone() -> None:
    def half(row: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        if row["x"] == "bad":
            raise RowError("cannot be halved")
        return {"half": str(row["x"])[:1]}

    done = through([{"x": "qq"}, {"x": "bad"}], compute("half"), ask("a", "{{ half }}"), tasks={"half": half})
    assert [(row.status, row.values.get("a")) for row in done] == [
        ("succeeded", "answer to q"),
        ("invalid_input", None),
    ]


def test_alternatives_are_tried_in_order_until_one_succeeds() -> None:
    provider = ScriptedProvider(faults={"a q": [PermanentError("no", http_status=400)]})
    inner = (ask("a", "a {{ x }}"), ask("b", "b {{ x }}"), ask("c", "c {{ x }}"))
    graph = (CompoundStep(name="best", kind="first", steps=inner), ask("after", "{{ best }}"))
    [row] = through([{"x": "q"}], *graph, provider=provider)
    assert (row.status, row.values["best"]) == ("succeeded", "answer to b q")
    assert row.values["after"] == "answer to answer to b q"
    assert "c q" not in provider.sent


def test_where_no_alternative_succeeds_the_row_fails_with_the_last() -> None:
    faults = {f"{name} q": [PermanentError(f"no {name}", http_status=400)] for name in "ab"}
    inner = (ask("a", "a {{ x }}"), ask("b", "b {{ x }}"))
    [row] = through(
        [{"x": "q"}], CompoundStep(name="best", kind="first", steps=inner), provider=ScriptedProvider(faults=faults)
    )
    assert (row.status, row.error) == ("failed", "no b")


@pytest.mark.parametrize(("until", "turns"), [("n | length >= 3", 3), (None, 5), ("n == 'never'", 5)])
def test_a_loop_goes_round_until_its_condition_holds_and_never_more_often_than_said(
    until: str | None, turns: int
) -> None:
    def count(row: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        return {"n": str(row.get("n") or "") + "i"}

    loop = CompoundStep(name="loop", kind="loop", steps=(compute("n"), ask("a", "{{ n }}")), until=until, at_most=5)
    provider = ScriptedProvider()
    [row] = through([{"x": "q"}], loop, ask("b", "done {{ a }}"), provider=provider, tasks={"n": count})
    assert (row.values["n"], row.values["b"]) == ("i" * turns, f"answer to done answer to {'i' * turns}")
    assert len(provider.sent) == turns + 1


def test_a_step_within_a_step_that_fails_fails_the_whole_and_what_needs_it_is_not_asked() -> None:
    provider = ScriptedProvider(faults={"a q": [PermanentError("no", http_status=400)]})
    inner = CompoundStep(name="inner", kind="all", steps=(ask("a", "a {{ x }}"), ask("b", "{{ a }}")))
    outer = CompoundStep(name="outer", kind="all", steps=(inner,))
    [row] = through([{"x": "q"}], outer, ask("after", "{{ b }}"), provider=provider)
    assert (row.status, row.error) == ("failed", "no")
    assert set(provider.sent) == {"a q"}


def test_a_row_that_failed_in_the_table_before_is_not_asked_and_stays_as_it_is() -> None:
    provider = ScriptedProvider()
    [row] = through([{"x": "q", CARRIED: ["refused", "it said no"]}], ask("a", "{{ x }}"), provider=provider)
    assert (row.status, row.error, provider.sent) == ("refused", "it said no", {})
    assert CARRIED not in row.values


def test_a_group_that_lacks_rows_is_made_and_says_so() -> None:
    [row] = through([{"x": "q", MISSING: 2}], ask("a", "{{ x }}"))
    assert (row.status, row.values["a"]) == ("incomplete", "answer to q")
    assert row.error is not None
    assert row.error.startswith("2 rows")


def test_thousands_of_steps_in_a_row_need_no_deep_stack() -> None:
    steps = [compute(f"s{number}") for number in range(3000)]
    tasks: dict[str, Compute] = {step.name: lambda row, name=step.name: {name: "done"} for step in steps}  # type: ignore[misc]
    [row] = through([{"x": "q"}], *steps, tasks=tasks)
    assert row.values["s2999"] == "done"


def test_steps_that_wait_for_each_other_are_refused_with_their_path() -> None:
    graph = (ask("a", "x", needs=["c"]), ask("b", "x", needs=["a"]), ask("c", "x", needs=["b"]))
    with pytest.raises(DocumentError, match="a -> c -> b -> a"):
        through([{"x": "q"}], *graph)


def test_a_row_goes_on_to_its_next_step_while_another_is_still_in_its_first() -> None:
    order: list[str] = []

    class Slow(ScriptedProvider):
        async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
            order.append(str(request.body["prompt"]))
            await asyncio.sleep(100.0 if request.body["prompt"] == "first 9" else 1.0)
            return await super().send(request, call_hash=call_hash, timeout_s=timeout_s)

    rows = [{"x": str(number)} for number in range(20)]
    done = through(rows, ask("a", "first {{ x }}"), ask("b", "second {{ x }}"), provider=Slow())
    assert [row.values["x"] for row in done] == [row["x"] for row in rows]
    assert order[-1] == "second 9"
