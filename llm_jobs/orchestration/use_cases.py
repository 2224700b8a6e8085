"""What orchestration asks of the rooms below it: one interface.

Assets, sensors and schedules call nothing else, so that they can be tried against a small fake. The real one
(`resources.BoundUseCases`) passes every call to the operation of the same name. Nothing of Dagster belongs here.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from typing import Protocol

import pyarrow as pa

from llm_jobs.events import Listener
from llm_jobs.operations.arrivals import Arrivals
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
from llm_jobs.operations.recurring import Tick
from llm_jobs.operations.release import Released
from llm_jobs.operations.usage import UsageSheet

JobReports = Generator[JobReport, None, None]


class UseCases(Protocol):
    """The operations that Dagster sets off. All block; none knows Dagster."""

    def intake(self, *, budget_s: float, largest_bytes: int | None = None) -> IntakeReport:
        """Resolve what lies in the inbox, for `budget_s` seconds at most; move and record it. What is larger than
        `largest_bytes` stays there and counts as remaining."""

    def submitted(self, job_hashes: Sequence[str]) -> Mapping[str, SubmittedJob]:
        """The newest submission of each of `job_hashes` that the ledger knows."""

    def launchable(self, among: Collection[str] | None = None) -> Launchable:
        """Jobs that may start now, oldest submission first: not ended since they were last submitted, their conditions
        hold; and those that are gated. Of all jobs, or of those `among` some hashes."""

    def release(self) -> Released:
        """Make jobs of the documents that waited for other jobs and whose needs are done."""

    def finished_reports(self, job_hashes: Sequence[str]) -> Mapping[str, JobReport]:
        """Reports of those of `job_hashes` whose every row is answered in a result of record."""

    def run_jobs(self, job_hashes: Sequence[str], *, listener: Listener, run_id: str) -> JobReports:
        """Run many jobs at once; yield each report as its job ends. Closing the generator stops the work."""

    def poll_batches(self, *, most_calls: int) -> Sequence[Polled]:
        """Ask vendors about their batches; collect those that ended and have at most so many calls."""

    def verify_job(self, job_hash: str) -> JobAudit: ...

    def job_plot(self, job_hash: str) -> str | None:
        """Latency and cost of the newest result over time, as Markdown; None where nothing was bought for it."""

    def job_page(self, job_hash: str) -> str | None:
        """Make a page about the newest result, for people; returns its path. None where previews are off."""

    def latest_jobs(self, limit: int) -> Sequence[JobLine]: ...

    def usage_sheet(self) -> UsageSheet:
        """What was spent in the last month, by day, model and job."""

    def undelivered(self) -> Sequence[SubmittedJob]:
        """Jobs with an output and a result that has not been delivered."""

    def deliver(self, job_hash: str, *, listener: Listener, again: bool) -> Sequence[DeliveryReport]:
        """Deliver the newest result to the destinations that it has not reached, with `again` to all of them."""

    def prompt_library(self) -> Inventory: ...

    def model_catalogue(self) -> Inventory: ...

    def results_table(self, job_hashes: Sequence[str]) -> pa.Table:
        """The newest results of several jobs below each other; those that have none are left out.

        Raises NotFound where one job is asked for and has none.
        """

    def results_of(self, name: str) -> pa.Table:
        """The newest result of the job that was last submitted as `name`. Raises NotFound."""

    def submit_recurring(self, path: str, *, tick_ns: int) -> Tick:
        """Submit a recurring document as of its tick. Raises DocumentError."""

    def recurring_documents(self) -> Sequence[RecurringDocument]:
        """The documents with a schedule as they are now."""

    def take_arrivals(self, *, budget_s: float) -> Arrivals:
        """Submit the files that arrived where a recurring document waits for them, for `budget_s` seconds at most."""
