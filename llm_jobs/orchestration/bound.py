"""The real use cases: each call goes to the operation of the same name, with the services of this process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_jobs.events import Listener
from llm_jobs.operations import (
    arrivals,
    batches,
    deliver,
    describe,
    intake,
    inventories,
    launchable,
    overview,
    read,
    recurring,
    release,
    report,
    run,
    timeline,
    usage,
    verify,
)
from llm_jobs.operations.batches_poll import Polled
from llm_jobs.operations.records import (
    DeliveryReport,
    IntakeReport,
    Inventory,
    JobAudit,
    JobLine,
    JobReport,
    Launchable,
    RecurringDocument,
    SubmittedJob,
)
from llm_jobs.operations.services import Services
from llm_jobs.orchestration.use_cases import JobReports

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, slots=True)
class BoundUseCases:
    """`use_cases.UseCases` over open `services`."""

    services: Services

    def intake(self, *, budget_s: float, largest_bytes: int | None = None) -> IntakeReport:
        return intake.intake(self.services, budget_s=budget_s, largest_bytes=largest_bytes)

    def submitted(self, job_hashes: Sequence[str]) -> Mapping[str, SubmittedJob]:
        return describe.submitted(self.services, job_hashes)

    def launchable(self, among: Collection[str] | None = None) -> Launchable:
        return launchable.launchable(self.services, among)

    def release(self) -> release.Released:
        return release.release(self.services)

    def finished_reports(self, job_hashes: Sequence[str]) -> Mapping[str, JobReport]:
        return run.finished_reports(self.services, job_hashes)

    def run_jobs(self, job_hashes: Sequence[str], *, listener: Listener, run_id: str) -> JobReports:
        yield from run.run_jobs(self.services, job_hashes, listener=listener, run_id=run_id)

    def poll_batches(self, *, most_calls: int) -> Sequence[Polled]:
        return batches.poll(self.services, most_calls=most_calls)

    def verify_job(self, job_hash: str) -> JobAudit:
        return verify.verify_job(self.services, job_hash)

    def job_plot(self, job_hash: str) -> str | None:
        return timeline.job_plot(self.services, job_hash)

    def job_page(self, job_hash: str) -> str | None:
        return report.linked_report(self.services, job_hash)

    def latest_jobs(self, limit: int) -> Sequence[JobLine]:
        return overview.overview(self.services, limit)

    def usage_sheet(self) -> usage.UsageSheet:
        return usage.usage_sheet(self.services)

    def undelivered(self) -> Sequence[SubmittedJob]:
        return deliver.undelivered(self.services)

    def deliver(self, job_hash: str, *, listener: Listener, again: bool) -> Sequence[DeliveryReport]:
        return deliver.deliver(self.services, job_hash, listener=listener, again=again)

    def prompt_library(self) -> Inventory:
        return inventories.prompt_library(self.services)

    def model_catalogue(self) -> Inventory:
        return inventories.model_catalogue(self.services)

    def results_table(self, job_hashes: Sequence[str]) -> pa.Table:
        return read.results_table(self.services, job_hashes)

    def results_of(self, name: str) -> pa.Table:
        return read.results_of(self.services, name)

    def submit_recurring(self, path: str, *, tick_ns: int) -> recurring.Tick:
        return recurring.submit_recurring(self.services, Path(path), tick_ns=tick_ns)

    def recurring_documents(self) -> Sequence[RecurringDocument]:
        return recurring.recurring_documents(self.services.settings, self.services.environment)

    def take_arrivals(self, *, budget_s: float) -> arrivals.Arrivals:
        return arrivals.take_arrivals(self.services, budget_s=budget_s)
