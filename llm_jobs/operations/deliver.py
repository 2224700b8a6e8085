"""Deliver results: a copy to each place that the document names, and a receipt in the ledger. No call is sent.

Each destination is its own: one that fails stops no other. What becomes of a failure is `on_output_error` of the
document; a failure is recorded whatever that says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from llm_jobs.deliveries.subject import Delivered, Subject
from llm_jobs.documents.destinations import FileOutput, Output, OutputError, delivery_key
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.errors import DeliveryError, DeliveryRefused, LlmJobsError
from llm_jobs.events import DeliveryEnded, Listener, ignore
from llm_jobs.ledger.base import DeadLetter, Receipt, ResultRecord, Submission
from llm_jobs.operations.accept import OUTPUTS
from llm_jobs.operations.describe import LARGEST_LISTING, submitted_job
from llm_jobs.operations.handover import Handover
from llm_jobs.operations.keep import newest_kept
from llm_jobs.operations.records import DeliveryReport, DeliveryStatus, SubmittedJob
from llm_jobs.operations.run import newest_submission
from llm_jobs.operations.services import Services
from llm_jobs.operations.watchers import tell_undelivered

BACKOFF_S = 1.0
BACKOFF_CAP_S = 60.0
ENDED = frozenset({"delivered", "fallback", "skipped"})  # the statuses of receipts after which nothing is asked for
MOST_REASON_CHARACTERS = 500


def deliver(
    services: Services,
    job_hash: str,
    *,
    listener: Listener = ignore,
    again: bool = False,
    sleep: Callable[[float], object] = time.sleep,
) -> tuple[DeliveryReport, ...]:
    """Deliver the newest result of a job to the destinations that it has not reached; with `again` to all of them,
    which brings back what was lost there and writes nothing twice. Empty where the job states no output or has no
    result. Raises NotFound for a hash that the ledger lacks.
    """
    submission = newest_submission(services, job_hash)
    job = job_from_json(submission.job)
    record = _newest(services, job_hash)
    if not job.policy.outputs or record is None:
        return ()
    receipts = services.ledger.receipts(job_hash)
    steps = [step.name for step in job.steps]
    work = _Work(
        services=services,
        subject=_subject(services, submission, record, steps[-1] if steps else None),
        record=record,
        handling=job.policy.on_output_error,
        receipts=[receipt for receipt in receipts if receipt.result_path == record.path],
        again=again,
        sleep=sleep,
    )
    reports, missed = [], []
    for output in job.policy.outputs:
        if again or not _has_ended(output, work.receipts):
            report = work.deliver(output)
            _tell(listener, submission, report)
            reports.append(report)
            missed += [output.place] if report.error is not None else []
    if missed:
        tell_undelivered(services, job, missed, since_ns=record.epoch_ns)
    return tuple(reports)


def undelivered(services: Services) -> list[SubmittedJob]:
    """Jobs whose newest result has not reached each of their destinations, oldest submission first."""
    latest = reversed(services.ledger.latest_jobs(LARGEST_LISTING))
    submissions = {each.job_hash: each for each in latest if each.details.get(OUTPUTS) != []}
    results = services.ledger.results(list(submissions))
    receipts = services.ledger.receipts_of(list(results))
    return [
        submitted_job(services, newest_submission(services, job_hash))
        for job_hash, submission in submissions.items()
        if job_hash in results and _waits(services, submission, results[job_hash][0], receipts.get(job_hash, ()))
    ]


def _waits(services: Services, submission: Submission, record: ResultRecord, receipts: Sequence[Receipt]) -> bool:
    """Whether a destination has no receipt of the result. The job itself is read only where its submission or a
    receipt is of before, and does not name the destination."""
    mine = [receipt for receipt in receipts if receipt.result_path == record.path]
    keys = submission.details.get(OUTPUTS)
    if isinstance(keys, list) and all("output" in receipt.details for receipt in mine):
        return not set(keys) <= {each.details["output"] for each in mine if each.details.get("status") in ENDED}
    outputs = job_from_json(newest_submission(services, submission.job_hash).job).policy.outputs
    return not all(_has_ended(output, mine) for output in outputs)


def _has_ended(output: Output, receipts: Sequence[Receipt]) -> bool:
    key = delivery_key(output)
    return any(
        (receipt.details.get("output") == key and receipt.details.get("status") in ENDED)
        # Receipts of before name no output: there was one at most, and it was a file.
        or (isinstance(output, FileOutput) and "output" not in receipt.details)
        for receipt in receipts
    )


def _newest(services: Services, job_hash: str) -> ResultRecord | None:
    records = services.ledger.results([job_hash]).get(job_hash, ())
    return records[0] if records else None


def _subject(services: Services, submission: Submission, record: ResultRecord, answer: str | None) -> Subject:
    kept = newest_kept(services.settings.jobs / submission.job_hash, submission.document_name)
    link = kept.relative_to(services.settings.home) if kept else submission.document_name
    stem = submission.document_name.rpartition("/")[2]
    return Subject(
        name=submission.name,
        job_hash=submission.job_hash,
        epoch_ns=record.epoch_ns,
        document=stem.rpartition(".")[0] or stem,
        link=str(link),
        answer=answer,
    )


def _tell(listener: Listener, submission: Submission, report: DeliveryReport) -> None:
    listener(
        DeliveryEnded(
            submission.job_hash, submission.name, report.destination, report.status, report.rows, report.error
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Work:
    """The deliveries of one result."""

    services: Services
    subject: Subject
    record: ResultRecord
    handling: OutputError
    receipts: Sequence[Receipt]
    again: bool
    sleep: Callable[[float], object]

    def deliver(self, output: Output) -> DeliveryReport:
        """Deliver to one destination, and do about a failure what the document says."""
        try:
            delivered = self._tried(output)
        except LlmJobsError as error:
            return self._failed(output, str(error))
        return self._ended(output, delivered, "delivered")

    def _tried(self, output: Output) -> Delivered:
        tries = 1 + (self.handling.max_retries if self.handling.strategy == "retry" else 0)
        for failures in range(1, tries + 1):
            try:
                return self._hand_over(output)
            except DeliveryError as error:
                if isinstance(error, DeliveryRefused) or failures == tries:
                    raise
            self.sleep(self.services.random.uniform(0.5, 1.0) * min(BACKOFF_CAP_S, BACKOFF_S * 2.0**failures))
        raise AssertionError("there is a last try")

    def _hand_over(self, output: Output) -> Delivered:
        handover = Handover(
            services=self.services,
            subject=self.subject,
            result_path=self.record.path,
            receipts=self.receipts,
            again=self.again,
            sleep=self.sleep,
        )
        return handover.to(output)

    def _failed(self, output: Output, reason: str) -> DeliveryReport:
        letter = DeadLetter(kind="delivery", reference=output.place, reason=reason, job_hash=self.subject.job_hash)
        self.services.ledger.record_dead_letter(letter)
        if self.handling.strategy in ("skip", "alert"):
            nothing = Delivered(destination=output.place, rows=0, is_new=False)
            return self._ended(output, nothing, "skipped", reason=reason)
        if (fallback := self.handling.fallback) is not None:
            try:
                delivered = self._hand_over(fallback)
            except LlmJobsError as error:
                reason += f"; and the fallback: {error}"
            else:
                return self._ended(output, delivered, "fallback", reason=reason)
        return DeliveryReport(
            job_hash=self.subject.job_hash, destination=output.place, rows=0, status="failed", error=reason
        )

    def _ended(
        self, output: Output, delivered: Delivered, status: DeliveryStatus, *, reason: str | None = None
    ) -> DeliveryReport:
        """Keep a receipt, so that this is not asked for again."""
        told = {} if reason is None else {"error": reason[:MOST_REASON_CHARACTERS]}
        details = {"output": delivery_key(output), "status": status, **delivered.details, **told}
        self.services.ledger.record_receipt(
            Receipt(
                job_hash=self.subject.job_hash,
                result_path=self.record.path,
                destination=delivered.destination,
                sha256=delivered.sha256,
                rows=delivered.rows,
                details=details,
            )
        )
        return DeliveryReport(
            job_hash=self.subject.job_hash,
            destination=delivered.destination,
            rows=delivered.rows,
            size_bytes=delivered.size_bytes,
            status=status,
            is_new=delivered.is_new,
            sha256=delivered.sha256,
            details=delivered.details,
            error=reason,
        )
