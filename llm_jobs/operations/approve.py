"""Approve a job that is held: it is launched from now on, and is never held again."""

from __future__ import annotations

import getpass

from llm_jobs.ledger.base import JobChange, Submission
from llm_jobs.operations.job_changes import Hold, changes_of, hold_in_force
from llm_jobs.operations.services import Services


def approve_job(services: Services, submission: Submission, *, why: str | None = None) -> Hold | None:
    """Record the approval; returns the hold that it ends, None where the job was not held, which changes nothing."""
    hold = hold_in_force(changes_of(services.ledger, submission.job_hash))
    if hold is not None:
        change = JobChange(
            job_hash=submission.job_hash, field="approved", value={"approved": True}, who=getpass.getuser(), why=why
        )
        services.ledger.record_change(change)
    return hold
