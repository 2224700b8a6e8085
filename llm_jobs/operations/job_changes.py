"""What is in force of what somebody changed of jobs after they were submitted: priority, hold and approval, budget.

Of each field the newest change is in force; a submission that is newer than it says again what its document says.
Approval is for ever: it is of the questions, which the job's hash names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_jobs.documents.job import Budget, Job
from llm_jobs.ledger.base import ChangedField, JobChange, Ledger
from llm_jobs.operations.records import Priority

Changes = Mapping[ChangedField, JobChange]


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A job that waits for somebody's approval. `high_usd`: the upper end of its estimate; None: it has no price."""

    reason: str
    high_usd: float | None
    since_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GateTold:
    """Why a job could not start when it was last looked at."""

    reason: str
    kind: str
    since_ns: int


def newest_changes(changes: Iterable[JobChange]) -> dict[str, dict[ChangedField, JobChange]]:
    """By job, the newest change of each field; `changes` are in their order of recording."""
    newest: dict[str, dict[ChangedField, JobChange]] = {}
    for change in changes:
        newest.setdefault(change.job_hash, {})[change.field] = change
    return newest


def all_changes(ledger: Ledger) -> dict[str, dict[ChangedField, JobChange]]:
    """Of every job of which something was changed."""
    return newest_changes(ledger.changes_since(0))


def changes_of(ledger: Ledger, job_hash: str) -> Changes:
    """Of one job."""
    return newest_changes(ledger.changes(job_hash)).get(job_hash, {})


def hold_in_force(changes: Changes) -> Hold | None:
    """Whether the job is held. None: it never was, or it is approved."""
    change = changes.get("approved")
    if change is None or not isinstance(change.value, dict) or change.value.get("approved") is not False:
        return None
    told: dict[str, Any] = change.value
    return Hold(reason=str(told.get("reason", "")), high_usd=told.get("high_usd"), since_ns=change.recorded_ns or 0)


def gate_in_force(changes: Changes, *, submitted_ns: int) -> GateTold | None:
    """What was told of the job's conditions since its newest submission, of `submitted_ns`. None: nothing gates it."""
    change = changes.get("gated")
    if change is None or (change.recorded_ns or 0) < submitted_ns or not isinstance(change.value, dict):
        return None
    told: dict[str, Any] = change.value
    return GateTold(reason=str(told["reason"]), kind=str(told["kind"]), since_ns=change.recorded_ns or 0)


def is_approved(changes: Changes) -> bool:
    """Has somebody approved the job?"""
    change = changes.get("approved")
    return change is not None and hold_in_force(changes) is None


def priority_in_force(job: Job, changes: Changes, *, submitted_ns: int) -> Priority:
    """The job's priority, its newest submission being of `submitted_ns`."""
    change = changes.get("priority")
    if change is None or (change.recorded_ns or 0) < submitted_ns:
        return job.policy.priority
    return "hot" if change.value == "hot" else "cold"


def budget_in_force(job: Job, changes: Changes, *, submitted_ns: int) -> Budget | None:
    """The job's budget, its newest submission being of `submitted_ns`."""
    change = changes.get("budget")
    if change is None or (change.recorded_ns or 0) < submitted_ns or not isinstance(change.value, dict):
        return job.policy.budget
    told: dict[str, Any] = change.value
    return Budget(max_cost_usd=told.get("max_cost_usd"), max_tokens=told.get("max_tokens"))
