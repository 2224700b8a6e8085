"""One job of one table, from the table to its result: freeze, ask, assemble, write, record.

The digest is recorded last: a result file without one belongs to a run that was killed, and the next run writes
another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import orjson

from llm_jobs.documents.job import Job
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Step
from llm_jobs.engine.calls import Lane
from llm_jobs.engine.failing import Failing
from llm_jobs.engine.following import prepare
from llm_jobs.engine.retry import RetryPolicy
from llm_jobs.engine.session import Session
from llm_jobs.engine.steps import Means, PreparedStep, Row
from llm_jobs.engine.stream import OpenRow, RowStream
from llm_jobs.engine.tally import Tally
from llm_jobs.errors import DocumentError, RowError
from llm_jobs.events import JobFinished, JobStarted, Listener, ResultRecorded
from llm_jobs.ledger.base import ResultRecord, Submission
from llm_jobs.limits.lines import Line
from llm_jobs.operations.columns import check_names, missing_columns
from llm_jobs.operations.completed import completed_row
from llm_jobs.operations.images import find_image, image_finder, look_ahead
from llm_jobs.operations.paid import Paid, paid_before, spent_usd
from llm_jobs.operations.preview import MOST_ROWS, preview_row
from llm_jobs.operations.recency import readable
from llm_jobs.operations.records import JobReport, spent_usd_of, status_of
from llm_jobs.operations.services import Services
from llm_jobs.operations.stand_ins import stand_ins
from llm_jobs.operations.tables import job_table, tell_bad_rows
from llm_jobs.operations.watching import Watch
from llm_jobs.results.columns import result_schema
from llm_jobs.results.layout import result_path
from llm_jobs.results.writing import ResultWriter, StoredFile
from llm_jobs.sources.tables import Table

DEFAULT_CONCURRENCY = 64  # expected of a job that does not state it
MOST_FOUND = 512  # calls in flight of such a job, where the model bears so many
READ_ROWS = 256


def concurrency_of(job: Job) -> int:
    """How many calls of the job are expected in flight; no more than it has rows, where that is known."""
    wanted = job.policy.concurrency or DEFAULT_CONCURRENCY
    return min(wanted, len(job.input.rows) * job.sample) if job.input.kind == "inline" else wanted


@dataclass(slots=True, kw_only=True)
class _Sheet:
    """What is shown of a job beside its result."""

    preview: list[dict[str, object]]
    step: PreparedStep | None = None  # whose request is shown
    sample_request: str | None = None


class Production:
    """One job on its way. Blocking work (reading, writing, digesting) goes to threads."""

    def __init__(
        self, services: Services, session: Session, submission: Submission, job: Job, listener: Listener
    ) -> None:
        self._services = services
        self._session = session
        self._submission = submission
        self._job = job
        self._emit = listener
        self._images = image_finder(services, job)
        self._epoch_ns = services.clock.now_ns()
        self._tally = Tally(services.random)
        self._sheet = _Sheet(preview=[])
        self._since = readable(services, job)
        self._paid = Paid()
        self._lane = Lane(
            job_hash=job.hash,
            submission_id=submission.id or 0,
            concurrency=concurrency_of(job) if job.policy.concurrency else MOST_FOUND,
            is_fixed=job.policy.concurrency is not None,
            line=Line(job.policy.priority),
            retry=RetryPolicy(max_retries=job.policy.max_retries),
            timeout_s=job.policy.timeout_s,
            group=job.policy.group,
        )

    async def run(self, watch: Watch) -> JobReport:
        await self._look_back()
        self._lane.collected = self._paid.collected
        async with watch.following(self._lane, self._submission, self._job):
            return await self._run()

    async def ask(self, watch: Watch, steps: int) -> None:
        await self._look_back()
        async with watch.following(self._lane, self._submission, self._job):
            table = await asyncio.to_thread(self._open_table)
            prepared = [self._prepared(step) for step in self._job.steps[:steps]]
            await self._answer(rows_of(table), self._stream(prepared), lambda rows: None)

    async def _look_back(self) -> None:
        self._paid = await asyncio.to_thread(paid_before, self._services.ledger, self._job.hash)
        self._lane.paid = self._paid

    async def _run(self) -> JobReport:
        job = self._job
        table = await asyncio.to_thread(self._open_table)
        steps = [self._prepared(step) for step in job.steps]
        outputs = [field for step in steps for field in step.outputs.fields]
        schema = result_schema(table.schema, outputs, sample=job.sample > 1)
        self._emit(JobStarted(job.hash, job.name, table.rows * job.sample))
        store = self._services.writing_store(self._emit)
        with ResultWriter(store, result_path(job.hash, self._epoch_ns), schema) as writer:
            self._sheet.step = steps[0]
            await self._answer(rows_of(table), self._stream(steps), writer.write)
            stored = await asyncio.to_thread(writer.close)
        return await asyncio.to_thread(self._record, stored, table)

    def _open_table(self) -> Table:
        job, services = self._job, self._services
        table = job_table(services, self._submission, job, epoch_ns=self._epoch_ns)
        tell_bad_rows(job, table, self._emit)
        if job.input.kind != "batch":
            self._check(table)
        return table

    def _check(self, table: Table) -> None:
        if missing := missing_columns(self._job, table.schema.names):
            raise DocumentError([each.problem for each in missing])
        check_names(self._job, table.schema.names)

    def _prepared(self, step: Step) -> PreparedStep:
        now = asyncio.get_running_loop().time
        since = self._since(step.name)
        return prepare(step, self._job, self._means, health=self._session.health, now=now, since=since)

    def _means(self, model: ModelRef) -> Means:
        session, services = self._session, self._services
        return Means(
            provider=session.provider(model.provider),
            gate=session.gate(model),
            price=partial(services.pricing.cost_usd, model),
            weight=partial(services.weight, model),
            find_image=find_image(self._images),
        )

    def _stream(self, steps: list[PreparedStep]) -> RowStream:
        return RowStream(steps=steps, **self._stream_options(self._job.sample, self._emit))

    def _stream_options(self, samples: int, emit: Listener) -> dict[str, Any]:
        return {
            "samples": samples,
            "caller": self._session.caller,
            "lane": self._lane,
            "emit": emit,
            "stops_at_bad_rows": self._job.policy.on_input_error == "fail",
            "look_up": self._session.recorder.look_back,
            "failing": self._failing(),
            "look_ahead": look_ahead(self._job, self._images),
        }

    def _failing(self) -> Failing | None:
        failures = self._job.policy.failures
        return Failing(failures, stand_ins(self._job)) if failures.concerns_others else None

    async def _answer(
        self, rows: Iterator[Row], stream: RowStream, write: Callable[[list[dict[str, object]]], object]
    ) -> None:
        session, lane = self._session, self._lane
        limit_s = self._job.policy.job_timeout_s
        alarm = limit_s and asyncio.get_running_loop().call_later(limit_s, session.caller.close_lane, lane)
        try:
            async with aclosing(stream.complete(rows, session.recorder.broken)) as completed:
                async for batch in completed:
                    done = [self._completed(row) for row in batch]
                    self._show(done)
                    await asyncio.to_thread(write, done)
        finally:
            if alarm:
                alarm.cancel()

    def _completed(self, row: OpenRow) -> dict[str, object]:
        settled, more_usd = self._paid.told(row.settled)
        self._tally.row(row, settled)
        asked, epoch_ns = self._last_model(), self._epoch_ns
        return completed_row(row, settled, model_asked=asked, epoch_ns=epoch_ns, more_usd=more_usd)

    def _last_model(self) -> str | None:
        return self._job.steps[-1].model.name if self._job.steps else None

    def _show(self, rows: list[dict[str, object]]) -> None:
        sheet = self._sheet
        if not self._services.settings.preview or len(sheet.preview) == MOST_ROWS:
            return
        sheet.preview += [preview_row(row) for row in rows[: MOST_ROWS - len(sheet.preview)]]
        if sheet.sample_request is None and rows and sheet.step is not None:
            sheet.sample_request = _sample_request(sheet.step, rows[0])

    def _record(self, stored: StoredFile, table: Table) -> JobReport:
        job, tally = self._job, self._tally
        seconds = (self._services.clock.now_ns() - self._epoch_ns) / 1e9
        record = ResultRecord(
            job_hash=job.hash,
            path=stored.path,
            epoch_ns=self._epoch_ns,
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            rows=tally.rows,
            succeeded=tally.succeeded,
            failed=tally.failed,
            facts={
                "calls": tally.calls_answered + tally.calls_reused,
                "calls_sent": self._lane.sent,
                "calls_reused": tally.calls_reused,
                "prompt_tokens": tally.prompt_tokens,
                "completion_tokens": tally.completion_tokens,
                "cost_usd": tally.cost_usd,
                "saved_usd": tally.saved_usd,
                "spent_usd": spent_usd(self._services.ledger, job.hash),
                "seconds": seconds,
                "latency_percentiles": tally.latency_s(),
                "calls_at_once": self._calls_at_once(),
                **{name: told for name, told in self._shortcomings().items() if told},
                **self._more_facts(),
            },
        )
        self._services.ledger.record_result(record)
        self._emit(ResultRecorded(job.hash, stored.path))
        report = self._report(record, seconds, table)
        ended = JobFinished(
            job.hash,
            job.name,
            report.status,
            tally.rows,
            tally.succeeded,
            tally.failed,
            cost_usd=tally.cost_usd,
            seconds=seconds,
        )
        self._emit(ended)
        return report

    def _shortcomings(self) -> dict[str, object]:
        """What the rows of the last table do not tell by themselves."""
        return {
            "incomplete": self._tally.incomplete,
            "skipped": self._tally.skipped,
            "stopped": self._lane.why_closed,
        }

    def _more_facts(self) -> dict[str, object]:
        return {}

    def _calls_at_once(self) -> dict[str, int]:
        """What was found of each model; nothing where the job states its concurrency."""
        if self._lane.is_fixed or not self._lane.sent:
            return {}
        found = self._session.calls_at_once()
        return {model.name: found[model.name] for model in self._job.models if model.name in found}

    def _report(self, record: ResultRecord, seconds: float, table: Table) -> JobReport:
        job, tally, submission = self._job, self._tally, self._submission
        return JobReport(
            job_hash=job.hash,
            name=submission.name,
            status=status_of(tally.rows, tally.succeeded, tally.incomplete, tally.skipped),
            rows=tally.rows,
            succeeded=tally.succeeded,
            failed=tally.failed,
            calls_sent=self._lane.sent,
            calls_reused=tally.calls_reused,
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            cost_usd=tally.cost_usd,
            spent_usd=spent_usd_of(record),
            result=self._services.store.locate(record.path),
            sha256=record.sha256,
            seconds=seconds,
            latency_percentiles=tally.latency_s(),
            calls_at_once=self._calls_at_once(),
            error=self._lane.why_closed or tally.first_error,
            preview=self._sheet.preview,
            sample_request=self._sheet.sample_request,
            submitter=submission.submitter,
            providers=tuple(sorted({model.provider for model in job.models})),
            input_path=table.path,
            document_path=str(self._services.settings.jobs / job.hash),
        )


def rows_of(table: Table) -> Iterator[Row]:
    """The rows of a table, one after the other."""
    return chain.from_iterable(table.batches(batch_rows=READ_ROWS))


def _sample_request(step: PreparedStep, row: dict[str, object]) -> str | None:
    try:
        call = step.call(row, 0)  # type: ignore[arg-type]
    except RowError:
        return None
    return orjson.dumps(call.request.body, option=orjson.OPT_INDENT_2).decode()
