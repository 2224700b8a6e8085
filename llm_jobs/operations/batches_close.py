"""The end of a batch: what it did not answer is recorded as not carried out, then its calls are anybody's again.

Safe to do again at any moment: what is recorded stays as it is, and the owner is closed last.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llm_jobs.errors import ImmutableError
from llm_jobs.events import BatchChanged, Listener
from llm_jobs.ledger.base import Facts, Outcome
from llm_jobs.ledger.batch_records import Batch, BatchEvent, BatchEventKind, BatchState
from llm_jobs.operations.batches_plan import NOT_SUBMITTED
from llm_jobs.operations.services import Services

RECORDED_AT_ONCE = 500
REST = "rest"  # member of an event's details: facts of the calls of which nothing is said


def tell(
    services: Services,
    batch: Batch,
    kind: BatchEventKind,
    *,
    emit: Listener,
    vendor_id: str | None = None,
    status: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Record an event of a batch and report it."""
    assert batch.id is not None
    services.ledger.record_batch_event(
        BatchEvent(batch_id=batch.id, kind=kind, vendor_id=vendor_id, status=status, details=details or {})
    )
    emit(BatchChanged(batch.job_hash, batch.model, vendor_id, kind, batch.calls))


def give_up(services: Services, batch: Batch, *, status: str, reason: str, emit: Listener) -> None:
    """Record that the batch surely does not exist at its vendor, and free its calls: they were never asked."""
    facts = unsent(NOT_SUBMITTED, reason)
    details = {"reason": reason, REST: [facts.status, facts.error_class, facts.error]}
    tell(services, batch, "lost", emit=emit, status=status, details=details)
    free(services, batch, facts)


def forget(
    services: Services,
    batch: Batch,
    *,
    status: str,
    reason: str,
    emit: Listener,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Give up a batch of which it is not known whether it was paid: its intents stay without an outcome, so that
    `verify` lists them. Its calls are free; answers that come of it yet are kept as late."""
    tell(services, batch, "lost", emit=emit, status=status, details={"reason": reason, **(details or {})})
    services.ledger.close_owner(batch.owner_id)


def free(services: Services, batch: Batch, facts: Facts) -> None:
    """Record `facts` of every call of the batch that has no outcome, then close the batch's owner."""
    record(services, batch, _without_outcome(services, batch, facts))
    services.ledger.close_owner(batch.owner_id)


def free_owner(services: Services, owner_id: int) -> None:
    """The same for an owner whose batch was never recorded."""
    facts = unsent(NOT_SUBMITTED, "the process that put it into a batch ended before it sent anything")
    claimed = services.ledger.claimed_by(owner_id)
    outcomes = [_unsent_outcome(call_hash, intent_id, facts) for call_hash, intent_id in claimed.items()]
    for some in _portions(outcomes):
        services.ledger.exchange(owner_id, outcomes=some, wants=[])
    services.ledger.close_owner(owner_id)


def unsent(error_class: str, reason: str) -> Facts:
    """Facts of a call that the vendor did not carry out and charges nothing for."""
    return Facts(status="cancelled", error_class=error_class, error=reason)


def record(services: Services, batch: Batch, outcomes: Sequence[Outcome]) -> int:
    """Record outcomes of the batch's calls, some hundreds at a time; those that have one already are left out. Returns
    how many were recorded."""
    recorded = 0
    for some in _portions(outcomes):
        try:
            services.ledger.exchange(batch.owner_id, outcomes=some, wants=[])
            recorded += len(some)
        except ImmutableError:  # somebody else collects the same batch at this moment
            calls = services.ledger.batch_calls(batch)
            left = [each for each in some if not calls[each.call_hash].recorded]
            if left:
                services.ledger.exchange(batch.owner_id, outcomes=left, wants=[])
            recorded += len(left)
    return recorded


def is_closing(state: BatchState) -> bool:
    """It has come to its end, but its calls are not free: whoever ended it died before that."""
    return state.owns and state.phase in ("lost", "collected")


def close_again(services: Services, state: BatchState) -> None:
    """Free the calls of a batch that came to its end."""
    ended = state.newest("collected") or state.newest("lost")
    if ended is not None and REST in ended.details:
        status, error_class, error = ended.details[REST]
        free(services, state.batch, Facts(status=status, error_class=error_class, error=error))
    services.ledger.close_owner(state.batch.owner_id)


def _without_outcome(services: Services, batch: Batch, facts: Facts) -> list[Outcome]:
    calls = services.ledger.batch_calls(batch)
    return [_unsent_outcome(call_hash, call.intent_id, facts) for call_hash, call in calls.items() if not call.recorded]


def _unsent_outcome(call_hash: str, intent_id: int, facts: Facts) -> Outcome:
    return Outcome(intent_id=intent_id, call_hash=call_hash, facts=facts, final=True, request=b"", answer=None)


def _portions(outcomes: Sequence[Outcome]) -> Iterator[Sequence[Outcome]]:
    return (outcomes[start : start + RECORDED_AT_ONCE] for start in range(0, len(outcomes), RECORDED_AT_ONCE))
