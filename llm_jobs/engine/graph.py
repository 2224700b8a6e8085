"""Rows through a graph of steps. What may start does, so that several calls of one row may be under way at once.

Invariants: a step starts once per row (and turn of a loop), after every step that it needs; a step whose needs were
all skipped is skipped; what needs a step that failed never starts, and everything else goes on. Which steps there are
is `Plan`'s; asking, following up and the order of rows are `RowStream`'s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from llm_jobs.documents.expressions import Expression
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import INPUT_ERROR
from llm_jobs.engine.calls import Settled
from llm_jobs.engine.steps import PreparedStep, Row
from llm_jobs.engine.stream import CARRIED, DROPPED, INCOMPLETE, MISSING, STOOD_IN, OpenRow, RowStream
from llm_jobs.errors import RowError

Compute = Callable[[Mapping[str, JsonValue]], Mapping[str, JsonValue]]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputedStep:
    """Computes columns from a row at once. `compute` raises RowError for a row that it cannot use."""

    compute: Compute


@dataclass(frozen=True, kw_only=True, slots=True)
class AwaitedStep:
    """Computes columns from a row in its own time, of at most `at_once` rows together. `compute` raises RowError."""

    compute: Callable[[Mapping[str, JsonValue]], Awaitable[Mapping[str, JsonValue]]]
    at_once: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """Drops the rows of which `where` does not hold."""

    where: Expression


@dataclass(frozen=True, kw_only=True, slots=True)
class Compound:
    """Steps as one (`documents.steps.CompoundStep`). `within`: every step below it, those of inner compounds too."""

    kind: Literal["all", "first", "loop"]
    members: tuple[int, ...]
    within: int
    until: Expression | None = None
    at_most: int = 1


Work = PreparedStep | ComputedStep | AwaitedStep | Keeping | Compound


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A step in its place. Steps are numbered through, those of compounds too; sets of them are bits of an integer."""

    name: str
    work: Work
    needs: int = 0
    after: tuple[int, ...] = ()  # steps that need it
    when: Expression | None = None
    columns: tuple[str, ...] = ()  # null where it is skipped


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The graph of one table's steps. `members`: the outermost ones."""

    nodes: tuple[Node, ...]
    members: tuple[int, ...]


@dataclass(kw_only=True, slots=True, eq=False)
class GraphRow(OpenRow):
    """A row on its way through a graph."""

    started: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    active: int = 0  # asked, and not answered
    dropped: bool = False
    ready: deque[int] = field(default_factory=deque)
    open_compounds: list[int] = field(default_factory=list)  # inner ones after those that hold them
    turns: dict[int, int] = field(default_factory=dict)  # of loops
    failures: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    asked_of: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    places: list[int] = field(default_factory=list)  # of `settled`
    advancing: bool = False
    missing: int = 0  # rows of its group that failed before


class GraphStream(RowStream):
    """Drives the rows of one table through the graph of its steps."""

    def __init__(self, *, plan: Plan, **options: Any) -> None:
        """`options` are those of `RowStream`, without `steps`."""
        steps: Sequence[Any] = [node.work for node in plan.nodes]  # only those that ask are asked
        super().__init__(steps=steps, **options)
        self._nodes = plan.nodes
        self._members = plan.members
        self._firsts = _firsts(plan.nodes, plan.members)
        self._works: set[asyncio.Task[None]] = set()
        self._turns = {
            index: asyncio.Semaphore(node.work.at_once)
            for index, node in enumerate(plan.nodes)
            if isinstance(node.work, AwaitedStep)
        }
        self._followed_up = _followed_up(plan.nodes)

    async def complete(self, rows: Iterator[Row], broken: asyncio.Future[None]) -> AsyncGenerator[list[OpenRow], None]:
        try:
            async with aclosing(super().complete(rows, broken)) as batches:
                async for batch in batches:
                    yield batch
        finally:
            for work in self._works:
                work.cancel()
            await asyncio.gather(*self._works, return_exceptions=True)

    def _begin(self, values: dict[str, JsonValue], sample: int) -> None:
        carried, missing = values.pop(CARRIED, None), values.pop(MISSING, None)
        stood_in = values.pop(STOOD_IN, None)
        if (unread := values.pop(INPUT_ERROR, None)) is not None:
            carried = ["invalid_input", unread]
        row = GraphRow(values=values, sample=sample, missing=missing if isinstance(missing, int) else 0)
        if stood_in is not None:
            row.stood_in.append(str(stood_in))
        self._open.append(row)
        self._undone += 1
        if isinstance(carried, list):
            self._close_row(row, str(carried[0]), None if carried[1] is None else str(carried[1]))
            return
        row.ready.extend(self._firsts)
        self._advance(row)

    def _advance(self, row: GraphRow) -> None:
        """Start what may start, close what has ended. A step that ends at once comes back here, and waits its turn."""
        if row.advancing:
            return
        row.advancing = True
        while row.ready or self._closes_one(row):
            if row.ready:
                self._start(row, row.ready.popleft())
        row.advancing = False
        if not row.active and row.status is None:
            self._end(row)

    def _start(self, row: GraphRow, index: int) -> None:
        node = self._nodes[index]
        row.started |= 1 << index
        if row.dropped:
            return
        try:
            if self._is_skipped(row, node):
                self._skip(row, index)
            elif isinstance(node.work, PreparedStep):
                row.active |= 1 << index
                self._ask(row, index)
            elif isinstance(node.work, Compound):
                self._open_compound(row, index, node.work)
            elif isinstance(node.work, AwaitedStep):
                self._begin_work(row, index, node.work)
            else:
                self._compute(row, index, node.work)
        except RowError as error:
            self._refuse(row, index, error)

    def _is_skipped(self, row: GraphRow, node: Node) -> bool:
        if node.needs and not node.needs & ~row.skipped:
            return True
        return node.when is not None and not node.when.is_true(row.values)

    def _skip(self, row: GraphRow, index: int) -> None:
        row.skipped |= 1 << index
        for inner in self._below(index):
            for column in self._nodes[inner].columns:
                row.values.setdefault(column, None)
        self._release(row, index)

    def _below(self, index: int) -> list[int]:
        """The step itself, and those within it."""
        work = self._nodes[index].work
        within = work.within if isinstance(work, Compound) else 0
        return [index, *(inner for inner in range(len(self._nodes)) if within >> inner & 1)]

    def _compute(self, row: GraphRow, index: int, work: ComputedStep | Keeping) -> None:
        if isinstance(work, ComputedStep):
            row.values.update(work.compute(row.values))
        elif not work.where.is_true(row.values):
            row.dropped = True
            row.ready.clear()
            return
        self._succeed(row, index)

    def _begin_work(self, row: GraphRow, index: int, work: AwaitedStep) -> None:
        row.active |= 1 << index
        task = asyncio.get_running_loop().create_task(self._work(row, index, work))
        self._works.add(task)
        task.add_done_callback(self._work_ended)

    async def _work(self, row: GraphRow, index: int, work: AwaitedStep) -> None:
        async with self._turns[index]:
            if self._lane.closed:
                self._stop(row, index, "cancelled", f"not begun: {self._why_closed()}")
                return
            try:
                row.values.update(await work.compute(row.values))
            except RowError as error:
                self._refuse(row, index, error)
                return
        self._went(row, index)

    def _work_ended(self, task: asyncio.Task[None]) -> None:
        self._works.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error  # no row's own: the job ends with it
            self._wake.set()

    def _open_compound(self, row: GraphRow, index: int, work: Compound) -> None:
        row.open_compounds.append(index)
        if work.kind == "first":
            row.ready.append(work.members[0])
        else:
            row.turns[index] = 1
            row.ready.extend(_firsts(self._nodes, work.members))

    def _succeed(self, row: GraphRow, index: int) -> None:
        row.done |= 1 << index
        self._release(row, index)

    def _release(self, row: GraphRow, index: int) -> None:
        """Start what waited for this step, and for no other."""
        over = row.done | row.skipped
        for after in self._nodes[index].after:
            if not self._nodes[after].needs & ~over and not row.started >> after & 1:
                row.started |= 1 << after
                row.ready.append(after)

    def _closes_one(self, row: GraphRow) -> bool:
        """Close the innermost compound in which nothing is under way; False where there is none."""
        for place in range(len(row.open_compounds) - 1, -1, -1):
            index = row.open_compounds[place]
            work = self._nodes[index].work
            assert isinstance(work, Compound)
            if not row.active & work.within:
                if not self._goes_round(row, index, work):
                    row.open_compounds.pop(place)
                    self._close(row, index, work)
                return True
        return False

    def _goes_round(self, row: GraphRow, index: int, work: Compound) -> bool:
        """Whether a compound that has come to an end begins again, or goes on with the next of its steps."""
        if row.dropped:
            return False
        if work.kind == "first":
            tried = [member for member in work.members if row.started >> member & 1]
            if row.done >> tried[-1] & 1 or len(tried) == len(work.members):
                return False
            row.ready.append(work.members[len(tried)])
            return True
        if work.kind == "all" or self._failed_members(row, work) or row.turns[index] >= work.at_most:
            return False
        if self._is_over(row, index, work):
            return False
        row.turns[index] += 1
        for mask in ("started", "done", "skipped"):
            setattr(row, mask, getattr(row, mask) & ~work.within)
        row.ready.extend(_firsts(self._nodes, work.members))
        return True

    def _is_over(self, row: GraphRow, index: int, work: Compound) -> bool:
        try:
            return work.until is not None and work.until.is_true(row.values)
        except RowError as error:
            row.failures[index] = ("invalid_input", str(error))
            row.failed |= 1 << index
            return True

    def _close(self, row: GraphRow, index: int, work: Compound) -> None:
        if row.dropped or row.failed >> index & 1:
            return
        failed = self._failed_members(row, work)
        if work.kind == "first":
            chosen = next((member for member in work.members if row.done >> member & 1), None)
            if chosen is not None:
                row.values[self._nodes[index].name] = row.values.get(self._nodes[chosen].name)
                failed = []
        if failed:
            row.failures[index] = row.failures[failed[-1] if work.kind == "first" else failed[0]]
            row.failed |= 1 << index
        else:
            self._succeed(row, index)

    def _failed_members(self, row: GraphRow, work: Compound) -> list[int]:
        return [member for member in work.members if row.failed >> member & 1]

    def _end(self, row: GraphRow) -> None:
        """Everything that could start has ended."""
        if row.places != sorted(row.places):
            order = sorted(range(len(row.places)), key=row.places.__getitem__)
            row.settled = [row.settled[at] for at in order]
        if row.asked_of:
            row.model, row.model_reason = row.asked_of[max(row.asked_of)]
        failed = next((member for member in self._members if row.failed >> member & 1), None)
        if row.dropped:
            self._finish(row, DROPPED, None)
        elif failed is not None:
            self._finish(row, *row.failures[failed])
        elif row.missing:
            lacks = f"{row.missing} rows of the group failed before and are not in it"
            self._finish(row, INCOMPLETE, "; ".join([lacks, *row.stood_in]))
        else:
            self._come_through(row)

    # What `RowStream` tells of a step that was asked. Rows are always `GraphRow` here.

    def _note_model(self, row: OpenRow, index: int, model: str, reason: str | None) -> None:
        assert isinstance(row, GraphRow)
        row.asked_of[index] = (model, reason)

    def _stands_in(self, row: OpenRow, index: int, settled: Settled) -> bool:
        return not self._followed_up >> index & 1 and super()._stands_in(row, index, settled)

    def _keep(self, row: OpenRow, index: int, settled: Settled) -> None:
        assert isinstance(row, GraphRow)
        row.settled.append(settled)
        row.places.append(index)

    def _went(self, row: OpenRow, index: int) -> None:
        assert isinstance(row, GraphRow)
        row.active &= ~(1 << index)
        self._succeed(row, index)
        self._advance(row)

    def _stop(self, row: OpenRow, index: int, status: str, error: str | None) -> None:
        assert isinstance(row, GraphRow)
        row.active &= ~(1 << index)
        row.failed |= 1 << index
        row.failures[index] = (status, error)
        self._advance(row)


def _followed_up(nodes: Sequence[Node]) -> int:
    """The steps after whose failure another one is tried, those within them too: nothing stands in for those."""
    found = 0
    for node in nodes:
        if isinstance(node.work, Compound) and node.work.kind == "first":
            for member in node.work.members[:-1]:
                inner = nodes[member].work
                found |= 1 << member | (inner.within if isinstance(inner, Compound) else 0)
    return found


def _firsts(nodes: Sequence[Node], members: Sequence[int]) -> tuple[int, ...]:
    """The members that wait for nothing."""
    return tuple(member for member in members if not nodes[member].needs)
