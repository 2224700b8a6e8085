"""Whether a document from the inbox is held: its estimate is above what settings allow unasked, or it has no price.

The estimate is the upper end of the plan's interval, summed over the document's jobs. Nothing is spent, and the hold is
recorded before the submission, so that no run can be launched in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_jobs.documents.job import Job
from llm_jobs.ledger.base import JobChange
from llm_jobs.operations.accept import ReadDocument
from llm_jobs.operations.inputs import ASKED_OF_SERVERS
from llm_jobs.operations.job_changes import changes_of, hold_in_force, is_approved
from llm_jobs.operations.looking_back import newest_before
from llm_jobs.operations.plan import JobPlan, plan_job
from llm_jobs.operations.services import Services

WHO = "intake"
SLOWER = 10  # an estimate renders and looks up each row, which takes some ten times as long as reading it


def is_slow_to_estimate(services: Services, document: ReadDocument, *, largest_bytes: int) -> bool:
    """Would an estimate take as long as reading much more than `largest_bytes`? Of a table elsewhere nobody knows."""
    if services.settings.hold_above_usd is None:
        return False
    return any(max(_table_bytes(job), len(document.text)) * SLOWER > largest_bytes for job in document.jobs)


def _table_bytes(job: Job) -> float:
    if job.input.kind in ASKED_OF_SERVERS or job.input.files:
        return float("inf")
    if job.input.url is None:
        return 0
    path = Path(job.input.url)
    return path.stat().st_size if path.is_file() else float("inf")


def hold_if_dear(services: Services, document: ReadDocument, path: Path) -> dict[str, str]:
    """Record a hold of each job of the document that needs one; returns the reasons by job hash.

    What is compared with the limit is the sum over its jobs that nobody approved: all of them wait, or none.
    """
    limit_usd = services.settings.hold_above_usd
    if limit_usd is None:
        return {}
    found = {job.hash: (job, changes_of(services.ledger, job.hash)) for job in document.jobs}
    plans = [
        plan_job(services, job, document=path, before=newest_before(services, job, document.name))
        for job, changes in found.values()
        if not is_approved(changes)
    ]
    dear = _too_dear(plans, limit_usd)
    held = {}
    for plan in plans:
        reason = _reason(plan, dear)
        if reason is not None:
            held[plan.job_hash] = reason
            _record(services, plan, reason)
        elif hold_in_force(found[plan.job_hash][1]) is not None:
            _release(services, plan.job_hash)
    return held


def _too_dear(plans: Sequence[JobPlan], limit_usd: float) -> str | None:
    """Why jobs of one document are asked about, in words; None where they may cost `limit_usd` together, or less."""
    costs = [plan.cost_usd for plan in plans if plan.cost_usd is not None and _asks(plan)]
    high, expected = sum(cost.high for cost in costs), sum(cost.expected for cost in costs)
    if high <= limit_usd:
        return None
    what = "it may cost" if len(costs) == 1 else f"the {len(costs)} jobs of its document may cost"
    return f"{what} ${high:,.2f} (${expected:,.2f} expected), and more than ${limit_usd:,.2f} is asked about first"


def _asks(plan: JobPlan) -> bool:
    return plan.calls.new + plan.calls.unknown > 0


def _reason(plan: JobPlan, dear: str | None) -> str | None:
    if not _asks(plan):
        return None
    if plan.cost_usd is None:
        models = ", ".join(dict.fromkeys(step.model for step in plan.steps if step.cost_usd is None))
        return f"no price is known of {models}; state one in models.yaml, or approve the job"
    return dear


def _record(services: Services, plan: JobPlan, reason: str) -> None:
    cost = plan.cost_usd
    value: dict[str, object] = {
        "approved": False,
        "reason": reason,
        "low_usd": None if cost is None else cost.low,
        "expected_usd": None if cost is None else cost.expected,
        "high_usd": None if cost is None else cost.high,
        "calls": plan.calls.new + plan.calls.unknown,
    }
    services.ledger.record_change(JobChange(job_hash=plan.job_hash, field="approved", value=value, who=WHO))


def _release(services: Services, job_hash: str) -> None:
    """What was dear is no longer: most of it was answered since, or settings allow more."""
    change = JobChange(
        job_hash=job_hash,
        field="approved",
        value={"approved": True},
        who=WHO,
        why="its estimate is below the limit now",
    )
    services.ledger.record_change(change)
