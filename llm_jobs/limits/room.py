"""How much of a quota is free at one moment: in each of its windows, its burst, its day, and in calls at once.

Only counts here; whose turn it is is `algorithm`'s. Amounts of different limits are compared as shares of their
limit, in millionths.
"""

from __future__ import annotations

from llm_jobs.limits.base import MARGIN_MS, Ask, Limits
from llm_jobs.limits.state import (
    HELD,
    REMAINING,
    RESET,
    RETURNS,
    SLOT_MS,
    SPENT,
    TOLD_AT,
    WINDOW_MS,
    State,
)

WHOLE = 1_000_000  # a whole limit, in the units that shares are counted in
REQUESTS, TOKENS, INPUT, OUTPUT, DAY, AT_ONCE = range(6)
MINUTE = (REQUESTS, TOKENS, INPUT, OUTPUT)
SPREAD_NUMERATOR, SPREAD_DENOMINATOR = 5, 4  # the burst may pass the quota's own pace: the minute decides, it spreads

Amounts = tuple[int, int, int, int, int, int]


def amounts(input_tokens: int, output_tokens: int) -> Amounts:
    """What one call takes of each limit."""
    return (1, input_tokens + output_tokens, input_tokens, output_tokens, 1, 1)


def in_order(limits: Limits) -> tuple[int | None, ...]:
    return (
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.input_tokens_per_minute,
        limits.output_tokens_per_minute,
        limits.requests_per_day,
        limits.concurrency,
    )


class Room:
    """What is free at `now`, less what is taken from it afterwards. `free` is None where there is no limit."""

    def __init__(self, state: State, ask: Ask, now: int) -> None:
        self._state, self._now = state, now
        self._limits = in_order(ask.limits)
        self._burst_ms = int(ask.limits.burst_s * 1000)
        used, self._lately = [0, 0, 0, 0], [0, 0, 0, 0]
        self.last_second = 0  # requests
        for number, requests, input_tokens, output_tokens in state.slots:
            begins = number * SLOT_MS
            for which, amount in enumerate((requests, input_tokens + output_tokens, input_tokens, output_tokens)):
                used[which] += amount
                if begins + self._burst_ms > now:
                    self._lately[which] += amount
            if begins + 1000 > now:
                self.last_second += requests
        today = sum(day[1] for day in state.days)
        self.held = sum(owner[HELD] for owner in state.owners.values())
        taken = (*used, today, self.held + ask.in_use)
        self._free = [
            None if most is None else most - is_used for most, is_used in zip(self._limits, taken, strict=True)
        ]
        self._most_lately = [None if most is None else self._pace(most) for most in self._limits[:4]]
        for which in MINUTE:
            left = self._told_left(which)
            free = self._free[which]
            if left is not None:
                self._free[which] = left if free is None else min(free, left)

    def _pace(self, most: int) -> int:
        return -(-most * self._burst_ms * SPREAD_NUMERATOR // (WINDOW_MS * SPREAD_DENOMINATOR))

    def _told_left(self, which: int) -> int | None:
        """What the vendor's own count still allows: it told what was left, and the rest returns evenly."""
        told = self._state.told[which]
        since = self._now - told[TOLD_AT]
        if since >= told[RESET]:
            return None
        return told[REMAINING] + told[RETURNS] * since // told[RESET] - told[SPENT]

    def fits(self, need: Amounts) -> bool:
        return self._fits_windows(need) and self._fits_burst(need)

    def _fits_windows(self, need: Amounts) -> bool:
        return all(free is None or amount <= free for free, amount in zip(self._free, need, strict=True))

    def _fits_burst(self, need: Amounts) -> bool:
        """One call passes whatever its size where nothing was sent lately."""
        return all(
            most is None or lately == 0 or lately + amount <= most
            for most, lately, amount in zip(self._most_lately, self._lately, need[:4], strict=True)
        )

    def how_many(self, need: Amounts, most: int) -> int:
        """How many calls of the same size there is room for, up to `most`."""
        for free, amount in zip(self._free, need, strict=True):
            if free is not None and amount > 0:
                most = min(most, max(0, free) // amount)
        for most_lately, lately, amount in zip(self._most_lately, self._lately, need[:4], strict=True):
            if most_lately is not None and amount > 0:
                most = min(most, max(max(0, most_lately - lately) // amount, int(lately == 0)))
        return most

    def take(self, need: Amounts, times: int = 1) -> None:
        for which, amount in enumerate(need):
            free = self._free[which]
            if free is not None:
                self._free[which] = free - amount * times
            if which in MINUTE:
                self._lately[which] += amount * times

    def units(self, need: Amounts) -> int:
        """The share that a call takes of the window that it takes most of; at least 1."""
        most = 1
        for limit, amount in zip(self._limits[:AT_ONCE], need, strict=False):
            if limit is not None:
                most = max(most, -(-amount * WHOLE // limit))
        return most

    def free_units(self) -> int:
        """The share of the tightest window that is free."""
        least = WHOLE * WHOLE
        for which, most in enumerate(self._limits[:AT_ONCE]):
            free = self._free[which]
            if most is None or free is None:
                continue
            if which in MINUTE and (most_lately := self._most_lately[which]) is not None:
                free = min(free, most_lately - self._lately[which])
            least = min(least, max(0, free) * WHOLE // most)
        return least

    def wait_ms(self, need: Amounts, *, at_least: int, at_most: int, otherwise: int) -> int:
        """How long until there may be room for `need`: until the oldest slot goes from the window that lacks it."""
        wait = otherwise
        slots = self._state.slots
        if slots and not all(f is None or a <= f for f, a in zip(self._free[:4], need[:4], strict=True)):
            wait = (slots[0][0] + 1) * SLOT_MS + WINDOW_MS + MARGIN_MS - self._now
        elif not self._fits_burst(need):
            begins = [slot[0] * SLOT_MS for slot in slots]
            wait = next((b + self._burst_ms - self._now for b in begins if b + self._burst_ms > self._now), otherwise)
        return max(at_least, min(at_most, wait))
