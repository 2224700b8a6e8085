"""A job whose graph makes one table of another: each table is answered, written, and read again to make the next.

Every table but the last is kept beside the result (`<epoch ns>.<step>.parquet`), so that what a group or a split was
made of can be seen. A job that is run again assembles its tables again: the answers are in the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import Any

from llm_jobs.documents.steps import PromptStep, RequestStep, RowStep, SweepStep, TableStep, TaskStep, asking_steps
from llm_jobs.engine.graph import Work
from llm_jobs.engine.levels import stream_of
from llm_jobs.engine.steps import PreparedStep, Row
from llm_jobs.events import Event, JobStarted, Listener, RowCompleted, TableRowCompleted, TableStarted
from llm_jobs.operations.columns import needed_names
from llm_jobs.operations.computing import TaskWork
from llm_jobs.operations.levels import levels_of
from llm_jobs.operations.production import Production, rows_of
from llm_jobs.operations.records import JobReport
from llm_jobs.pipelines.reshaping import ROWS, reshaped, reshaped_schema, shown_columns, stored_rows, without_failures
from llm_jobs.pipelines.stages import Stage, plan_of, stages_of
from llm_jobs.results.columns import result_schema
from llm_jobs.results.layout import result_path, step_path
from llm_jobs.results.row_columns import row_fields
from llm_jobs.results.writing import ResultWriter, StoredFile

Fields = Sequence[Any]  # pyarrow fields, which only the rooms of tables may name


class StagedProduction(Production):
    """A job with a graph on its way."""

    _asking: dict[str, PreparedStep]

    async def _run(self) -> JobReport:
        table = await asyncio.to_thread(self._open_table)
        self._tables: list[dict[str, object]] = []
        self._asking = {}
        stages = stages_of(self._job.graph)
        asked = [number for number, stage in enumerate(stages) if stage.steps or number == len(stages) - 1]
        known: int | None = table.rows * self._job.sample
        self._emit(JobStarted(self._job.hash, self._job.name, known, tables=len(asked)))
        first = next((number for number, stage in enumerate(stages) if stage.steps), len(stages) - 1)
        fields: Fields = list(table.schema)
        rows: Iterator[Any] = rows_of(table)
        with ExitStack() as opened:
            for number, stage in enumerate(stages):
                if stage.made_by is not None:
                    made = reshaped(stage.made_by, fields, rows, whole=reads_rows(stage))
                    fields = reshaped_schema(stage.made_by, fields)
                    known = _rows_made(stage.made_by, known)
                    rows = await asyncio.to_thread(_begun, made)
                is_last = number == len(stages) - 1
                if stage.steps or is_last:
                    samples = self._job.sample if number == first else 1
                    emit = self._emit if number == first else _of_table(self._emit)
                    if number:
                        started = TableStarted(self._job.hash, asked.index(number) + 1, len(asked), known)
                        self._emit(started)
                    stored, fields = await self._stage(stage, fields, rows, samples, emit, is_last=is_last)
                    known = None if self._job.policy.failures.strategy == "skip" else stored.rows
                    if not is_last:
                        stream = opened.enter_context(self._services.store.open(stored.path))
                        rows = self._next_rows(stored_rows(stream))
        return await asyncio.to_thread(self._record, stored, table)

    def _next_rows(self, rows: Iterator[Any]) -> Iterator[Any]:
        """The rows of a table that the next one is made of."""
        return without_failures(rows, self._skipped) if self._job.policy.failures.strategy == "skip" else rows

    def _skipped(self, row: Mapping[str, object]) -> None:
        self._tally.skipped += 1

    async def _stage(
        self, stage: Stage, fields: Fields, rows: Iterator[Row], samples: int, emit: Listener, *, is_last: bool
    ) -> tuple[StoredFile, Fields]:
        """One table answered and written; returns it and its columns without the facts."""
        job, tally = self._job, self._tally
        tally.rows = tally.succeeded = tally.incomplete = 0
        schema = result_schema(fields, row_fields(stage.steps), sample=job.sample > 1)
        path = result_path if is_last else partial(step_path, step=stage.name)
        plan = plan_of(stage.steps, prepare=self._work, columns=column_names)
        levels = levels_of(self._services, stage, self._asking)
        stream = stream_of(levels, plan=plan, **self._stream_options(samples, emit))
        with ResultWriter(self._services.writing_store(emit), path(job.hash, self._epoch_ns), schema) as writer:
            await self._answer(rows, stream, writer.write)
            stored = await asyncio.to_thread(writer.close)
        if not is_last:
            self._tables.append({"step": stage.name, "path": stored.path, "sha256": stored.sha256, "rows": stored.rows})
        return stored, shown_columns(schema)

    def _work(self, step: RowStep) -> Work:
        if isinstance(step, TaskStep):
            job = self._job
            timeout_s = job.policy.timeout_s
            since = self._since(step.name)
            work = TaskWork(self._services, self._session, step, epoch=job.epoch, since=since, timeout_s=timeout_s)
            return work.ready()
        assert isinstance(step, PromptStep | RequestStep)
        prepared = self._prepared(step)
        self._asking[step.name] = prepared
        if self._sheet.step is None:
            self._sheet.step = prepared
        return prepared

    def _last_model(self) -> str | None:
        """None: the rows of a table are asked of the models of its own steps, or of none."""
        return None

    def _more_facts(self) -> dict[str, object]:
        return {"tables": self._tables} if self._tables else {}


def column_names(step: RowStep) -> tuple[str, ...]:
    """The columns that a step adds."""
    return tuple(field.name for field in row_fields([step]))


def reads_rows(stage: Stage) -> bool:
    """Does a step of it read the rows of its groups?"""
    return any(ROWS in needed_names(step) for step in _all(stage.steps))


def _all(steps: Sequence[RowStep]) -> list[Any]:
    return [*steps, *asking_steps(steps)]


def _begun(rows: Iterator[Row]) -> Iterator[Row]:
    """The same, the first row made: a group needs all rows for it."""
    first = next(rows, None)
    return iter(()) if first is None else chain([first], rows)


def _rows_made(step: TableStep, rows: int | None) -> int | None:
    """How many rows a step makes of so many; None where that is told by their values."""
    return rows * len(step.values) if isinstance(step, SweepStep) and rows is not None else None


def _of_table(emit: Listener) -> Listener:
    """What counts a job's rows is told those of one table; those of the others are another kind of event."""

    def tell(event: Event) -> None:
        if isinstance(event, RowCompleted):
            emit(TableRowCompleted(event.job_hash, event.status, event.reused))
        else:
            emit(event)

    return tell
