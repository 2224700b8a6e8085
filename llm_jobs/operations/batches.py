"""What is known of vendors' batches; to poll them, and to forget a batch that cannot be told."""

from __future__ import annotations

import getpass
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from llm_jobs.errors import NotFound
from llm_jobs.events import Listener, ignore
from llm_jobs.ledger.batch_records import BatchState
from llm_jobs.operations.background import consume
from llm_jobs.operations.batches_close import forget
from llm_jobs.operations.batches_poll import Polled, poll_batches
from llm_jobs.operations.services import Services


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchLine:
    """A batch in one line. `vendor_id` None: it has no name at its vendor yet. `live`: its calls are its own."""

    batch: int
    job_hash: str
    model: str
    vendor_id: str | None
    phase: str
    status: str | None  # the vendor's word
    calls: int
    done: int | None
    live: bool
    submitted_at: str
    reason: str | None


def batch_lines(services: Services, *, unfinished: bool = False) -> list[BatchLine]:
    """Every batch, newest first, or those only that are not done with. Asks no vendor."""
    return [_line(state) for state in reversed(services.ledger.batches(unfinished=unfinished))]


def poll(services: Services, *, emit: Listener = ignore, most_calls: int | None = None) -> Sequence[Polled]:
    """Ask the vendors about every batch that is not done with, and collect those that ended; with `most_calls`, those
    of at most so many. Blocks."""

    async def polled() -> AsyncGenerator[Sequence[Polled], None]:
        yield await poll_batches(services, emit=emit, most_calls=most_calls)

    (found,) = consume(polled)
    return found


def forget_batch(services: Services, batch_id: int, *, why: str | None = None) -> BatchLine:
    """Give up a batch on its user's word: its calls are asked again when their jobs run. If the vendor has it all the
    same, they were paid, and what comes of it is kept as late. Raises NotFound."""
    found = services.ledger.batches(ids=[batch_id])
    if not found or not found[0].owns:
        raise NotFound(f"there is no batch {batch_id} under way; `llm-jobs batches` lists them")
    details = {"who": getpass.getuser()}
    reason = why or "its user gave it up"
    forget(services, found[0].batch, status="forgotten", reason=reason, emit=ignore, details=details)
    return _line(services.ledger.batches(ids=[batch_id])[0])


def _line(state: BatchState) -> BatchLine:
    batch = state.batch
    newest = state.events[-1] if state.events else None
    counted = state.newest("ended") or state.newest("polled")
    done = counted.details.get("done") if counted else None
    lost = state.newest("lost")
    told = datetime.fromtimestamp((batch.recorded_ns or 0) / 1e9, UTC).isoformat(timespec="seconds")
    return BatchLine(
        batch=state.id,
        job_hash=batch.job_hash,
        model=batch.model,
        vendor_id=state.vendor_id,
        phase=state.phase,
        status=newest.status if newest else None,
        calls=batch.calls,
        done=done,
        live=state.owns,
        submitted_at=told.replace("+00:00", "Z"),
        reason=lost.details.get("reason") if lost else None,
    )
