"""How a quota is shared: state, an ask and the time in, a grant out. Whole numbers only; `decide.lua` says the same.

Sliding windows are counted in slots of 200 ms. What was granted in a slot counts until the END of the slot lies a
window and a margin back, so no window of 60 s at the server sees more than the limit, wherever the window begins. A
correction goes to the slot of its grant: an estimate that was too high makes room at once, and the promise stays.

Order: hot before cold, but of ten grants one is cold's while cold waits. Among owners of one class each gets the same
share of what is free, counted since it began to wait (max-min fairness in the tightest limit); within an owner, the
order of its list, and nobody overtakes a call that does not fit yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_jobs.limits.base import HOT_PER_COLD, Ask, Grant
from llm_jobs.limits.room import Amounts, Room, amounts
from llm_jobs.limits.state import (
    CALLS,
    HELD,
    OWNER_FIELDS,
    SEEN,
    SERVED,
    SLOT_MS,
    UNITS,
    Owner,
    State,
    advance,
    correct,
    count,
    forget,
    hear,
)

DEMAND_MS = 2_000  # an owner that waits asks more often than this; one that does not is not waited for
LONGEST_RETRY_MS = 250  # those who wait hear of a pause or of other limits within this time
SHARED_RETRY_MS = 100  # there is room, or soon will be, but it is another owner's turn
SHORTEST_RETRY_MS = 20

HOT, COLD = 0, 1


def decide(state: State, ask: Ask, now_ms: int) -> Grant:
    """Answer `ask` at `now_ms` of the store's clock; `state` becomes what is to be remembered."""
    now = advance(state, now_ms)
    forget(state, now)
    correct(state, ask)
    hear(state, ask, now)
    me = state.owners.pop(ask.owner, None) or [0] * OWNER_FIELDS
    if ask.leaving:
        return Grant(0, 0, 0, now // SLOT_MS, None, LONGEST_RETRY_MS, 0, False)
    return _Round(state, ask, me, now).played()


def fair_share(free: int, mine: tuple[int, int], others: Sequence[tuple[int, int]]) -> int:
    """What I may take of `free`, each given as (served so far, wanted): the level that all are filled to is the same.

    Max-min fairness: whoever wants less than the level gets all of it, and what is left raises the level for the rest.
    """
    everybody = [mine, *others]
    if sum(wanted for _, wanted in everybody) <= free:
        return mine[1]
    low, high = 0, max(served for served, _ in everybody) + free
    while low < high:
        level = (low + high + 1) // 2
        if sum(min(wanted, max(0, level - served)) for served, wanted in everybody) <= free:
            low = level
        else:
            high = level - 1
    return min(mine[1], max(0, low - mine[0]))


class _Round:
    """One exchange under way: what is free, who else waits, what is granted so far."""

    def __init__(self, state: State, ask: Ask, me: Owner, now: int) -> None:
        self._state, self._ask, self._now = state, ask, now
        self._room = Room(state, ask, now)
        self._runs = (ask.hot, ask.cold)
        self._position = [[0, 0], [0, 0]]  # for each class: the run, and how many of it are granted
        self._left = [ask.hot_waiting, ask.cold_waiting]
        self._granted = [0, 0]
        self._spent = [0, 0]
        self._total = [0, 0, 0]
        self._present = [owner for owner in state.owners.values() if now - owner[SEEN] <= DEMAND_MS]
        self._contended = any(owner[CALLS + HOT] + owner[CALLS + COLD] > 0 for owner in self._present)
        self._others = [
            [(owner[SERVED + kind], owner[UNITS + kind]) for owner in self._present if owner[UNITS + kind] > 0]
            for kind in (HOT, COLD)
        ]
        self._served = [self._served_before(me, kind) for kind in (HOT, COLD)]
        self._share = self._shares()

    def _served_before(self, me: Owner, kind: int) -> int:
        """Who comes to wait starts level with the one that got least: nobody saves up turns while it wants none."""
        others = self._others[kind]
        if me[UNITS + kind] > 0 or not others:
            return me[SERVED + kind]
        return max(me[SERVED + kind], min(served for served, _ in others))

    def _shares(self) -> list[int]:
        free = self._room.free_units()
        hot, cold = self._units_wanted(HOT), self._units_wanted(COLD)
        beyond_hot = max(0, free - hot - sum(wanted for _, wanted in self._others[HOT]))
        return [
            fair_share(free, (self._served[HOT], hot), self._others[HOT]),
            fair_share(beyond_hot, (self._served[COLD], cold), self._others[COLD]),
        ]

    def _units_wanted(self, kind: int) -> int:
        """Calls that wait and are not listed count as much as those that are, on average."""
        listed = sum(times for times, _, _ in self._runs[kind])
        units = sum(times * self._room.units(amounts(i, o)) for times, i, o in self._runs[kind])
        return units * self._left[kind] // listed if listed else 0

    def played(self) -> Grant:
        state, now = self._state, self._now
        paused_ms = max(0, state.paused_until_ms - now)
        ahead = 0
        if paused_ms == 0:
            while (kind := self._turn()) is not None:
                self._take(kind, self._in_a_row(kind))
            ahead = self._look_ahead()
        if not self._waits(COLD):
            state.hot_run = 0
        if self._ask.limits.windowed:
            count(state, now, *self._total)
        keep = self._kept(ahead)
        self._remember(ahead, keep)
        hot, cold = self._granted
        wait_ms = min(LONGEST_RETRY_MS, paused_ms or self._retry_ms())
        return Grant(hot, cold, ahead, now // SLOT_MS, keep, wait_ms, paused_ms, self._contended)

    def _waits(self, kind: int) -> bool:
        return self._left[kind] > 0 or bool(self._others[kind])

    def _turn(self) -> int | None:
        """The class whose next call is granted now; None when none may be."""
        if self._state.hot_run >= HOT_PER_COLD and self._may(COLD):
            return COLD
        if self._may(HOT):
            return HOT
        return COLD if self._may(COLD) else None

    def _may(self, kind: int) -> bool:
        need = self._next(kind)
        if need is None or not self._room.fits(need):
            return False
        after = self._spent[kind] + self._room.units(need)
        behind = all(self._served[kind] + self._spent[kind] <= served for served, _ in self._others[kind])
        due = kind == HOT or not self._waits(HOT) or self._state.hot_run >= HOT_PER_COLD
        if not self._may_hold_another(kind, in_turn=behind and due):
            return False
        if kind == HOT and self._cold_is_due():
            return False
        return after <= self._share[kind] or (behind and due)

    def _may_hold_another(self, kind: int, *, in_turn: bool) -> bool:
        """While others wait nobody has more calls under way than its share, and who is in turn one of what is over."""
        most = self._ask.limits.concurrency
        if most is None or not self._contended:
            return True
        spare = self._fair_at_once(most, kind) - self._using()
        return spare > 0 or (spare == 0 and in_turn)

    def _cold_is_due(self) -> bool:
        """Hot stands back until cold has got its tenth. What is granted in a fifth of a second may go before it: a cold
        owner needs a moment to come."""
        allowance = max(1, self._room.last_second // 50)
        return self._waits(COLD) and self._state.hot_run >= HOT_PER_COLD * allowance

    def _next(self, kind: int) -> Amounts | None:
        at = self._position[kind][0]
        return amounts(*self._runs[kind][at][1:]) if at < len(self._runs[kind]) else None

    def _in_a_row(self, kind: int) -> int:
        """How many of the next calls, all alike, are granted in one go: all that fit where nobody else waits."""
        at, done = self._position[kind]
        times, input_tokens, output_tokens = self._runs[kind][at]
        if self._contended or self._left[1 - kind] > 0:
            return 1
        return max(1, self._room.how_many(amounts(input_tokens, output_tokens), times - done))

    def _take(self, kind: int, times: int) -> None:
        position = self._position[kind]
        listed, input_tokens, output_tokens = self._runs[kind][position[0]]
        position[1] += times
        if position[1] >= listed:
            position[:] = [position[0] + 1, 0]
        self._spent[kind] += times * self._room.units(amounts(input_tokens, output_tokens))
        self._granted[kind] += times
        self._left[kind] = max(0, self._left[kind] - times)
        self._grant(input_tokens, output_tokens, times)
        if kind == COLD:
            self._state.hot_run = max(0, self._state.hot_run - HOT_PER_COLD)
        elif self._waits(COLD):
            self._state.hot_run += 1

    def _grant(self, input_tokens: int, output_tokens: int, times: int) -> None:
        self._room.take(amounts(input_tokens, output_tokens), times)
        for which, amount in enumerate((1, input_tokens, output_tokens)):
            self._total[which] += amount * times

    def _look_ahead(self) -> int:
        """Calls that are expected, only where nobody waits for anything."""
        times, input_tokens, output_tokens = self._ask.ahead
        if self._contended or self._left != [0, 0]:
            return 0
        granted = self._room.how_many(amounts(input_tokens, output_tokens), times)
        self._grant(input_tokens, output_tokens, granted)
        return granted

    def _using(self) -> int:
        return self._ask.in_use + sum(self._granted)

    def _kept(self, ahead: int) -> int | None:
        """How many calls at once the owner may have without asking for each: while others wait its fair share, and
        never more than what nobody else holds."""
        most = self._ask.limits.concurrency
        if most is None:
            return None
        wanted = self._using() + sum(self._left) + self._ask.ahead[0]
        if self._contended:
            kind = HOT if self._left[HOT] > 0 else COLD
            wanted = self._fair_at_once(most, kind) if self._left[kind] > 0 else 0
        return max(0, min(most - self._room.held, wanted))

    def _fair_at_once(self, most: int, kind: int) -> int:
        """Hot first, but a tenth is cold's while it waits. Shares are whole: what does not divide goes from one to
        another, call by call."""
        waiting = [owner for owner in self._present if owner[CALLS + HOT] + owner[CALLS + COLD] > 0]
        hot = [(0, owner[HELD] + owner[CALLS + HOT]) for owner in waiting if owner[CALLS + HOT] > 0]
        cold = [(0, owner[HELD] + owner[CALLS + COLD]) for owner in waiting if owner[CALLS + HOT] == 0]
        free = most - (self._room.held - sum(owner[HELD] for owner in waiting))
        mine = (0, self._using() + self._left[kind])
        if kind == HOT:
            of_hot = most * HOT_PER_COLD // (HOT_PER_COLD + 1) if cold or self._left[COLD] > 0 else most
            return fair_share(max(0, min(free, of_hot)), mine, hot)
        beyond_hot = free - sum(wanted for _, wanted in hot)
        return fair_share(max(0, beyond_hot, min(free, most // (HOT_PER_COLD + 1))), mine, cold)

    def _remember(self, ahead: int, keep: int | None) -> None:
        using = self._using() + ahead
        held = using if keep is None else max(using, keep)
        units = [
            self._units_wanted(HOT) if self._left[HOT] else 0,
            self._units_wanted(COLD) if self._left[COLD] else 0,
        ]
        served = [self._served[kind] + self._spent[kind] for kind in (HOT, COLD)]
        self._state.owners[self._ask.owner] = [self._now, held, *self._left, *units, *served]

    def _retry_ms(self) -> int:
        need = self._next(HOT) or self._next(COLD)
        if need is None:
            return SHORTEST_RETRY_MS if sum(self._left) else LONGEST_RETRY_MS
        otherwise = SHARED_RETRY_MS if self._contended else LONGEST_RETRY_MS
        return self._room.wait_ms(need, at_least=SHORTEST_RETRY_MS, at_most=LONGEST_RETRY_MS, otherwise=otherwise)
