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
from llm_jobs.operations.batches_collect import collect, collect_refusal
from llm_jobs.operations.batches_targets import Endpoints, open_endpoints, target_from_json, ticket_of
from llm_jobs.operations.services import Services
from llm_jobs.providers.batches import COMPLETION_WINDOW_S, Progress

SETTLE_S = 300.0  # a request that was on its way when its sender died shows within this
# After the window every batch has ended; some time more for its files to appear.
OVER_S = COMPLETION_WINDOW_S + 2 * 3600.0
GONE = "gone"  # status of the collection of what cannot be had any more
KEPT_S = 29 * 24 * 3600.0  # as long as the vendors keep results


@dataclass(frozen=True, kw_only=True, slots=True)
class Polled:
    """What a poll found of one batch. `problem`: why it could not be told."""

    batch_id: int
    problem: str | None = None


async def poll_batches(services: Services, *, emit: Listener, job_hash: str | None = None) -> Sequence[Polled]:
    """Poll every batch that is not done with, of one job or of all; collect those that ended."""
    states = await asyncio.to_thread(services.ledger.batches, job_hash=job_hash, unfinished=True)
    if job_hash is None:
        await asyncio.to_thread(_free_abandoned, services)
    if not states:
        return []
    async with open_endpoints(services) as endpoints:
        return [await _polled(services, endpoints, state, emit) for state in states]


def _free_abandoned(services: Services) -> None:
    for owner_id in services.ledger.abandoned_owners():
        free_owner(services, owner_id)


async def _polled(services: Services, endpoints: Endpoints, state: BatchState, emit: Listener) -> Polled:
    try:
        await _poll(services, endpoints, state, emit)
    except LlmJobsError as error:
        return Polled(batch_id=state.id, problem=str(error))
    return Polled(batch_id=state.id)


async def _poll(services: Services, endpoints: Endpoints, state: BatchState, emit: Listener) -> None:
    if is_closing(state):
        await asyncio.to_thread(close_again, services, state)
    elif state.phase == "lost" and _age_s(services, state.batch) > KEPT_S:
        await _tell(services, state.batch, "collected", emit, vendor_id=state.vendor_id or "", status=GONE)
    elif state.vendor_id is None:
        await _look_for(services, endpoints, state, emit)
    elif (ended := state.newest("ended")) is not None:
        progress = Progress.from_json(ended.status or "", ended.details)
        await _collect(services, endpoints, state, progress, emit)
    else:
        await _ask(services, endpoints, state, emit)


async def _ask(services: Services, endpoints: Endpoints, state: BatchState, emit: Listener) -> None:
    """Ask how far a batch is, and record it where that changed."""
    batch, vendor_id = state.batch, state.vendor_id or ""
    target = target_from_json(batch.details["target"])
    try:
        progress = await endpoints.of(batch.provider).poll(target, vendor_id)
    except PermanentError as error:
        if state.phase == "lost" and error.http_status == 404:
            await _tell(services, batch, "collected", emit, vendor_id=vendor_id, status=GONE)
            return
        if error.http_status == 404 and _age_s(services, batch) > OVER_S:
            reason = f"the vendor knows it no more: {error}"
            await asyncio.to_thread(forget, services, batch, status="unseen", reason=reason, emit=emit)
            return
        raise
    if progress.ended:
        details = progress.to_json()
        await _tell(services, batch, "ended", emit, vendor_id=vendor_id, status=progress.status, details=details)
        await _collect(services, endpoints, state, progress, emit)
    elif _is_news(state, progress):
        details = {"done": progress.done, "total": progress.total}
        await _tell(services, batch, "polled", emit, vendor_id=vendor_id, status=progress.status, details=details)


async def _collect(
    services: Services, endpoints: Endpoints, state: BatchState, progress: Progress, emit: Listener
) -> None:
    if progress.refusal is not None:
        await asyncio.to_thread(collect_refusal, services, state, progress, emit=emit)
        return
    target = target_from_json(state.batch.details["target"])
    lines = await endpoints.of(state.batch.provider).lines(target, state.vendor_id or "", progress)
    await asyncio.to_thread(collect, services, state, progress, lines, emit=emit)


async def _look_for(services: Services, endpoints: Endpoints, state: BatchState, emit: Listener) -> None:
    batch = state.batch
    if state.submitter_runs and not state.is_unsure:
        return  # it is being handed over at this moment
    if _since_change_s(services, state) < SETTLE_S:
        return
    known = await asyncio.to_thread(_known_elsewhere, services, batch)
    calls = await asyncio.to_thread(services.ledger.batch_calls, batch)
    endpoint = endpoints.of(batch.provider)
    found = await endpoint.find(ticket_of(state), known=known, custom_ids=frozenset(calls))
    if found.vendor_id is not None:
        await _tell(services, batch, "submitted", emit, vendor_id=found.vendor_id, status="found")
        [state] = await asyncio.to_thread(services.ledger.batches, ids=[state.id])
        await _ask(services, endpoints, state, emit)
    elif found.absent:
        reason = "it was looked for at the vendor and is not there"
        await asyncio.to_thread(give_up, services, batch, status="absent", reason=reason, emit=emit)
    elif _age_s(services, batch) > OVER_S:
        await asyncio.to_thread(forget, services, batch, status="unseen", reason=found.reason, emit=emit)
    else:
        raise CallError(f"batch {batch.id} cannot be told to exist or not: {found.reason}")


def _known_elsewhere(services: Services, batch: Batch) -> frozenset[str]:
    """Names at the vendor of all other batches of this ledger."""
    names = (state.vendor_id for state in services.ledger.batches() if state.id != batch.id)
    return frozenset(name for name in names if name is not None)


async def _tell(
    services: Services,
    batch: Batch,
    kind: BatchEventKind,
    emit: Listener,
    *,
    vendor_id: str,
    status: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    await asyncio.to_thread(tell, services, batch, kind, emit=emit, vendor_id=vendor_id, status=status, details=details)


def _is_news(state: BatchState, progress: Progress) -> bool:
    last = state.newest("polled")
    told = {"done": progress.done, "total": progress.total}
    return last is None or last.status != progress.status or dict(last.details) != told


def _age_s(services: Services, batch: Batch) -> float:
    return (services.clock.now_ns() - (batch.recorded_ns or 0)) / 1e9


def _since_change_s(services: Services, state: BatchState) -> float:
    return (services.clock.now_ns() - state.changed_ns) / 1e9
