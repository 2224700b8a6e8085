"""How many calls of one model this process keeps in flight, found from what the server does.

Slow start doubles while throughput grows; then the knee of throughput against calls in flight is searched for, held,
and probed for change (`knee`). A refusal (429) cuts once per episode, by a factor; from there the limit grows by
addition. Pure: no input or output, time is an argument, each call costs about a microsecond. Not here: quotas, retries,
and who may send (`limiter`).

Throughput is measured over windows of answers by Little's law, calls in flight over mean latency, which asks nothing
of how latencies vary. Where the length of answers explains their latency it is measured in tokens, which is steadier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_jobs.limits.knee import Knee, grid_of
from llm_jobs.limits.window import Window

Phase = Literal["slow start", "search", "hold", "probe", "recover"]

_CUT = 0.75
_ROUNDS = 4  # round trips that a window measures, after those that it takes to settle
_FEWEST_ANSWERS = 32
_PRECISE_ANSWERS = 240  # more are waited for only to see a whole round trip
_FEWEST_IN_SLOW_START = 12
_SETTLING_ROUNDS = 2.0
_FULL = 0.85  # a client that keeps fewer of its slots busy does not measure the server
_LONGEST_HOLD = 8  # windows between two probes, at most
_PROBES = (4, -4, 6)  # levels from the target, in turns
_PROBES_AT_A_PEAK = (4, -1, 2)
_SHORTEST_REST = 20  # windows at a ceiling before one more call in flight is tried
_LONGEST_REST = 160


@dataclass(frozen=True, kw_only=True, slots=True)
class ConcurrencyState:
    """What the controller does, for metrics. `throughput`: answers per second at the limit, 0 before it is known."""

    limit: int
    in_flight: int
    phase: Phase
    cuts: int
    changes: int  # times that the server was found to be another than before
    ceiling: int | None  # the most in flight since the last refusal; None where there was none
    throughput: float
    best_throughput: float


class AdaptiveConcurrency:
    """The limit of calls in flight for one model in one process.

    Tell it of every call: `sent` when it is sent, and one of `answered`, `limited` and `failed` when it ends. Read
    `limit` before each send. Times are seconds of any clock that does not go back.
    """

    def __init__(self, *, at_least: int = 1, at_most: int = 512, start: int = 8) -> None:
        if not 1 <= at_least <= at_most:
            raise ValueError(f"at_least and at_most are 1 <= {at_least} <= {at_most}")
        self.at_least = at_least
        self.at_most = at_most
        self._knee = Knee(grid_of(at_least, at_most))
        self._level = self._knee.nearest(start)
        self.limit = self._knee.grid[self._level]
        self._window = Window()
        self._in_flight = 0
        self._left = self.limit  # ends of calls until something is decided
        self._phase: Phase = "slow start"
        self._settling = True
        self._hold = 2
        self._hold_left = 0
        self._held = self._level
        self._probes = 0
        self._ceiling: int | None = None
        self._cuts = 0
        self._cut_s = float("-inf")
        self._old = 0  # calls in flight that were sent before the cut
        self._rest = _SHORTEST_REST
        self._rest_left = 0

    def sent(self, now_s: float) -> None:
        """A call is sent."""
        self._window.pass_time(now_s, self._in_flight)
        self._in_flight += 1

    def answered(self, now_s: float, latency_s: float, tokens: int | None = None) -> None:
        """A call was answered `latency_s` after it was sent, with `tokens` written."""
        self._window.answer(now_s, self._in_flight, latency_s, tokens)
        self._end(now_s)

    def failed(self, now_s: float) -> None:
        """A call ended with neither an answer nor a refusal: a time-out, a broken connection, an error."""
        self._window.pass_time(now_s, self._in_flight)
        self._window.failures += 1
        self._end(now_s)

    def limited(self, now_s: float, latency_s: float | None = None) -> None:
        """A call was refused for now. One cut per episode: calls that were sent before the cut do not cut again.

        Without `latency_s`, as many ends as calls were in flight at the cut are taken for those sent before it.
        """
        was_sent_before = self._old > 0 if latency_s is None else now_s - latency_s <= self._cut_s
        seen = min(self._in_flight, self.limit)
        self._window.pass_time(now_s, self._in_flight)
        self._end(now_s)
        if not was_sent_before:
            self._cut(now_s, seen)

    def state(self) -> ConcurrencyState:
        """What is done and known, for metrics and a run's metadata."""
        knee = self._knee
        return ConcurrencyState(
            limit=self.limit,
            in_flight=self._in_flight,
            phase=self._phase,
            cuts=self._cuts,
            changes=knee.changes,
            ceiling=self._ceiling,
            throughput=knee.throughput(self._level),
            best_throughput=knee.throughput(knee.best) if knee.levels else 0.0,
        )

    def _end(self, now_s: float) -> None:
        self._in_flight -= 1
        self._old -= 1
        self._left -= 1
        if self._left <= 0:
            self._turn(now_s)

    # Refusals

    def _cut(self, now_s: float, seen: int) -> None:
        """Fewer in flight than the server was seen to refuse, for a while that doubles when it refuses them again."""
        ceiling = max(self.at_least, seen - 1)
        again = self._ceiling is not None and ceiling >= 0.85 * self._ceiling
        self._rest = min(_LONGEST_REST, 2 * self._rest) if again else _SHORTEST_REST
        self._rest_left = self._rest
        self._ceiling = ceiling
        self._cuts += 1
        self._cut_s, self._old = now_s, self._in_flight
        self._knee.forget_above(self._top())
        self.limit = max(self.at_least, min(self.limit, int(seen * _CUT)))
        self._phase, self._left = "recover", self._in_flight + self.limit

    def _recover(self, now_s: float) -> None:
        """Grow by addition, a step per round trip, up to the ceiling."""
        goal = self._value(self._top())
        self.limit = min(goal, self.limit + max(1, self.limit // 25))
        self._left = self.limit
        if self.limit >= goal:
            self._level = self._top()
            self._phase = "search"
            self._settle(self.limit)

    def _rested(self) -> None:
        """The ceiling gives way, by addition, when there was no refusal for some windows."""
        if self._ceiling is None:
            return
        self._rest_left -= 1
        if self._rest_left <= 0:
            self._rest_left = self._rest
            self._ceiling += max(1, self._ceiling // 50)
            if self._ceiling >= self.at_most:
                self._ceiling = None

    # Windows

    def _turn(self, now_s: float) -> None:
        """Enough calls ended for a decision."""
        if self._phase == "recover":
            self._recover(now_s)
        elif self._settling and self._in_flight > 1.1 * self.limit + 1:
            self._left = self._in_flight - self.limit
        elif self._settling:
            self._measure(now_s)
        else:
            self._look(now_s)

    def _settle(self, most_in_flight: int) -> None:
        """Let the calls that were sent at another level end first."""
        self._settling = True
        rounds = 1.0 if self._phase == "slow start" else _SETTLING_ROUNDS
        self._left = max(4, int(rounds * most_in_flight))

    def _measure(self, now_s: float) -> None:
        self._settling = False
        self._window.start(now_s)
        fewest = _FEWEST_IN_SLOW_START if self._phase == "slow start" else _FEWEST_ANSWERS // 2
        self._left = max(self.limit, fewest)

    def _look(self, now_s: float) -> None:
        """A round trip of the window has passed: decide whether it is complete, and then what comes next."""
        window = self._window
        throughput = window.throughput()
        if window.mean_in_flight() < _FULL * self.limit or throughput <= 0:
            self._go(min(self._level, self._target()), "hold" if self._phase == "probe" else self._phase, now_s)
            return
        complete = self._phase == "slow start" or window.answers >= _enough(self.limit)
        trying = self._phase in ("search", "probe") and self._knee.levels
        if complete or (trying and self._knee.is_clearly_worse(throughput, window.answers)):
            self._knee.record(self._level, throughput, window.answers, probing=self._phase == "probe")
            self._rested()
            self._decide(now_s)
        else:
            self._left = max(self.limit, _FEWEST_ANSWERS // 2)

    # What to do next

    def _decide(self, now_s: float) -> None:
        knee, top = self._knee, self._top()
        if knee.suspect is not None:
            self._go(knee.suspect, "search", now_s)
            return
        unknown = knee.unknown(top=top)
        if unknown is not None:
            rising = self._phase == "slow start" and unknown > self._level
            self._go(unknown, "slow start" if rising else "search", now_s)
            return
        target = self._target()
        if self._phase == "probe" and self._level == target > self._held:
            knee.forget_above(target)
        if self._phase != "hold" or self._level != target:
            self._hold = 2 if self._phase in ("slow start", "search") else self._hold
            self._hold_left, self._held = self._hold, target
            self._go(target, "hold", now_s)
            return
        self._hold_left -= 1
        if self._hold_left > 0:
            self._go(target, "hold", now_s)
        else:
            self._probe(target, top, now_s)

    def _probe(self, target: int, top: int, now_s: float) -> None:
        """Measure a neighbour of the target again: the server may have changed."""
        self._probes += 1
        self._hold = min(_LONGEST_HOLD, 2 * self._hold)
        self._hold_left = self._hold
        steps = _PROBES_AT_A_PEAK if self._knee.falls_beyond() else _PROBES
        level = target + steps[self._probes % len(steps)]
        self._go(max(0, min(top, level)), "probe", now_s)

    def _go(self, level: int, phase: Phase, now_s: float) -> None:
        before, self._level, self._phase = self.limit, level, phase
        self.limit = self._value(level)
        if self.limit == before:
            self._measure(now_s)
        else:
            self._settle(max(before, self.limit))

    def _target(self) -> int:
        return min(self._knee.target, self._top()) if self._knee.levels else self._level

    def _top(self) -> int:
        """The index of the greatest level that may be tried."""
        if self._ceiling is None:
            return len(self._knee.grid) - 1
        below = self._knee.nearest(self._ceiling)
        return below if self._knee.grid[below] >= self._ceiling else min(below + 1, len(self._knee.grid) - 1)

    def _value(self, level: int) -> int:
        """A level's calls in flight; the topmost is the ceiling itself."""
        value = self._knee.grid[level]
        return value if self._ceiling is None else max(self.at_least, min(value, self._ceiling))


def _enough(limit: int) -> int:
    """Answers that make a window: some round trips, fewer where one has plenty."""
    return max(_FEWEST_ANSWERS, min(_ROUNDS * limit, max(limit, _PRECISE_ANSWERS)))
