"""The words of this room: what a quota allows, what a call costs, and what is said in one exchange with a store.

Plain frozen values. Times in an `Ask` and a `Grant` are spans in milliseconds, never points of somebody's clock: only
the store knows what time it is. How a store decides is `algorithm`; who asks is `limiter`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

from llm_jobs.values import positional_value

# A grant is sent within VALID_MS of asking. MARGIN_MS is that and what delivery may vary by: a slot's amounts count so
# much longer than the window, so that what leaves late and arrives late still meets an allowance of its own.
VALID_MS = 400
MARGIN_MS = 1_000
HOT_PER_COLD = 9  # while cold waits, of ten calls that are let go one is cold
LONGEST_PAUSE_S = 86_400.0 * 32  # what would be longer is a mistake of the server's
LEASE_MS = 10_000  # after so long without an exchange an owner is dead, and what it held at once is free again


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What all processes together may ask of one model. None: no limit of that kind.

    `burst_s`: how many seconds' worth of the quota may be sent at once; 60 and more: all of it. Raises ValueError for
    a limit below 1 and a burst that is not positive.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    input_tokens_per_minute: int | None = None
    output_tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    concurrency: int | None = None
    burst_s: float = 6.0
    windowed: bool = field(init=False, compare=False, repr=False)
    unbounded: bool = field(init=False, compare=False, repr=False)
    counts_tokens: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        windows = {
            "requests_per_minute": self.requests_per_minute,
            "tokens_per_minute": self.tokens_per_minute,
            "input_tokens_per_minute": self.input_tokens_per_minute,
            "output_tokens_per_minute": self.output_tokens_per_minute,
            "requests_per_day": self.requests_per_day,
        }
        for name, value in {**windows, "concurrency": self.concurrency}.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, not {value}; leave it out for no limit")
        if not self.burst_s > 0:
            raise ValueError(f"burst_s is more than 0 seconds, not {self.burst_s}")
        windowed = any(value is not None for value in windows.values())
        object.__setattr__(self, "windowed", windowed)
        object.__setattr__(self, "unbounded", not windowed and self.concurrency is None)
        tokens = (self.tokens_per_minute, self.input_tokens_per_minute, self.output_tokens_per_minute)
        object.__setattr__(self, "counts_tokens", any(value is not None for value in tokens))


NO_LIMITS = Limits()


@positional_value
class Cost:
    """What one call uses, estimated before it is sent and known afterwards."""

    input_tokens: int = 0
    output_tokens: int = 0

    def within(self, limits: Limits) -> Cost:
        """This cost, or as much of it as a whole minute's quota holds, for estimates that may be too high."""
        most, most_read, most_written = (
            limits.tokens_per_minute,
            limits.input_tokens_per_minute,
            limits.output_tokens_per_minute,
        )
        if (
            (most is None or self.input_tokens + self.output_tokens <= most)
            and (most_read is None or self.input_tokens <= most_read)
            and (most_written is None or self.output_tokens <= most_written)
        ):
            return self
        input_tokens = _least(self.input_tokens, most_read, most)
        left = None if most is None else most - input_tokens
        return Cost(input_tokens, _least(self.output_tokens, most_written, left))


def _least(amount: int, *limits: int | None) -> int:
    return min([amount, *(most for most in limits if most is not None)])


NOTHING = Cost()


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a vendor says is left of one of its limits: `remaining` now, `limit` again after `reset_s`."""

    remaining: int
    limit: int
    reset_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Observed:
    """What the headers of one answer say about the vendor's own count. None: not said."""

    requests: Told | None = None
    tokens: Told | None = None
    input_tokens: Told | None = None
    output_tokens: Told | None = None
    retry_after_s: float | None = None


Run = tuple[int, int, int]  # so many calls in a row with the same cost: count, input tokens, output tokens
Correction = tuple[int, int, int, int]  # slot, then what is added there: requests, input and output tokens
ToldMs = tuple[int, int, int, int]  # which limit (0 requests, 1 tokens, 2 input, 3 output), remaining, limit, reset


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One owner's side of an exchange. An owner is one limiter of one process.

    `hot` and `cold` list the next waiting calls in their order, `hot_waiting` and `cold_waiting` count all that wait.
    `ahead` are calls that are expected soon. `in_use`: calls under way, and free slots that the owner keeps for now.
    """

    owner: str
    limits: Limits
    hot: tuple[Run, ...] = ()
    cold: tuple[Run, ...] = ()
    hot_waiting: int = 0
    cold_waiting: int = 0
    ahead: Run = (0, 0, 0)
    in_use: int = 0
    corrections: tuple[Correction, ...] = ()
    pause_ms: int = 0
    told: tuple[ToldMs, ...] = ()
    leaving: bool = False  # the owner is about to be closed: it is forgotten with all that it holds


@dataclass(frozen=True, slots=True)
class Grant:
    """The store's side: how many of the listed calls may be sent, all of them within VALID_MS of asking.

    `slot`: where they are counted, named in corrections. `keep`: how many calls the owner may have under way without
    asking for each (None: concurrency is not limited). `retry_ms`: when asking again may bring more, where something
    waits still. `contended`: another owner waits.
    """

    hot: int
    cold: int
    ahead: int
    slot: int
    keep: int | None
    retry_ms: int
    paused_ms: int
    contended: bool


class LimitStore(Protocol):
    """Where the counts of all models are, shared by those who open the same URL. Safe in several threads."""

    def exchange(self, key: str, ask: Ask) -> Grant:
        """Correct, give back, heartbeat and lease in one atomic step. `key` names the quota. Blocks for as long as
        the store takes. Raises SetupError where it cannot be reached; nothing is known then of what it did."""

    def migrate(self) -> None:
        """Make what the store needs. Safe to repeat, by many processes at once."""

    def close(self) -> None:
        """Give connections back. What other processes hold is not touched."""


def monotonic_ms() -> int:
    """Milliseconds since the machine started: one clock for all its processes, which nobody can set."""
    return time.monotonic_ns() // 1_000_000
