"""A small stand-in for the operations: jobs are values, their fate is written beside them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from llm_jobs.documents.job import Input, Job
from llm_jobs.errors import NotFound
from llm_jobs.events import Listener
from llm_jobs.operations.accept import Accepted
from llm_jobs.operations.arrivals import Arrivals
from llm_jobs.operations.batches_poll import Polled
from llm_jobs.operations.records import (
    DeliveryReport,
    GatedJob,
    IntakeReport,
    Inventory,
    JobAudit,
    JobLine,
    JobReport,
    JobStatus,
    Launchable,
    RecurringDocument,
    SubmittedJob,
)
from llm_jobs.operations.recurring import Tick
from llm_jobs.operations.release import Released
from llm_jobs.operations.usage import UsageLine, UsageSheet
from llm_jobs.orchestration.use_cases import JobReports


def key(number: int) -> str:
    """A job hash whose order as text is not its number's."""
    return f"{(number * 0x9E3779B97F4A7C15) % 2**64:032x}"


def job(number: int, *, name: str | None = None, providers: tuple[str, ...] = ("simulated",)) -> SubmittedJob:
    return SubmittedJob(
        job_hash=key(number),
        name=name or f"job {number}",
        submitter="ada",
        priority="cold",
        submitted_ns=1_000 + number,
        providers=providers,
        document_path=f"jobs/{key(number)}/1_job.yaml",
        input_path=f"inputs/{key(number)}.parquet" if number % 2 else None,
    )


def accepted(submitted: SubmittedJob) -> Accepted:
    """A submission that was just recorded."""
    frozen = Job(name=submitted.name, steps=(), input=Input(kind="inline", digest=""), hash=submitted.job_hash)
    return Accepted(job=frozen, submission_id=1, document_name=f"{submitted.name}.yaml")


def report_of(submitted: SubmittedJob, status: JobStatus) -> JobReport:
    succeeded = {"done": 4, "partial": 3, "failed": 0, "waiting": 0}[status]
    without = {"failed": "every call was refused", "waiting": "waits for batch 1"}.get(status)
    return JobReport(
        job_hash=submitted.job_hash,
        name=submitted.name,
        status=status,
        rows=4,
        succeeded=succeeded,
        failed=4 - succeeded,
        calls_sent=4,
        calls_reused=0,
        prompt_tokens=40,
        completion_tokens=20,
        cost_usd=None,
        result=None if without else f"results/{submitted.job_hash}/1.parquet",
        sha256=None if without else "0" * 64,
        seconds=0.01,
        latency_percentiles={"p50": 0.05, "p99": 0.2},
        error=without,
        preview=[{"id": 1, "answer": "blue"}],
        submitter=submitted.submitter,
        providers=submitted.providers,
    )


@dataclass(kw_only=True)
class FakeUseCases:
    """Jobs end as `fates` says, `done` by default. `finished` and `delivered` are what would be stored."""

    jobs: dict[str, SubmittedJob] = field(default_factory=dict)
    fates: dict[str, JobStatus] = field(default_factory=dict)
    inbox: list[IntakeReport] = field(default_factory=list)
    finished: dict[str, JobReport] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    outputs: set[str] = field(default_factory=set)
    delivered: list[str] = field(default_factory=list)
    ticks: list[tuple[str, int]] = field(default_factory=list)
    ran: list[tuple[str, ...]] = field(default_factory=list)
    batches: list[Polled] = field(default_factory=list)
    gates: dict[str, str] = field(default_factory=dict)
    released: list[Released] = field(default_factory=list)
    skips: dict[str, Tick] = field(default_factory=dict)
    recurring: list[RecurringDocument] = field(default_factory=list)
    arrivals: list[Arrivals] = field(default_factory=list)

    def submit(self, *jobs: SubmittedJob, status: JobStatus = "done") -> None:
        for submitted in jobs:
            self.jobs[submitted.job_hash] = submitted
            self.fates[submitted.job_hash] = status

    def intake(self, *, budget_s: float, largest_bytes: int | None = None) -> IntakeReport:
        return self.inbox.pop(0) if self.inbox else IntakeReport()

    def submitted(self, job_hashes: Sequence[str]) -> Mapping[str, SubmittedJob]:
        return {job_hash: self.jobs[job_hash] for job_hash in job_hashes if job_hash in self.jobs}

    def launchable(self, among: Collection[str] | None = None) -> Launchable:
        waiting = [
            job
            for job in self.jobs.values()
            if job.job_hash not in self.ended and (among is None or job.job_hash in among)
        ]
        return Launchable(
            jobs=tuple(job for job in waiting if job.job_hash not in self.gates),
            gated=tuple(
                GatedJob(job_hash=job.job_hash, name=job.name, reason=self.gates[job.job_hash], is_news=True)
                for job in waiting
                if job.job_hash in self.gates
            ),
        )

    def release(self) -> Released:
        return self.released.pop(0) if self.released else Released()

    def finished_reports(self, job_hashes: Sequence[str]) -> Mapping[str, JobReport]:
        return {job_hash: self.finished[job_hash] for job_hash in job_hashes if self._is_finished(job_hash)}

    def _is_finished(self, job_hash: str) -> bool:
        return job_hash in self.finished and self.finished[job_hash].status == "done"

    def run_jobs(self, job_hashes: Sequence[str], *, listener: Listener, run_id: str) -> JobReports:
        self.ran.append(tuple(job_hashes))
        for job_hash in job_hashes:
            report = report_of(self.jobs[job_hash], self.fates[job_hash])
            if report.status != "waiting":
                self.ended.add(job_hash)
            if report.result is not None:
                self.finished[job_hash] = report
            yield report

    def poll_batches(self, *, most_calls: int) -> Sequence[Polled]:
        return self.batches

    def verify_job(self, job_hash: str) -> JobAudit:
        return JobAudit(
            job_hash=job_hash, rows_answered=self.finished[job_hash].failed == 0, digest_intact=True, paid_twice=0
        )

    def job_plot(self, job_hash: str) -> str | None:
        return f"![{job_hash}](data:image/svg+xml;base64,)"

    def job_page(self, job_hash: str) -> str | None:
        return f"reports/{job_hash}/1.html"

    def usage_sheet(self) -> UsageSheet:
        group = {"day": "2026-11-21", "model": "small", "job": "reviews"}
        line = UsageLine(group=group, calls=len(self.finished), cost_usd=0.5)
        return UsageSheet(lines=[line], cost_usd=0.5, saved_usd=None, plot="![usage](data:image/svg+xml;base64,)")

    def latest_jobs(self, limit: int) -> Sequence[JobLine]:
        return [self._line(job) for job in list(self.jobs.values())[:limit]]

    def undelivered(self) -> Sequence[SubmittedJob]:
        waiting = self.outputs & self.finished.keys() - set(self.delivered)
        return [self.jobs[job_hash] for job_hash in self.jobs if job_hash in waiting]

    def deliver(self, job_hash: str, *, listener: Listener, again: bool) -> Sequence[DeliveryReport]:
        if job_hash not in self.outputs:
            return ()
        self.delivered.append(job_hash)
        return (DeliveryReport(job_hash=job_hash, destination="out.csv", rows=4),)

    def prompt_library(self) -> Inventory:
        return Inventory(digest="p1", rows=[{"name": "greet", "version": "1.0.0"}])

    def model_catalogue(self) -> Inventory:
        return Inventory(digest="m1", rows=[{"name": "simulated/echo"}])

    def results_table(self, job_hashes: Sequence[str]) -> pa.Table:
        made = [job_hash for job_hash in job_hashes if job_hash in self.finished]
        if not made and len(job_hashes) == 1:
            raise NotFound(f"job {job_hashes[0]} has no result")
        return pa.table({"llm_job": made, "answer": [self.jobs[job_hash].name for job_hash in made]})

    def results_of(self, name: str) -> pa.Table:
        return self.results_table([job.job_hash for job in self.jobs.values() if job.name == name][-1:])

    def submit_recurring(self, path: str, *, tick_ns: int) -> Tick:
        self.ticks.append((path, tick_ns))
        if path in self.skips:
            return self.skips[path]
        return Tick(accepted=[accepted(job) for job in self.jobs.values() if job.name == path])

    def recurring_documents(self) -> Sequence[RecurringDocument]:
        return self.recurring

    def take_arrivals(self, *, budget_s: float) -> Arrivals:
        return self.arrivals.pop(0) if self.arrivals else Arrivals()

    def resubmit(self, job_hash: str, *, submitted_ns: int) -> None:
        self.ended.discard(job_hash)
        self.jobs[job_hash] = replace(self.jobs[job_hash], submitted_ns=submitted_ns)

    def _line(self, job: SubmittedJob) -> JobLine:
        report = self.finished.get(job.job_hash)
        return JobLine(
            name=job.name,
            job_hash=job.job_hash,
            status=report.status if report else "null-result",
            rows=report.rows if report else None,
            succeeded=report.succeeded if report else None,
            failed=report.failed if report else None,
            cost_usd=None,
            submitted_at="2026-11-21T06:00:00Z",
            result=report.result if report else None,
        )
