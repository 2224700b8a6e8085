"""What is remembered of one quota between exchanges: a plain value of integers that packs into a few kilobytes.

Times are milliseconds of a clock of the quota's own that never goes back; see `advance`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from llm_jobs.limits.base import LEASE_MS, MARGIN_MS, Ask

SLOT_MS = 200
WINDOW_MS = 60_000
DAY_MS = 86_400_000
SLOTS_PER_DAY_SLOT = 1_440  # a day is counted in slots of 288 s
# A store's clock that goes back by less makes ours stand still; one that goes back by more is followed from there.
STEP_BACK_MS = 1_000

# The fields of an owner. CALLS and UNITS that wait, and what was SERVED so far, are of hot; those of cold follow each.
SEEN, HELD, CALLS, UNITS, SERVED = 0, 1, 2, 4, 6
OWNER_FIELDS = 8
# The fields of what a vendor told about a limit: when, how much was left, how much returns until when, granted since.
TOLD_AT, REMAINING, RETURNS, RESET, SPENT = range(5)

Owner = list[int]


@dataclass(kw_only=True, slots=True)
class State:
    """Slots are in order: [number, requests, input tokens, output tokens], days [number, requests]."""

    last_ms: int = 0
    offset_ms: int = 0  # added to the store's clock
    paused_until_ms: int = 0
    hot_run: int = 0  # calls granted to hot while cold waited, less nine for each that cold got
    slots: list[list[int]] = field(default_factory=list)
    days: list[list[int]] = field(default_factory=list)
    owners: dict[str, Owner] = field(default_factory=dict)
    told: list[list[int]] = field(default_factory=lambda: [[0] * 5 for _ in range(4)])

    def packed(self) -> bytes:
        head = [self.last_ms, self.offset_ms, self.paused_until_ms, self.hot_run]
        return orjson.dumps([head, self.slots, self.days, self.owners, self.told])

    @classmethod
    def unpacked(cls, packed: bytes | None) -> State:
        """The state that `packed` gave; a new one for None."""
        if packed is None:
            return cls()
        head, slots, days, owners, told = orjson.loads(packed)
        last_ms, offset_ms, paused_until_ms, hot_run = head
        return cls(
            last_ms=last_ms,
            offset_ms=offset_ms,
            paused_until_ms=paused_until_ms,
            hot_run=hot_run,
            slots=slots,
            days=days,
            owners=owners,
            told=told,
        )


def advance(state: State, now_ms: int) -> int:
    """The quota's time at `now_ms` of the store's clock."""
    now = now_ms + state.offset_ms
    if now < state.last_ms - STEP_BACK_MS:
        state.offset_ms += state.last_ms - now
    state.last_ms = max(state.last_ms, now)
    return state.last_ms


def forget(state: State, now: int) -> None:
    """Drop slots that no window holds any more and owners that are dead."""
    first = (now - WINDOW_MS - MARGIN_MS) // SLOT_MS
    state.slots = [slot for slot in state.slots if slot[0] >= first]
    first_day = (now - DAY_MS - MARGIN_MS) // (SLOT_MS * SLOTS_PER_DAY_SLOT)
    state.days = [day for day in state.days if day[0] >= first_day]
    state.owners = {name: owner for name, owner in state.owners.items() if now - owner[SEEN] <= LEASE_MS}


def correct(state: State, ask: Ask) -> None:
    """Add the corrections to the slots that they name; to one that is forgotten they no longer matter."""
    for number, requests, input_tokens, output_tokens in ask.corrections:
        for slot in state.slots:
            if slot[0] == number:
                slot[1] = max(0, slot[1] + requests)
                slot[2] = max(0, slot[2] + input_tokens)
                slot[3] = max(0, slot[3] + output_tokens)
        for day in state.days:
            if day[0] == number // SLOTS_PER_DAY_SLOT:
                day[1] = max(0, day[1] + requests)


def hear(state: State, ask: Ask, now: int) -> None:
    """A pause holds for everybody until its end; a vendor's newest word replaces what it said before."""
    if ask.pause_ms > 0:
        state.paused_until_ms = max(state.paused_until_ms, now + ask.pause_ms)
    for which, remaining, limit, reset_ms in ask.told:
        state.told[which] = [now, remaining, max(0, limit - remaining), reset_ms, 0]


def count(state: State, now: int, requests: int, input_tokens: int, output_tokens: int) -> None:
    """Add what was granted at `now` to its slot, its day and what the vendor told."""
    if requests == 0:
        return
    number = now // SLOT_MS
    if not state.slots or state.slots[-1][0] != number:
        state.slots.append([number, 0, 0, 0])
    slot = state.slots[-1]
    slot[1] += requests
    slot[2] += input_tokens
    slot[3] += output_tokens
    day = number // SLOTS_PER_DAY_SLOT
    if not state.days or state.days[-1][0] != day:
        state.days.append([day, 0])
    state.days[-1][1] += requests
    spent = (requests, input_tokens + output_tokens, input_tokens, output_tokens)
    for told, amount in zip(state.told, spent, strict=True):
        told[SPENT] += amount
