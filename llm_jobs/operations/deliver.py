"""Deliver results: a copy to the place that the document names, and a receipt in the ledger. No call is sent."""

from __future__ import annotations

from llm_jobs.deliveries.files import Subject
from llm_jobs.deliveries.files import deliver as deliver_file
from llm_jobs.documents.destinations import FileOutput
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.ledger.base import Receipt, ResultRecord
from llm_jobs.operations.describe import LARGEST_LISTING, submitted_job
from llm_jobs.operations.records import DeliveryReport, SubmittedJob
from llm_jobs.operations.run import newest_submission
from llm_jobs.operations.services import Services


def deliver(services: Services, job_hash: str) -> DeliveryReport | None:
    """Deliver the newest result of a job; None where the job states no output or has no result.

    Raises ImmutableError where the destination holds something else, DocumentError where it may not be written.
    """
    outputs = job_from_json(newest_submission(services, job_hash).job).policy.outputs
    output = next((output for output in outputs if isinstance(output, FileOutput)), None)
    record = _newest(services, job_hash)
    if output is None or record is None:
        return None
    settings = services.settings
    subject = Subject(name=newest_submission(services, job_hash).name, job_hash=job_hash, epoch_ns=record.epoch_ns)
    with services.store.open(record.path) as result:
        base, roots = settings.home.parent, (settings.home, settings.home.parent, *settings.allowed_roots)
        delivered = deliver_file(result, output, subject, base=base, roots=roots)
    services.ledger.record_receipt(
        Receipt(
            job_hash=job_hash,
            result_path=record.path,
            destination=str(delivered.path),
            sha256=delivered.sha256,
            rows=delivered.rows,
        )
    )
    return DeliveryReport(
        job_hash=job_hash, destination=str(delivered.path), rows=delivered.rows, size_bytes=delivered.size_bytes
    )


def undelivered(services: Services) -> list[SubmittedJob]:
    """Jobs with an output whose newest result has no receipt, oldest submission first."""
    hashes = [line.job_hash for line in reversed(services.ledger.latest_jobs(LARGEST_LISTING))]
    found = []
    for job_hash, records in services.ledger.results(hashes).items():
        submission = newest_submission(services, job_hash)
        if job_from_json(submission.job).policy.outputs and not _has_receipt(services, records[0]):
            found.append(submitted_job(services, submission))
    return found


def _has_receipt(services: Services, record: ResultRecord) -> bool:
    return any(receipt.result_path == record.path for receipt in services.ledger.receipts(record.job_hash))


def _newest(services: Services, job_hash: str) -> ResultRecord | None:
    records = services.ledger.results([job_hash]).get(job_hash, ())
    return records[0] if records else None
