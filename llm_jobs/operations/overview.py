"""Jobs and the documents that are no jobs yet, in lines: what waits, for what, and what was refused."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from llm_jobs.operations.deferred import Deferred
from llm_jobs.operations.dependencies import Standing, Wait
from llm_jobs.operations.describe import GATED, latest_jobs
from llm_jobs.operations.records import JobLine
from llm_jobs.operations.services import Services

REFUSED = "refused"
DUE = Wait(reason="it is due")
MOST_LISTED = 100  # documents that are no jobs yet: more would hide the jobs


def waits(services: Services, only: Collection[str] | None = None) -> list[tuple[Deferred, Wait]]:
    """What still waits or was refused, oldest first, and why."""
    standing = Standing(services)
    found = [(each, standing.wait(each)) for each in standing.open if only is None or each.id in only]
    return [(each, wait or DUE) for each, wait in found]


def deferred_lines(services: Services, limit: int = MOST_LISTED) -> list[JobLine]:
    """The newest documents that are no jobs yet, newest first, as `latest_jobs` lists jobs; without a hash."""
    standing = Standing(services)
    newest = [(each, standing.wait(each) or DUE) for each in reversed(standing.open[-min(limit, MOST_LISTED) :])]
    return [
        JobLine(
            name=each.name,
            job_hash="",
            status=REFUSED if each.state == "refused" else GATED,
            rows=None,
            succeeded=None,
            failed=None,
            cost_usd=None,
            submitted_at=datetime.fromtimestamp(each.since_ns / 1e9, UTC).isoformat(timespec="seconds")[:-6] + "Z",
            result=None,
            waits_for=wait.reason,
        )
        for each, wait in newest
    ]


def overview(services: Services, limit: int) -> list[JobLine]:
    """The latest `limit` jobs, newest first, after the documents that are no jobs yet."""
    return [*deferred_lines(services, limit), *latest_jobs(services, limit)]
