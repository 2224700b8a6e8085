"""Polling: how far the vendors' batches are. What ended is collected; what has no name at its vendor is looked for.

Rules for a batch whose name was lost: its submitter must have ended (or have said that it does not know), the vendor
must have had `SETTLE_S` to show what it was sent, and then it is looked for. Found: its name is recorded. Surely
absent: it is lost, and its calls are free. Neither: it waits, until the vendor's own time for batches is over, since
nothing of it can be made after that, or until somebody says to forget it. A problem of one batch stops no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_jobs.errors import CallError, LlmJobsError, PermanentError
from llm_jobs.events import Listener
from llm_jobs.ledger.batch_records import Batch, BatchEventKind, BatchState
from llm_jobs.operations.batches_close import close_again, forget, free_owner, give_up, is_closing, tell
from llm_jobs.operations.batches_collect import SortedLines, collect, collect_refusal
from llm_jobs.operations.batches_targets import Endpoints, open_endpoints, target_from_json, ticket_of
from llm_jobs.operations.services import Services
from llm_jobs.providers.batches import COMPLETION_WINDOW_S, Progress

SETTLE_S = 300.0  # a request that was on its way when its sender died shows within this
HANDED_OVER_S = 3600.0  # longer than an upload and a submission may take: a process that lives forgot about it
# After the window every batch has ended; some time more for its files to appear.
OVER_S = COMPLETION_WINDOW_S + 2 * 3600.0
LINES_PER_TURN = 128  # read between two looks at the network: some milliseconds
GONE = "gone"  # status of the collection of what cannot be had any more
KEPT_S = 29 * 24 * 3600.0  # as long as the vendors keep results


@dataclass(frozen=True, kw_only=True, slots=True)
class Polled:
    """What a poll found of one batch. `problem`: why it could not be told."""

    batch_id: int
    problem: str | None = None


async def poll_batches(
    services: Services, *, emit: Listener, job_hash: str | None = None, most_calls: int | None = None
) -> Sequence[Polled]:
    """Poll every batch that is not done with, of one job or of all; collect those that ended. `most_calls`: larger
    ones are left to a run of their job."""
    await asyncio.to_thread(_free_abandoned, services)
    states = await asyncio.to_thread(services.ledger.batches, job_hash=job_hash, unfinished=True)
    if not states:
        return []
    async with open_endpoints(services) as endpoints:
        poller = _Poller(services, endpoints, emit, most_calls)
        return [await poller.polled(state) for state in states]


def _free_abandoned(services: Services) -> None:
    for owner_id in services.ledger.abandoned_owners():
        free_owner(services, owner_id)


class _Poller:
    """Polls batches one after the other."""

    def __init__(self, services: Services, endpoints: Endpoints, emit: Listener, most_calls: int | None) -> None:
        self._services = services
        self._endpoints = endpoints
        self._emit = emit
        self._most_calls = most_calls

    async def polled(self, state: BatchState) -> Polled:
        try:
            await self._poll(state)
        except LlmJobsError as error:
            return Polled(batch_id=state.id, problem=str(error))
        return Polled(batch_id=state.id)

    async def _poll(self, state: BatchState) -> None:
        if is_closing(state):
            await asyncio.to_thread(close_again, self._services, state)
        elif state.phase == "lost" and _age_s(self._services, state.batch) > KEPT_S:
            await self._tell(state.batch, "collected", vendor_id=state.vendor_id or "", status=GONE)
        elif state.vendor_id is None:
            await self._look_for(state)
        elif (ended := state.newest("ended")) is not None:
            progress = Progress.from_json(ended.status or "", ended.details)
            await self._collect(state, progress)
        else:
            await self._ask(state)

    async def _ask(self, state: BatchState) -> None:
        """Ask how far a batch is, and record it where that changed."""
        batch, vendor_id = state.batch, state.vendor_id or ""
        target = target_from_json(batch.details["target"])
        try:
            progress = await self._endpoints.of(batch.provider).poll(target, vendor_id)
        except PermanentError as error:
            if state.phase == "lost" and error.http_status == 404:
                await self._tell(batch, "collected", vendor_id=vendor_id, status=GONE)
                return
            if error.http_status == 404 and _age_s(self._services, batch) > OVER_S:
                reason = f"the vendor knows it no more: {error}"
                await asyncio.to_thread(forget, self._services, batch, status="unseen", reason=reason, emit=self._emit)
                return
            raise
        if progress.ended:
            details = progress.to_json()
            await self._tell(batch, "ended", vendor_id=vendor_id, status=progress.status, details=details)
            await self._collect(state, progress)
        elif _is_news(state, progress):
            details = {"done": progress.done, "total": progress.total}
            await self._tell(batch, "polled", vendor_id=vendor_id, status=progress.status, details=details)

    async def _collect(self, state: BatchState, progress: Progress) -> None:
        if self._most_calls is not None and state.batch.calls > self._most_calls:
            return
        if progress.refusal is not None:
            await asyncio.to_thread(collect_refusal, self._services, state, progress, emit=self._emit)
            return
        target = target_from_json(state.batch.details["target"])
        found = SortedLines(calls=await asyncio.to_thread(self._services.ledger.batch_calls, state.batch))
        async for line in self._endpoints.of(state.batch.provider).lines(target, state.vendor_id or "", progress):
            found.take(line)
            if found.taken % LINES_PER_TURN == 0:
                await asyncio.sleep(0)
        await asyncio.to_thread(collect, self._services, state, progress, found, emit=self._emit)

    async def _look_for(self, state: BatchState) -> None:
        batch = state.batch
        if state.submitter_runs and not state.is_unsure and _since_change_s(self._services, state) < HANDED_OVER_S:
            return  # it is being handed over at this moment
        if _since_change_s(self._services, state) < SETTLE_S:
            return
        known = await asyncio.to_thread(_known_elsewhere, self._services, batch)
        calls = await asyncio.to_thread(self._services.ledger.batch_calls, batch)
        endpoint = self._endpoints.of(batch.provider)
        found = await endpoint.find(ticket_of(state), known=known, custom_ids=frozenset(calls))
        if found.vendor_id is not None:
            await self._tell(batch, "submitted", vendor_id=found.vendor_id, status="found")
            [state] = await asyncio.to_thread(self._services.ledger.batches, ids=[state.id])
            await self._ask(state)
        elif found.absent:
            reason = "it was looked for at the vendor and is not there"
            await asyncio.to_thread(give_up, self._services, batch, status="absent", reason=reason, emit=self._emit)
        elif _age_s(self._services, batch) > OVER_S:
            await asyncio.to_thread(
                forget, self._services, batch, status="unseen", reason=found.reason, emit=self._emit
            )
        else:
            raise CallError(f"batch {batch.id} cannot be told to exist or not: {found.reason}")

    async def _tell(
        self,
        batch: Batch,
        kind: BatchEventKind,
        *,
        vendor_id: str,
        status: str,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        await asyncio.to_thread(
            tell, self._services, batch, kind, emit=self._emit, vendor_id=vendor_id, status=status, details=details
        )


def _known_elsewhere(services: Services, batch: Batch) -> frozenset[str]:
    """Names at the vendor of all other batches of this ledger."""
    names = (state.vendor_id for state in services.ledger.batches() if state.id != batch.id)
    return frozenset(name for name in names if name is not None)


def _is_news(state: BatchState, progress: Progress) -> bool:
    last = state.newest("polled")
    told = {"done": progress.done, "total": progress.total}
    return last is None or last.status != progress.status or dict(last.details) != told


def _age_s(services: Services, batch: Batch) -> float:
    return (services.clock.now_ns() - (batch.recorded_ns or 0)) / 1e9


def _since_change_s(services: Services, state: BatchState) -> float:
    return (services.clock.now_ns() - state.changed_ns) / 1e9
