"""A job's graph as tables one after the other, each with steps that leave its rows as they are. Pure.

A job's tables form a chain: its input, then whatever a group, split or sweep makes of the rows before it. Between two
such steps every step works row by row, and may need any other of the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from llm_jobs.documents.expressions import Expression, compile_expression
from llm_jobs.documents.graphs import cycle_of
from llm_jobs.documents.steps import (
    CompoundStep,
    FilterStep,
    GraphStep,
    GroupStep,
    RequestStep,
    RowStep,
    SplitStep,
    SweepStep,
    TableStep,
)
from llm_jobs.engine.graph import Compound, Keeping, Node, Plan, Work
from llm_jobs.errors import DocumentError, Problem

Prepare = Callable[[RowStep], Work]
Columns = Callable[[RowStep], tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One table of a job: how it is made of the one before (None: it is the input), and the steps over its rows."""

    made_by: TableStep | None
    steps: tuple[RowStep, ...]

    @property
    def name(self) -> str:
        """Of its table, where it is kept beside the result: the last step's."""
        return self.steps[-1].name if self.steps else self.made_by.name if self.made_by else "input"


def stages_of(graph: Sequence[GraphStep]) -> list[Stage]:
    """The tables of a graph, in order. A table without steps of its own is there too."""
    stages: list[Stage] = []
    made_by: TableStep | None = None
    steps: list[RowStep] = []
    for step in graph:
        if isinstance(step, GroupStep | SplitStep | SweepStep):
            stages.append(Stage(made_by=made_by, steps=tuple(steps)))
            made_by, steps = step, []
        else:
            steps.append(step)
    stages.append(Stage(made_by=made_by, steps=tuple(steps)))
    return stages


def plan_of(steps: Sequence[RowStep], *, prepare: Prepare, columns: Columns) -> Plan:
    """The plan for the rows of one table. `prepare` makes a step that is no compound or filter ready; `columns` says
    what a step adds. Raises DocumentError for a graph that has no order."""
    builder = _Builder(prepare, columns)
    members = builder.add(steps, sequential=True)
    return Plan(nodes=tuple(builder.nodes), members=members)


class _Builder:
    def __init__(self, prepare: Prepare, columns: Columns) -> None:
        self.nodes: list[Node] = []
        self._prepare = prepare
        self._columns = columns

    def add(self, steps: Sequence[RowStep], *, sequential: bool) -> tuple[int, ...]:
        """Number the steps of one level, those of its compounds before each compound; returns their numbers."""
        placed = [self._add_one(step) for step in steps]
        by_name = {step.name: index for step, index in zip(steps, placed, strict=True)}
        needs = {
            index: _needs(step, by_name, placed[at - 1] if sequential and at else None)
            for at, (step, index) in enumerate(zip(steps, placed, strict=True))
        }
        _check_order(needs, dict(zip(placed, [step.name for step in steps], strict=True)))
        after: dict[int, list[int]] = {index: [] for index in placed}
        for index, needed in needs.items():
            for other in needed:
                after[other].append(index)
        for index in placed:
            mask = sum(1 << other for other in needs[index])
            self.nodes[index] = replace(self.nodes[index], needs=mask, after=tuple(after[index]))
        return tuple(placed)

    def _add_one(self, step: RowStep) -> int:
        work, columns = self._work(step)
        when = None if isinstance(step, FilterStep | RequestStep) else _expression(step.when, step.name)
        self.nodes.append(Node(name=step.name, work=work, when=when, columns=columns))
        return len(self.nodes) - 1

    def _work(self, step: RowStep) -> tuple[Work, tuple[str, ...]]:
        if isinstance(step, FilterStep):
            return Keeping(where=compile_expression(step.where, where=f"the filter {step.name}")), ()
        if isinstance(step, CompoundStep):
            first = len(self.nodes)
            members = self.add(step.steps, sequential=step.kind != "first")
            within = ((1 << len(self.nodes)) - 1) & ~((1 << first) - 1)
            until = _expression(step.until, step.name)
            columns = (step.name,) if step.kind == "first" else ()
            compound = Compound(kind=step.kind, members=members, within=within, until=until, at_most=step.at_most)
            return compound, columns
        return self._prepare(step), self._columns(step)


def _needs(step: RowStep, by_name: Mapping[str, int], before: int | None) -> frozenset[int]:
    """The steps that one waits for: those it names, or else the one before it."""
    named = None if isinstance(step, RequestStep) else step.needs
    if named is None:
        return frozenset() if before is None else frozenset({before})
    return frozenset(by_name[name] for name in named)


def _expression(text: str | None, step: str) -> Expression | None:
    return None if text is None else compile_expression(text, where=f"the condition of step {step}")


def _check_order(needs: Mapping[int, Iterable[int]], names: Mapping[int, str]) -> None:
    """Raise DocumentError where steps wait for each other, naming them in their order."""
    if cycle := cycle_of({names[index]: [names[other] for other in needed] for index, needed in needs.items()}):
        raise DocumentError([_cycle(cycle)])


def _cycle(path: Sequence[str]) -> Problem:
    return Problem(
        what=f"steps wait for each other: {' -> '.join(path)}",
        rule="a step comes after those that it needs",
        remedy="leave one of these needs out",
    )
