"""What becomes of each want: the rules of the claim, free of any database.

A back end reads what exists, asks `settle`, and writes what is granted. The order of the rules is the contract:
answered, failed before us, still ours, free, taken over from the dead, busy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from llm_jobs.ledger.base import Answer, Facts, Want


class Claim(NamedTuple):
    """Who holds a call, and the holder's latest intent."""

    owner_id: int
    intent_id: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A final outcome that is no answer."""

    intent_id: int
    facts: Facts


@dataclass(slots=True)
class Settlement:
    """`fresh`, `retried` and `taken_over` are granted once their claim is written; the rest is final."""

    answered: dict[str, Answer] = field(default_factory=dict)
    failed: dict[str, Facts] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    fresh: dict[str, Want] = field(default_factory=dict)
    retried: dict[str, Want] = field(default_factory=dict)
    taken_over: dict[str, tuple[Want, int]] = field(default_factory=dict)  # with the dead owner's id
    twice: list[str] = field(default_factory=list)  # wanted again in this batch: busy behind the grant

    @property
    def granted(self) -> list[Want]:
        return [*self.fresh.values(), *self.retried.values(), *(want for want, _ in self.taken_over.values())]


def settle(
    wants: Sequence[Want],
    *,
    owner_id: int,
    answers: Mapping[str, Answer],
    failures: Mapping[str, Failure],
    claims: Mapping[str, Claim],
    is_alive: Callable[[int], bool],
) -> Settlement:
    """Sort `wants` by what the ledger holds: `answers`, the newest `failures`, and `claims`, each by call hash.

    `is_alive` tells of an owner's id whether that owner still runs; it is asked at most once per owner and batch.
    """
    done = Settlement()
    for want in wants:
        call_hash = want.call_hash
        if call_hash in answers:
            done.answered[call_hash] = answers[call_hash]
        elif call_hash in done.fresh or call_hash in done.retried or call_hash in done.taken_over:
            done.twice.append(call_hash)
        elif _has_failed(want, failures.get(call_hash)):
            done.failed[call_hash] = failures[call_hash].facts
        elif call_hash not in claims:
            done.fresh[call_hash] = want
        else:
            _settle_claimed(done, want, claims[call_hash], owner_id=owner_id, is_alive=is_alive)
    return done


def _has_failed(want: Want, failure: Failure | None) -> bool:
    """Whom this one waited for failed. A call that was left unsent did not fail: whoever wants it may have it."""
    if want.behind is None or failure is None:
        return False
    return failure.intent_id >= want.behind and failure.facts.status != "cancelled"


def _settle_claimed(
    done: Settlement, want: Want, claim: Claim, *, owner_id: int, is_alive: Callable[[int], bool]
) -> None:
    if claim.owner_id == owner_id:
        if want.held:
            done.retried[want.call_hash] = want
        else:
            done.busy[want.call_hash] = claim.intent_id
    elif is_alive(claim.owner_id):
        done.busy[want.call_hash] = claim.intent_id
    else:
        done.taken_over[want.call_hash] = (want, claim.owner_id)
