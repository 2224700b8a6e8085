"""Results as tables: of one job, of several below each other, or the newest of a name."""

from __future__ import annotations

from collections.abc import Sequence

from llm_jobs.errors import NotFound
from llm_jobs.operations.services import Services
from llm_jobs.results.reading import Stored, Table, read


def results_table(services: Services, job_hashes: Sequence[str]) -> Table:
    """The newest results of `job_hashes` under one schema, in their order, with `llm_job` and `llm_submitted_at`.

    Jobs without a result are left out. Raises NotFound where none has one, DocumentError where types conflict.
    """
    submitted_ns = _submitted_ns(services, job_hashes)
    records = services.ledger.results(job_hashes)
    stored = [
        Stored(path=records[job_hash][0].path, submitted_ns=submitted_ns.get(job_hash))
        for job_hash in job_hashes
        if records.get(job_hash)
    ]
    if not stored:
        named = ", ".join(job_hashes[:3]) or "no job"
        raise NotFound(f"no result of {named} in the ledger {services.ledger.url}; `llm-jobs run` makes results")
    return read(services.store, stored)


def results_of(services: Services, name: str) -> Table:
    """The newest result of the job that was last submitted as `name` and has one. Raises NotFound."""
    submissions = services.ledger.submissions(name=name)
    records = services.ledger.results([submission.job_hash for submission in submissions])
    for submission in submissions:
        if records.get(submission.job_hash):
            return results_table(services, [submission.job_hash])
    raise NotFound(f"no job named {name!r} has a result; `llm-jobs status` lists the jobs")


def _submitted_ns(services: Services, job_hashes: Sequence[str]) -> dict[str, int | None]:
    wanted = set(job_hashes)
    latest = services.ledger.latest_jobs(2**31 - 1)
    return {job.job_hash: job.submitted_ns for job in latest if job.job_hash in wanted}
