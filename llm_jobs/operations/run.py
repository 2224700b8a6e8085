"""Run jobs: many at once, each reported as it ends. What is finished already is reported without a call.

Invariant: a job's failure is its own; it becomes a report. Only what breaks everything (the ledger) is raised.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import partial

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.engine.session import Session, open_session
from llm_jobs.errors import LlmJobsError, NotFound
from llm_jobs.events import JobBroken, Listener
from llm_jobs.ledger.base import DeadLetter, ResultRecord, Submission
from llm_jobs.ledger.owners import this_process
from llm_jobs.operations.background import consume
from llm_jobs.operations.batches_behind import Behind
from llm_jobs.operations.batches_run import waits
from llm_jobs.operations.gates import open_gate
from llm_jobs.operations.preview import preview_of
from llm_jobs.operations.produce import ask_ahead, produce
from llm_jobs.operations.production import concurrency_of
from llm_jobs.operations.records import JobReport, spent_usd_of, status_of_record
from llm_jobs.operations.services import Services
from llm_jobs.operations.watchers import watched
from llm_jobs.operations.watching import Watch, watching

LOG = logging.getLogger(__name__)
CALLS_AT_ONCE = 256  # over all jobs of one run, unless a single job asks for more


def run_jobs(
    services: Services, job_hashes: Sequence[str], *, listener: Listener, run_id: str | None = None
) -> Iterator[JobReport]:
    """Run accepted jobs; yields each report as its job ends. Blocks. Raises NotFound for a hash the ledger lacks.

    Closing the iterator stops sending, records what was answered and gives the claims back.
    """
    return consume(lambda: run_jobs_async(services, job_hashes, listener=listener, run_id=run_id))


async def run_jobs_async(
    services: Services, job_hashes: Sequence[str], *, listener: Listener, run_id: str | None = None
) -> AsyncGenerator[JobReport, None]:
    """The same in a running event loop."""
    finished = finished_reports(services, job_hashes)
    for report in finished.values():
        yield report
    unfinished = [job_hash for job_hash in dict.fromkeys(job_hashes) if job_hash not in finished]
    if unfinished:
        async with aclosing(_run_unfinished(services, unfinished, listener, run_id)) as reports:
            async for report in reports:
                yield report


def finished_reports(services: Services, job_hashes: Sequence[str]) -> dict[str, JobReport]:
    """Reports of the jobs that have a result in which every row succeeded, in the order of `job_hashes`."""
    records = services.ledger.results(job_hashes)
    reports = {}
    for job_hash in dict.fromkeys(job_hashes):
        record = next((record for record in records.get(job_hash, ()) if not record.failed), None)
        if record is not None:
            reports[job_hash] = _finished_report(services, newest_submission(services, job_hash), record)
    return reports


def newest_submission(services: Services, job_hash: str) -> Submission:
    """The newest submission of a job, bodies included. Raises NotFound."""
    submissions = services.ledger.submissions(job_hash=job_hash)
    if not submissions:
        raise NotFound(f"no job {job_hash} in the ledger {services.ledger.url}; `llm-jobs status` lists the jobs")
    return submissions[0]


async def _run_unfinished(
    services: Services, job_hashes: Sequence[str], listener: Listener, run_id: str | None
) -> AsyncGenerator[JobReport, None]:
    behind, ledger = Behind.over(services.ledger)
    async with (
        watched(services, job_hashes, listener, run_id=run_id) as listener,
        open_session(
            ledger=ledger,
            owner=this_process(run_id=run_id),
            open_provider=services.open_provider,
            open_gate=partial(open_gate, services, emit=listener),
            clock=services.clock,
            random=services.random,
            emit=listener,
        ) as session,
        watching(services) as watch,
    ):
        ended: asyncio.Queue[JobReport | BaseException] = asyncio.Queue()
        feeder = asyncio.create_task(_start_all(services, session, watch, behind, job_hashes, listener, ended))
        feeder.add_done_callback(partial(_tell_failure, ended))
        try:
            for _ in job_hashes:
                report = await ended.get()
                if isinstance(report, BaseException):
                    raise report
                yield report
        finally:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)


def _tell_failure(ended: asyncio.Queue[JobReport | BaseException], feeder: asyncio.Task[None]) -> None:
    if not feeder.cancelled() and (error := feeder.exception()) is not None:
        ended.put_nowait(error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error)


async def _start_all(
    services: Services,
    session: Session,
    watch: Watch,
    behind: Behind,
    job_hashes: Sequence[str],
    listener: Listener,
    ended: asyncio.Queue[JobReport | BaseException],
) -> None:
    """Start the jobs in order, as many at once as the calls allow."""

    async def one(submission: Submission, job: Job, weight: int) -> None:
        try:
            ended.put_nowait(await _run_one(services, session, watch, behind, submission, job, listener))
        except Exception as error:  # noqa: BLE001 - the ledger is broken: raised where the reports are read
            ended.put_nowait(error)
        finally:
            admission.leave(weight)

    admission = _Admission(CALLS_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        for job_hash in job_hashes:
            submission = newest_submission(services, job_hash)
            job = job_from_json(submission.job)
            weight = await admission.enter(concurrency_of(job))
            group.create_task(one(submission, job, weight))


async def _run_one(
    services: Services,
    session: Session,
    watch: Watch,
    behind: Behind,
    submission: Submission,
    job: Job,
    listener: Listener,
) -> JobReport:
    started_ns = services.clock.now_ns()
    try:

        async def ahead(steps: int) -> None:
            await ask_ahead(services, session, watch, submission, job, listener, steps=steps)

        waiting = await waits(services, submission, job, behind, ahead=ahead, emit=listener)
        return waiting or await produce(services, session, watch, submission, job, listener)
    except Exception as error:
        if session.recorder.broken.done():
            raise
        reason = _reason(job, error)
        listener(JobBroken(job.hash, job.name, type(error).__name__))
        services.ledger.record_dead_letter(DeadLetter(kind="job", reference=job.name, reason=reason, job_hash=job.hash))
        return JobReport.without_result(
            submission,
            "failed",
            error=reason,
            seconds=(services.clock.now_ns() - started_ns) / 1e9,
            cost_usd=None,
            document_path=submission.document_name,
        )


def _reason(job: Job, error: Exception) -> str:
    """Why a job has no result. What nobody foresaw is a defect of ours: it fails this job alone, and is logged."""
    if isinstance(error, LlmJobsError):
        return str(error)
    LOG.error("job %s (%s) met a defect", job.name, job.hash, exc_info=error)
    return f"unexpected {type(error).__name__}: {error}; this is a defect of llm-jobs, its traceback is in the log"


def _finished_report(services: Services, submission: Submission, record: ResultRecord) -> JobReport:
    """The report of a job whose result is of record: nothing was sent, every answer was reused."""
    shown = preview_of(services, record)
    return JobReport(
        job_hash=submission.job_hash,
        name=submission.name,
        status=status_of_record(record),
        rows=record.rows,
        succeeded=record.succeeded,
        failed=record.failed,
        calls_sent=0,
        calls_reused=int(str(record.facts.get("calls", record.rows))),
        prompt_tokens=0,
        completion_tokens=0,
        cost_usd=0.0,
        result=services.store.locate(record.path),
        sha256=record.sha256,
        seconds=0.0,
        preview=shown.rows,
        sample_request=shown.sample_request,
        submitter=submission.submitter,
        document_path=str(services.settings.jobs / submission.job_hash),
        spent_usd=spent_usd_of(record),
        made_with=record.facts,
    )


class _Admission:
    """Lets jobs in while their calls at once fit; one that asks for more than fits runs alone."""

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._free = calls
        self._changed = asyncio.Event()

    async def enter(self, calls: int) -> int:
        weight = min(calls, self._calls)
        while self._free < weight:
            self._changed.clear()
            await self._changed.wait()
        self._free -= weight
        return weight

    def leave(self, weight: int) -> None:
        self._free += weight
        self._changed.set()
