"""What somebody changes while jobs run: priorities, budgets, quotas. In force for the next call within a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from llm_jobs.documents.job import Job
from llm_jobs.engine.calls import Lane
from llm_jobs.errors import LlmJobsError
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.budgets import JobCaps, stated_budgets
from llm_jobs.operations.job_changes import budget_in_force, changes_of, priority_in_force
from llm_jobs.operations.records import Priority
from llm_jobs.operations.services import Services

LOOK_EVERY_S = 0.5


class Watch:
    """Follows the lanes of one process. A ledger that cannot be read changes nothing: its own users report it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._followed: dict[Lane, tuple[Submission, Job]] = {}
        self._seen = 0

    @asynccontextmanager
    async def following(self, lane: Lane, submission: Submission, job: Job) -> AsyncIterator[None]:
        """Have `lane` carry the priority and the caps that are in force, until the block ends.

        Raises DocumentError where the file of budgets is wrong.
        """
        await self._refresh(lane, submission, job)
        self._followed[lane] = (submission, job)
        try:
            yield
        finally:
            del self._followed[lane]

    async def _refresh(self, lane: Lane, submission: Submission, job: Job) -> None:
        lane.line.priority, lane.caps = await asyncio.to_thread(self._in_force, submission, job)

    def _in_force(self, submission: Submission, job: Job) -> tuple[Priority, JobCaps | None]:
        changes, submitted_ns = changes_of(self._services.ledger, job.hash), submission.submitted_ns or 0
        budget = budget_in_force(job, changes, submitted_ns=submitted_ns)
        caps = JobCaps(job, budget, stated_budgets(self._services))
        return priority_in_force(job, changes, submitted_ns=submitted_ns), caps if caps.any else None

    async def keep_looking(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            with suppress(LlmJobsError):
                await self._look()

    async def _look(self) -> None:
        new = await asyncio.to_thread(self._services.ledger.changes_since, self._seen)
        if not new:
            return
        changed = {change.job_hash for change in new}
        for lane, (submission, job) in list(self._followed.items()):
            if job.hash in changed:
                await self._refresh(lane, submission, job)
        self._seen = max(change.id or 0 for change in new)  # last: what could not be applied is looked at again


@asynccontextmanager
async def watching(services: Services) -> AsyncIterator[Watch]:
    """While open, changes of jobs and of the catalogue are looked for twice a second, by threads."""
    watch = Watch(services)
    async with services.live.watch():
        looking = asyncio.create_task(watch.keep_looking())
        try:
            yield watch
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
