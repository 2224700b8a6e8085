"""Change the priority of a job that was submitted: of its runs to come, and of its calls that wait at this moment."""

from __future__ import annotations

import getpass

from llm_jobs.ledger.base import JobChange, Submission
from llm_jobs.operations.records import Priority
from llm_jobs.operations.services import Services


def set_priority(services: Services, submission: Submission, priority: Priority, *, why: str | None = None) -> None:
    """Record the change; every process that asks for the job's calls sees it within a second."""
    change = JobChange(job_hash=submission.job_hash, field="priority", value=priority, who=getpass.getuser(), why=why)
    services.ledger.record_change(change)
