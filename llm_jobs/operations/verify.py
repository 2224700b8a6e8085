"""Recompute what can be recomputed: digests of results, the ledger's own consistency, calls that may have been paid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import LedgerAudit, ResultRecord, Unrecorded
from llm_jobs.operations.records import JobAudit
from llm_jobs.operations.services import Services
from llm_jobs.operations.step_rows import kept_tables
from llm_jobs.results.verifying import digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What `llm-jobs verify` found. `damaged` names results, and tables of steps, whose bytes are missing or differ
    from what was recorded; `unrecorded` are calls that were (about to be) sent and have no outcome: they may have been
    paid."""

    ledger: LedgerAudit
    results_checked: int
    tables_checked: int  # of steps, kept beside results
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
    every = [record for found in records.values() for record in found]
    listed = {record.path for record in every}
    stored = [path for each in hashes for path in services.store.paths(each)]
    return Verification(
        ledger=services.ledger.audit(),
        results_checked=len(listed),
        tables_checked=sum(len(kept_tables(record)) for record in every),
        damaged=[damage for record in every for damage in _damages(services, record)],
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
        digest_intact=newest is not None and not any(_damages(services, newest)),
        paid_twice=services.ledger.late(job_hash),
    )


def _damages(services: Services, record: ResultRecord) -> Iterator[str]:
    """What is wrong with a result, and with the tables of steps beside it."""
    recorded = {record.path: record.sha256, **{table.path: table.sha256 for table in kept_tables(record)}}
    for path, sha256 in recorded.items():
        if problem := _problem(services, path, sha256):
            yield f"{services.store.locate(path)}: {problem}"


def _problem(services: Services, path: str, sha256: str) -> str | None:
    try:
        found = digest(services.store, path)
    except NotFound:
        return "the file is missing"
    return None if found == sha256 else f"its SHA-256 is {found}, recorded was {sha256}"
