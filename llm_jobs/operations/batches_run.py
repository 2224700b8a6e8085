"""One run of a job that is asked in batches: collect what ended, submit what is needed, and end; or make the result.

No process waits for a vendor: a run ends with the job `waiting`, and the next one takes it from there. When every row
has come to its end, or only such calls are left as are asked online, the job is produced like any other; answers of its
batches are in the ledger by then, and so are the failures, which `Behind` passes on in the place of asking again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence

from llm_jobs.documents.job import Job
from llm_jobs.errors import DocumentError, PermanentError, RowError
from llm_jobs.events import Listener
from llm_jobs.ledger.base import Submission
from llm_jobs.ledger.batch_records import BatchState, Waiting
from llm_jobs.operations.batches_behind import Behind
from llm_jobs.operations.batches_outlook import most_tokens, on_batches, on_submitted, pause_s, refusals, refuse
from llm_jobs.operations.batches_plan import Need, Portion, Prepared, asked_since, modes_of, needed
from llm_jobs.operations.batches_poll import poll_batches
from llm_jobs.operations.batches_submit import Submitted, Submitter
from llm_jobs.operations.batches_targets import open_endpoints
from llm_jobs.operations.budgets import caps_of
from llm_jobs.operations.columns import check_names, missing_columns
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.tables import job_table

CALLS_WATCHED = 100  # of those that others hold; when these are free, the job looks again

Ahead = Callable[[int], Awaitable[None]]


async def waits(
    services: Services, submission: Submission, job: Job, behind: Behind, *, ahead: Ahead, emit: Listener
) -> JobReport | None:
    """Carry the job as far as it goes without waiting for a vendor. A report: it waits. None: it can be produced now.

    `ahead(n)` has the first n steps asked online, where a step that is asked in batches follows them. Raises
    LlmJobsError where the vendor takes no batch of it.
    """
    if not await asyncio.to_thread(_is_concerned, services, job):
        return None
    return await _Run(services, submission, job, behind, ahead, emit).carry_on()


def _is_concerned(services: Services, job: Job) -> bool:
    return "batch" in modes_of(services, job).values() or job.hash in services.ledger.waiting([job.hash])


class _Run:
    def __init__(
        self, services: Services, submission: Submission, job: Job, behind: Behind, ahead: Ahead, emit: Listener
    ) -> None:
        self._services = services
        self._submission = submission
        self._job = job
        self._behind = behind
        self._ahead = ahead
        self._emit = emit
        self._started_ns = services.clock.now_ns()

    async def carry_on(self) -> JobReport | None:
        services, job = self._services, self._job
        polled = await poll_batches(services, emit=self._emit, job_hash=job.hash)
        problems = [each.problem for each in polled if each.problem is not None]
        states = await asyncio.to_thread(services.ledger.batches, job_hash=job.hash)
        live = [state for state in states if state.owns]
        if live:
            return await self._wait([state.batch.owner_id for state in live], on_batches(live, problems))
        await asyncio.to_thread(services.ledger.end_waiting, job.hash)
        prepared = await asyncio.to_thread(self._prepared)
        if "batch" not in prepared.modes.values():
            return None
        recent = [state for state in states if (state.batch.recorded_ns or 0) > prepared.since_ns]
        refuse(recent)
        if (left_s := self._pause_left_s(recent)) > 0:
            reason = "the vendor's queue has no room; smaller batches are tried later"
            return await self._wait([], reason, pause_s=left_s)
        report, steps_ahead = await self._submit(prepared, recent)
        if report is None and steps_ahead:
            await self._ahead(steps_ahead)
            report, _ = await self._submit(prepared, recent)
        return report

    def _pause_left_s(self, recent: Sequence[BatchState]) -> float:
        """How long nothing is submitted yet, where the vendor's queue had no room for the newest batch."""
        if not recent or not refusals(recent[-1:], "enqueued_tokens"):
            return 0.0
        return pause_s(recent) - (self._services.clock.now_ns() - recent[-1].changed_ns) / 1e9

    def _prepared(self) -> Prepared:
        services, submission, job = self._services, self._submission, self._job
        table = job_table(services, submission, job, epoch_ns=self._started_ns)
        if job.input.kind != "batch":
            if missing := missing_columns(job, table.schema.names):
                raise DocumentError([each.problem for each in missing])
            check_names(job, table.schema.names)
        return Prepared(
            job=job,
            table=table,
            steps=prepared_steps(services, job),
            modes=modes_of(services, job),
            since_ns=asked_since(services, job.hash),
        )

    async def _submit(self, prepared: Prepared, recent: Sequence[BatchState]) -> tuple[JobReport | None, int]:
        """Submit what is to be asked in batches. A report: the job waits. Else also how many steps are to be asked
        online before a step in batches can be."""
        plan = _Plan(prepared)
        async with open_endpoints(self._services) as endpoints:
            caps = await asyncio.to_thread(caps_of, self._services, self._submission, self._job)
            submitter = Submitter(
                self._services,
                self._submission,
                endpoints,
                emit=self._emit,
                caps=caps,
                most_tokens=most_tokens(recent),
            )
            try:
                portions = needed(self._services, prepared)
                while (portion := await asyncio.to_thread(_next, portions)) is not None:
                    await submitter.take(plan.take(portion))
                done = await submitter.finish()
            finally:
                await submitter.aclose()
        if (report := await self._after(done, recent)) is not None:
            return report, 0
        self._behind.note(self._job.hash, ended=plan.ended, said=plan.said)
        return None, plan.ahead

    async def _after(self, done: Submitted, recent: Sequence[BatchState]) -> JobReport | None:
        refused = next((error for error in done.problems if isinstance(error, PermanentError)), None)
        if refused is not None and not done.owners:
            raise refused
        pending = any(over.pending for over in done.over_budget.values())  # others may give some of it back
        if done.owners or done.held or done.later or done.problems or pending:
            calls = list(done.held)[:CALLS_WATCHED]
            left_s = 0.0 if done.owners or calls else pause_s(recent)
            return await self._wait(done.owners, on_submitted(done), calls=calls, pause_s=left_s)
        return None

    async def _wait(
        self, owners: Sequence[int], reason: str, *, calls: Sequence[str] = (), pause_s: float = 0.0
    ) -> JobReport:
        services = self._services
        not_before_ns = services.clock.now_ns() + int(pause_s * 1e9) if pause_s else 0
        waiting = Waiting(
            job_hash=self._job.hash,
            reason=reason,
            owners=tuple(owners),
            calls=tuple(calls),
            not_before_ns=not_before_ns,
        )
        await asyncio.to_thread(services.ledger.wait, waiting)
        return self._report(reason)

    def _report(self, reason: str) -> JobReport:
        return JobReport.without_result(
            self._submission,
            "waiting",
            error=reason,
            seconds=(self._services.clock.now_ns() - self._started_ns) / 1e9,
            cost_usd=0.0,
            document_path=str(self._services.settings.jobs / self._submission.job_hash),
        )


class _Plan:
    """What is known of a job's calls after all its rows were looked at."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        self._modes = [prepared.modes[step.step.name] for step in prepared.steps]
        self.ended: dict[str, int] = {}  # by call hash the intent under which it ended without a word
        self.said: set[str] = set()
        self.ahead = 0

    def take(self, portion: Portion) -> list[Need]:
        """The calls that are to be asked in batches. Raises RowError where the job stops at a row that cannot be."""
        if portion.unaskable is not None and self._prepared.job.policy.on_input_error == "fail":
            raise RowError(portion.unaskable)
        self.said |= portion.said
        for need in portion.needs:
            if need.refusal is not None:
                self.ended[need.call.call_hash] = need.refusal.intent_id
            elif self._modes[need.step] == "online":
                self.ahead = max(self.ahead, self._up_to_batch(need.step))
        return [need for need in portion.needs if need.decision == "batch"]

    def _up_to_batch(self, step: int) -> int:
        """How many steps there are before the next one that is asked in batches; 0: none follows."""
        return next((at for at in range(step, len(self._modes)) if self._modes[at] == "batch"), 0)


def _next(portions: Iterator[Portion]) -> Portion | None:
    return next(portions, None)
