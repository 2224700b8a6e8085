"""One Dagster run over many jobs: what it covers and what it has told Dagster so far.

Every covered job ends in exactly one of three ways: materialised, failed (planned and never materialised, in a run
that fails), or interrupted with the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from llm_jobs.operations.records import DeliveryReport, JobAudit, JobReport, SubmittedJob
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.owners import sign
from llm_jobs.orchestration.planned import report_planned

NAME_TAG = "llm_jobs/job"
NAMES_SHOWN = 3


@dataclass(kw_only=True, slots=True)
class Scope:
    """The jobs of one run, and those of them that failed."""

    context: dg.AssetExecutionContext
    job_hashes: Sequence[str]
    listed: bool
    jobs: Mapping[str, SubmittedJob] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, context: dg.AssetExecutionContext, *, listed: Sequence[str]) -> Scope:
        """`listed` are the jobs that the configuration names; otherwise the partitions of the run count."""
        return cls(context=context, job_hashes=listed or context.partition_keys, listed=bool(listed))

    def begin(self, jobs: Mapping[str, SubmittedJob]) -> None:
        """Sign the run and show its jobs as in progress; without `results` their documents are all there is to tell."""
        self.jobs = jobs
        sign(self.context.instance, self.context.run, {NAME_TAG: names_tag(job.name for job in jobs.values())})
        if self.listed:
            report_planned(self.context, self.job_hashes)
        for job_hash in self.job_hashes:
            if job_hash not in jobs:
                self.failed(job_hash, "no job of that hash was submitted")
            elif evidence.RESULTS not in self.context.selected_asset_keys:
                self._tell(evidence.submission_events(jobs[job_hash], self.context.selected_asset_keys))

    def ended(self, report: JobReport, audit: JobAudit | None, shown: evidence.Shown) -> None:
        """Tell of a job with its document and input. Not earlier: events cost milliseconds, calls wait for none."""
        self._tell(evidence.submission_events(self.jobs[report.job_hash], self.context.selected_asset_keys))
        self._tell([evidence.result_event(report, shown)])
        if audit is not None:
            self._tell(evidence.check_events(report, audit))
        if report.status == "failed":
            self.failed(report.job_hash, f"{report.name}: {report.error or 'no row was answered'}")

    def delivered(self, reports: Sequence[DeliveryReport]) -> None:
        """Tell of the deliveries of one job; it is shown as delivered when each has come to an end."""
        for report in reports:
            if report.status == "failed":
                self.failed(report.job_hash, f"{report.destination}: {report.error}")
        if reports:
            self._tell([evidence.delivery_event(reports)])

    def finish(self) -> None:
        """Raises Failure, which Dagster does not retry, if a job has no result."""
        if self.failures:
            raise dg.Failure(
                f"{len(self.failures)} of {len(self.job_hashes)} jobs failed:\n" + "\n".join(self.failures),
                allow_retries=False,
            )

    def _tell(self, events: Iterable[evidence.JobEvent]) -> None:
        for event in events:
            self.context.log_event(event)

    def failed(self, job_hash: str, reason: str) -> None:
        """Keep the reason for the end of the run, so that the other jobs go on."""
        self.failures.append(f"{job_hash} {reason}")
        self.context.log.error(f"{job_hash} {reason}")


def names_tag(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - NAMES_SHOWN
    return ", ".join(distinct[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def pools_of_deliveries(jobs: Iterable[SubmittedJob]) -> set[str]:
    """The pools that deliveries of the jobs' results claim a slot of."""
    return {kind for job in jobs for kind in job.destinations if kind == "database"}


def providers_of(jobs: Iterable[SubmittedJob]) -> set[str]:
    """The providers that the jobs call: one pool each."""
    return {provider for job in jobs for provider in job.providers}
