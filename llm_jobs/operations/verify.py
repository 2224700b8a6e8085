"""Recompute what can be recomputed: digests of results, the ledger's own consistency, calls that may have been paid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import LedgerAudit, ResultRecord, Unrecorded
from llm_jobs.operations.records import JobAudit
from llm_jobs.operations.services import Services
from llm_jobs.results.verifying import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What `llm-jobs verify` found. `damaged` names results whose bytes are missing or differ from what was recorded;
    `unrecorded` are calls that were (about to be) sent and have no outcome: they may have been paid."""

    ledger: LedgerAudit
    results_checked: int
    damaged: Sequence[str]
    unlisted: Sequence[str]  # result files that the ledger does not know: a run was killed before their digest
    unrecorded: Sequence[Unrecorded]

    @property
    def intact(self) -> bool:
        return not self.damaged and not self.ledger.inconsistencies


def verify(services: Services, job_hash: str | None = None) -> Verification:
    """Check every result and the ledger, or those of one job."""
    hashes = [job_hash] if job_hash is not None else [job.job_hash for job in services.ledger.latest_jobs(2**31)]
    records = services.ledger.results(hashes)
    listed = {record.path for found in records.values() for record in found}
    stored = [path for each in hashes for path in services.store.paths(each)]
    return Verification(
        ledger=services.ledger.audit(),
        results_checked=len(listed),
        damaged=[
            f"{services.store.locate(record.path)}: {problem}"
            for found in records.values()
            for record in found
            if (problem := _problem(services, record))
        ],
        unlisted=[services.store.locate(path) for path in stored if path not in listed],
        unrecorded=list(services.ledger.unrecorded(job_hash)),
    )


def verify_job(services: Services, job_hash: str) -> JobAudit:
    """The newest result of a job: complete, unchanged, and nothing in it paid twice."""
    records = services.ledger.results([job_hash]).get(job_hash, ())
    newest = records[0] if records else None
    return JobAudit(
        job_hash=job_hash,
        rows_answered=newest is not None and newest.failed == 0,
        digest_intact=newest is not None and _problem(services, newest) is None,
        paid_twice=services.ledger.late(job_hash),
    )


def _problem(services: Services, record: ResultRecord) -> str | None:
    try:
        found = digest(services.store, record.path)
    except NotFound:
        return "the file is missing"
    if found != record.sha256:
        return f"its SHA-256 is {found}, recorded was {record.sha256}"
    return None
