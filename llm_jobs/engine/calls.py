"""What the caller works with: a call, the lane of a job that it belongs to, its flight, and its end.

Plain values and counters; who acts on them is `caller`.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.retry import RetryPolicy
from llm_jobs.ledger.base import BudgetCap, Facts
from llm_jobs.limits.lines import Line
from llm_jobs.providers.base import Provider, Reply, Request, Usage
from llm_jobs.values import value

LEAST_AHEAD = 16  # calls that are claimed before the first is sent, where the concurrency is found

Check = Callable[[JsonValue], None]  # raises ValueError where an answer is not what was declared
Price = Callable[[Usage], float | None]


class Caps(Protocol):
    """Which budgets a call counts for, and how far each may be filled."""

    def of(self, provider: str, now_ns: int) -> tuple[BudgetCap, ...]:
        """Those of a call to a provider that is sent now."""


@dataclass(kw_only=True, slots=True, weakref_slot=True, eq=False)
class Lane:
    """The calls of one job: at most `concurrency` in flight, and a window claimed ahead of them."""

    job_hash: str
    submission_id: int
    concurrency: int
    retry: RetryPolicy
    timeout_s: float
    is_fixed: bool = True  # the concurrency was stated; otherwise it is found, and `concurrency` is the most
    line: Line = field(default_factory=Line)  # its place, and its priority, wherever calls wait
    group: int = 1  # at most so many calls travel in one request, where the provider has such requests
    pending: deque[Flight] = field(default_factory=deque)  # not claimed yet
    ready: deque[Flight] = field(default_factory=deque)  # claimed, intent committed
    short: deque[Flight] = field(default_factory=deque)  # not granted: calls in flight hold what is left of a budget
    resting: dict[Flight, asyncio.TimerHandle] = field(default_factory=dict)  # failed, to be sent again later
    wanted: int = 0  # asked of the ledger, not decided
    gates: set[ModelGate] = field(default_factory=set)  # of the models that it asks
    in_flight: int = 0  # slots: calls that are sent, and calls that wait for a model's quota
    waiting: int = 0  # of them those that wait
    opened: int = 0  # slots opened so far
    opening: int = 0  # opened, and not at work yet
    starting: bool = False  # the next slot waits for its turn
    sent: int = 0
    in_vain: int = 0  # calls that were looked up since the last one that had an answer
    closed: bool = False
    why_closed: str | None = None  # where the job stopped itself
    stop: asyncio.Event = field(default_factory=asyncio.Event)  # set when the lane is closed
    caps: Caps | None = None  # of the budgets that its calls count for; may be replaced while it works
    exhausted: set[str] = field(default_factory=set)  # budgets that refused one of its calls
    # What a vendor's batch ended for the job since its last result, by `number_of` the call: attempts. Counted once.
    collected: dict[int, int] = field(default_factory=dict)
    paid: Container[int] = ()  # what the job had paid for before, by the same number

    def may_claim(self) -> bool:
        """Is there room in the window that is claimed ahead of what is in flight?"""
        return self.wanted + len(self.ready) + len(self.short) < self._window()

    @property
    def at_work(self) -> int:
        """Slots that count for its concurrency. Where it asks several models, calls that wait for the quota of one do
        not hold up those to another; there are no more of them than rows that are read ahead."""
        return self.in_flight if len(self.gates) < 2 else self.in_flight - self.waiting

    def runs_low(self) -> bool:
        """Is less than half of that window ready to be sent? Then what is decided next is waited for."""
        return 2 * len(self.ready) < self._window()

    def _window(self) -> int:
        calls = self.concurrency if self.is_fixed else min(self.concurrency, max(LEAST_AHEAD, 2 * self.in_flight))
        return calls * self.group

    def waits_for(self, gate: ModelGate) -> bool:
        """Is one of its calls to the gate's model ready to be sent?"""
        return any(flight.call.gate is gate for flight in self.ready)

    def put_back(self, flights: Sequence[Flight]) -> None:
        """Calls that were taken from `ready` and not sent, before those that were claimed later."""
        for flight in flights:
            place = bisect_left(self.ready, flight.intent_id, key=lambda other: other.intent_id)
            self.ready.insert(place, flight)


def number_of(call_hash: str) -> int:
    """A number that tells the calls of one job apart, in less than half of the memory of their hashes."""
    return int(call_hash[:16], 16)


@value
class Recency:
    """Answers that were recorded before `since_ns` (nanoseconds since 1970) may not be read: in their place the same
    question is asked anew, for the n-th time under the hash `renewed(n)`."""

    since_ns: int
    renewed: Callable[[int], str]
    renewal: int = 0


@value
class Call:
    """One request with all that is needed to send, judge and price it."""

    call_hash: str
    request: Request
    provider: Provider
    gate: ModelGate
    price: Price
    check: Check | None = None
    step: str = ""  # what asks: calls of one step are alike in what they use
    recency: Recency | None = None  # None: whatever is recorded may be read

    def anew(self) -> Call:
        """The same question, asked once more than it was."""
        assert self.recency is not None
        renewal = self.recency.renewal + 1
        recency = replace(self.recency, renewal=renewal)
        return replace(self, call_hash=self.recency.renewed(renewal), recency=recency)


@value
class Settled:
    """The end of a call: its facts, and what was said where something was."""

    call_hash: str
    facts: Facts
    reply: Reply | None
    reused: bool  # true where nothing was sent for this asking
    attempts: int
    answered_ns: int


Done = Callable[[Settled], None]


@dataclass(kw_only=True, slots=True, eq=False)
class Flight:
    call: Call
    lane: Lane
    askers: list[tuple[Lane, Done]]  # the first of them pays
    failures: int = 0
    rate_limits: int = 0
    intent_id: int = 0
    behind: int | None = None

    @property
    def attempt(self) -> int:
        return self.failures + self.rate_limits + 1
