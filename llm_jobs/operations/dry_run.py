"""A graph's rows taken as far as the ledger has answers: what `plan` and the results of a job under way look at.

The engine itself does it, on a ledger that grants nothing: conditions, filters, loops, groups and splits mean exactly
what they mean in a run, and nothing can be sent. A call without an answer ends its row as `WOULD_BE_ASKED`. Rows of a
later table that depend on such answers are not made; how many they would be is estimated, table by table.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Any, cast

from llm_jobs.documents.expressions import Expression
from llm_jobs.documents.job import Job
from llm_jobs.documents.steps import GroupStep, RowStep, SweepStep, TableStep, TaskStep, asking_steps
from llm_jobs.engine.calls import Call, Lane
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.graph import GraphRow, Plan, Work
from llm_jobs.engine.levels import stream_of
from llm_jobs.engine.retry import RetryPolicy
from llm_jobs.engine.session import Session, open_session
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.engine.stream import OpenRow
from llm_jobs.errors import RowError
from llm_jobs.events import ignore
from llm_jobs.ledger.base import Facts, Ledger
from llm_jobs.ledger.owners import this_process
from llm_jobs.operations.background import consume
from llm_jobs.operations.completed import completed_row
from llm_jobs.operations.computing import TaskWork
from llm_jobs.operations.dry_ledger import WOULD_BE_ASKED, GrantsNothing, Noting
from llm_jobs.operations.levels import levels_of
from llm_jobs.operations.recency import readable
from llm_jobs.operations.services import Services
from llm_jobs.operations.staged import column_names, reads_rows
from llm_jobs.operations.walking import Visit, WalkedRow
from llm_jobs.pipelines.reshaping import reshaped, reshaped_schema
from llm_jobs.pipelines.stages import Stage, plan_of, stages_of
from llm_jobs.results.row_columns import row_fields
from llm_jobs.sources.tables import Table

AT_ONCE = 4_096

Row = dict[str, Any]


@dataclass(kw_only=True, slots=True)
class DryRow:
    """A row of one of a job's tables, and what it came to: its calls, and the steps that its lack of answers hides."""

    table: int
    row: GraphRow
    walked: WalkedRow

    @property
    def waits(self) -> bool:
        """Does it end with a call that would be asked?"""
        return any(settled.facts.error_class == WOULD_BE_ASKED for settled in self.row.settled)


@dataclass(kw_only=True, slots=True)
class Hidden:
    """About how many rows of a table are not known, for they depend on answers that are not there. `example`: a row
    that they wait for."""

    table: int
    rows: int
    steps: tuple[int, ...]  # places of the table's asking steps
    example: WalkedRow


def dry_rows(
    services: Services, job: Job, table: Table, steps: Sequence[PreparedStep]
) -> Iterator[list[DryRow | Hidden]]:
    """Every row of every table as far as it goes, some hundreds at a time, and per table what is hidden. `steps`: the
    job's asking steps, prepared so that none can be sent. Memory: a batch of rows, some hundred bytes per answer
    that is there, and of a group what a run holds."""
    return consume(lambda: _DryRun(services, job, steps).through(table))


def dry_stage(
    services: Services, job: Job, steps: Sequence[PreparedStep], number: int, rows: Sequence[Row], *, samples: int
) -> list[DryRow]:
    """Some rows of the job's table `number` taken through its steps as far as they go. A row that a filter leaves out
    is left out here too."""
    batches = consume(lambda: _DryRun(services, job, steps).over(number, rows, samples))
    return list(chain.from_iterable(batches))


class _DryRun:
    def __init__(self, services: Services, job: Job, steps: Sequence[PreparedStep]) -> None:
        self._services = services
        self._job = job
        self._prepared = {step.step.name: step for step in steps}
        self._places = {step.step.name: place for place, step in enumerate(steps)}
        self._ledger = GrantsNothing(services.ledger)
        self._since = readable(services, job)
        self._names: Sequence[str] = ()  # the columns of the job's table

    async def through(self, table: Table) -> AsyncGenerator[list[DryRow | Hidden], None]:
        stages = stages_of(self._job.graph)
        first = next((number for number, stage in enumerate(stages) if stage.steps), len(stages) - 1)
        self._names = table.schema.names
        fields: Sequence[Any] = list(table.schema)
        rows: Iterable[Row] = chain.from_iterable(table.batches())
        waiting = _Waiting(stages)
        hidden = 0
        with ExitStack() as opened:
            async with self._session() as session:
                for number, stage in enumerate(stages):
                    if stage.made_by is not None:
                        known = _apart(stage.made_by, rows, waiting)
                        rows = reshaped(stage.made_by, fields, known, whole=reads_rows(stage))
                        fields = reshaped_schema(stage.made_by, fields)
                        hidden = _estimated(stage.made_by, hidden + waiting.rows, waiting)
                        waiting.rows = 0
                    if hidden and waiting.example is not None:
                        yield [self._hidden(number, stage, hidden, waiting.example)]
                    if not stage.steps and number < len(stages) - 1:
                        continue
                    spool = opened.enter_context(tempfile.TemporaryFile())
                    samples = self._job.sample if number == first else 1
                    async for batch in self._stage(session, number, stage, rows, samples):
                        pickle.dump([self._completed(each) for each in batch if not waiting.holds(each)], spool)
                        yield list(batch)
                    spool.seek(0)
                    rows, fields = _spooled(spool), [*fields, *row_fields(stage.steps)]

    async def over(self, number: int, rows: Sequence[Row], samples: int) -> AsyncGenerator[list[DryRow], None]:
        async with self._session() as session:
            stage = stages_of(self._job.graph)[number]
            async for batch in self._stage(session, number, stage, rows, samples):
                yield batch

    def _session(self) -> AbstractAsyncContextManager[Session]:
        services = self._services
        return open_session(
            ledger=cast(Ledger, self._ledger),  # what a session asks of one
            owner=this_process(),
            open_provider=services.open_provider,
            open_gate=lambda model, executor: ModelGate(),
            clock=services.clock,
            random=services.random,
            emit=ignore,
        )

    def _hidden(self, number: int, stage: Stage, rows: int, example: WalkedRow) -> Hidden:
        places = tuple(self._places[step.name] for step in asking_steps(stage.steps))
        return Hidden(table=number, rows=rows, steps=places, example=example)

    async def _stage(
        self, session: Session, number: int, stage: Stage, rows: Iterable[Row], samples: int
    ) -> AsyncGenerator[list[DryRow], None]:
        noting = Noting(session)
        plan = plan_of(stage.steps, prepare=partial(self._work, session), columns=column_names)
        stream = stream_of(
            levels_of(self._services, stage, self._prepared),
            plan=plan,
            samples=samples,
            caller=noting,
            lane=_lane(self._job),
            emit=ignore,
            look_up=session.recorder.look_back,
        )
        seen = 0
        async with aclosing(stream.complete(iter(rows), session.recorder.broken)) as completed:
            async for batch in completed:
                made = [self._dry(plan, noting, number, seen + at, row) for at, row in enumerate(batch)]
                seen += len(batch)
                yield made

    def _work(self, session: Session, step: RowStep) -> Work:
        if not isinstance(step, TaskStep):
            return self._prepared[step.name]
        job = self._job
        work = TaskWork(
            self._services,
            session,
            step,
            epoch=job.epoch,
            since=self._since(step.name),
            timeout_s=job.policy.timeout_s,
            rehearsal=True,
        )
        return work.ready()

    def _dry(self, plan: Plan, noting: Noting, table: int, number: int, row: OpenRow) -> DryRow:
        assert isinstance(row, GraphRow)
        calls = [noting.taken(settled.call_hash) for settled in row.settled]
        visits = [
            self._visit(plan.nodes[place].name, call, settled.facts)
            for place, call, settled in zip(sorted(row.places), calls, row.settled, strict=True)
            if plan.nodes[place].name in self._places  # tasks whose answers are kept are no calls of the job
        ]
        own = row.values if table else {name: row.values.get(name) for name in self._names}
        walked = WalkedRow(number=number, sample=row.sample, row=own, values=row.values, visits=visits)
        unasked = [settled for settled in row.settled if settled.facts.error_class == WOULD_BE_ASKED]
        walked.problem = row.error if row.status != "succeeded" and not unasked else None
        walked.unreached = self._unreached(plan, row) if unasked else ()
        walked.waits_for_task = len(unasked) > sum(visit.answer is None for visit in visits)
        return DryRow(table=table, row=row, walked=walked)

    def _visit(self, step: str, call: Call, facts: Facts) -> Visit:
        unasked = facts.error_class == WOULD_BE_ASKED
        answer = None if unasked else self._ledger.answers.get(call.call_hash)
        return Visit(step=self._places[step], call=call, answer=answer)

    def _unreached(self, plan: Plan, row: GraphRow) -> tuple[int, ...]:
        """The asking steps of its table that wait for its answers, those left out whose condition cannot hold."""
        over = row.started | row.skipped
        return tuple(
            self._places[node.name]
            for place, node in enumerate(plan.nodes)
            if node.name in self._places and not over >> place & 1 and _may_hold(node.when, row.values)
        )

    def _completed(self, dry: DryRow) -> Row:
        return completed_row(dry.row, dry.row.settled, model_asked=None, epoch_ns=0)


def _may_hold(when: Expression | None, values: Mapping[str, Any]) -> bool:
    try:
        return when is None or when.is_true(values)
    except RowError:
        return True  # it depends on an answer


def _lane(job: Job) -> Lane:
    return Lane(
        job_hash=job.hash, submission_id=0, concurrency=AT_ONCE, retry=RetryPolicy(max_retries=0), timeout_s=60.0
    )


class _Waiting:
    """Of the rows that wait for answers, what the tables after must know. Memory: the keys of the groups that are not
    known, of which a run holds as many."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.rows = 0  # of the table that was taken through last
        self.example: WalkedRow | None = None  # of the last table that has one
        self._keys: dict[str, set[str]] = {}
        self._groups = [stage.made_by for stage in stages if isinstance(stage.made_by, GroupStep)]

    def holds(self, dry: DryRow) -> bool:
        """Does the row wait?"""
        if not dry.waits:
            return False
        if not self.rows:
            self.example = dry.walked
        self.rows += 1
        for step in self._groups:
            self._keys.setdefault(step.name, set()).add(_key(step, dry.walked.values))
        return True

    def keys(self, step: GroupStep) -> set[str]:
        """The groups that rows are missing of."""
        return self._keys.get(step.name, set())


def _apart(step: TableStep, rows: Iterable[Row], waiting: _Waiting) -> Iterator[Row]:
    """The rows of which the next table is known: no group is made of a part of its rows."""
    unknown = waiting.keys(step) if isinstance(step, GroupStep) else set()
    for row in rows:
        if not unknown or _key(cast(GroupStep, step), row) not in unknown:
            yield row


def _estimated(step: TableStep, rows: int, waiting: _Waiting) -> int:
    """How many rows the next table has beside those that are known, of so many."""
    if isinstance(step, GroupStep):
        return len(waiting.keys(step)) or min(rows, 1)
    return rows * len(step.values) if isinstance(step, SweepStep) else rows


def _key(step: GroupStep, row: Mapping[str, Any]) -> str:
    return repr([row.get(name) for name in step.by])


def _spooled(spool: IO[bytes]) -> Iterator[Row]:
    while True:
        try:
            yield from pickle.load(spool)
        except EOFError:
            return
