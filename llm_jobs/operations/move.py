"""Move a job between online and batch after it was submitted: what is asked from now on is asked the other way.

Answers are the same for both, so nothing is asked again. A job that is moved online while a vendor has batches of it
has them cancelled there; what they did is collected and paid, and the rest is asked online.
"""

from __future__ import annotations

import getpass
from collections.abc import AsyncGenerator, Sequence

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Mode
from llm_jobs.errors import CallError
from llm_jobs.ledger.base import JobChange, Submission
from llm_jobs.ledger.batch_records import BatchState
from llm_jobs.operations.background import consume
from llm_jobs.operations.batches_targets import check_providers, open_endpoints, target_from_json
from llm_jobs.operations.services import Services


def move_job(services: Services, submission: Submission, to: Mode, *, why: str | None = None) -> Sequence[str]:
    """Have the job asked `to` from now on; returns what could not be cancelled, and why. Blocks.

    Raises DocumentError where a provider of the job has no batch endpoint.
    """
    job = job_from_json(submission.job)
    if to == "batch":
        check_providers(job, job.steps)
    change = JobChange(job_hash=job.hash, field="mode", value=to, who=getpass.getuser(), why=why)
    services.ledger.record_change(change)
    if to == "batch":
        return []
    live = [state for state in services.ledger.batches(job_hash=job.hash, unfinished=True) if state.owns]
    return _cancelled(services, live) if live else []


def _cancelled(services: Services, live: Sequence[BatchState]) -> Sequence[str]:
    async def cancel() -> AsyncGenerator[list[str], None]:
        problems = []
        async with open_endpoints(services) as endpoints:
            for state in live:
                if state.vendor_id is None or state.newest("ended") is not None:
                    continue
                try:
                    target = target_from_json(state.batch.details["target"])
                    await endpoints.of(state.batch.provider).cancel(target, state.vendor_id)
                except CallError as error:
                    problems.append(f"batch {state.id} was not cancelled: {error}")
        yield problems

    (problems,) = consume(cancel)
    return problems
