"""Model servers that saturate, and a client that always has work, as discrete events in virtual time.

A server tells when its next call ends; the client sends whenever fewer calls are in flight than the limit allows. Work
has a mean of 1, so a capacity is in calls per second. Nothing here sleeps, and everything follows from the seed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from math import exp, log, sqrt
from random import Random
from typing import Protocol

Work = Callable[[Random], tuple[float, int | None]]  # how much, and how many tokens the answer has
Capacity = Callable[[int, float], float]  # calls in flight, now_s -> calls per second
Ended = tuple[float, int | None, bool]  # when it was sent, tokens, whether it was answered (else refused)
WARM_UP = 0.1  # of a run, not counted
MOST = 512


class Server(Protocol):
    def send(self, now_s: float, random: Random) -> None: ...

    def next_s(self) -> float | None:
        """When the next call ends; None: none is in flight."""

    def pop(self, now_s: float) -> Ended: ...


class Controller(Protocol):
    @property
    def limit(self) -> int: ...

    def sent(self, now_s: float) -> None: ...

    def answered(self, now_s: float, latency_s: float, tokens: int | None = None) -> None: ...

    def limited(self, now_s: float, latency_s: float | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """A limit that stays."""

    limit: int

    def sent(self, now_s: float) -> None: ...

    def answered(self, now_s: float, latency_s: float, tokens: int | None = None) -> None: ...

    def limited(self, now_s: float, latency_s: float | None = None) -> None: ...


class Sharing:
    """All calls in flight share a capacity that depends on their number (processor sharing, continuous batching)."""

    def __init__(self, capacity: Capacity, work: Work) -> None:
        self._capacity, self._work = capacity, work
        self._calls: list[tuple[float, int, float, int | None]] = []
        self._done = 0.0  # work done for each call since the beginning
        self._now_s = 0.0
        self._number = 0

    def send(self, now_s: float, random: Random) -> None:
        self._advance(now_s)
        work, tokens = self._work(random)
        self._number += 1
        heappush(self._calls, (self._done + work, self._number, now_s, tokens))

    def next_s(self) -> float | None:
        if not self._calls:
            return None
        in_flight = len(self._calls)
        left = max(0.0, self._calls[0][0] - self._done)
        return self._now_s + left * in_flight / self._capacity(in_flight, self._now_s)

    def pop(self, now_s: float) -> Ended:
        self._advance(now_s)
        done, _, sent_s, tokens = heappop(self._calls)
        self._done = max(self._done, done)
        return sent_s, tokens, True

    def _advance(self, now_s: float) -> None:
        if self._calls:
            in_flight = len(self._calls)
            self._done += (now_s - self._now_s) * self._capacity(in_flight, now_s) / in_flight
        self._now_s = now_s


class Queue:
    """`workers` answer one call each, first come, first served; `work` is in seconds."""

    def __init__(self, workers: int, work: Work) -> None:
        self._work = work
        self._free_s = [0.0] * workers
        self._calls: list[tuple[float, float, int | None]] = []

    def send(self, now_s: float, random: Random) -> None:
        work_s, tokens = self._work(random)
        end_s = max(heappop(self._free_s), now_s) + work_s
        heappush(self._free_s, end_s)
        heappush(self._calls, (end_s, now_s, tokens))

    def next_s(self) -> float | None:
        return self._calls[0][0] if self._calls else None

    def pop(self, now_s: float) -> Ended:
        _, sent_s, tokens = heappop(self._calls)
        return sent_s, tokens, True


class Batches:
    """Whatever waits, at most `most` calls, is answered together; n of them take `start_s + n * each_s`."""

    def __init__(self, most: int, start_s: float, each_s: float, work: Work) -> None:
        self._most, self._start_s, self._each_s, self._work = most, start_s, each_s, work
        self._waiting: deque[float] = deque()
        self._running: list[float] = []
        self._end_s = 0.0
        self._random = Random(0)

    def send(self, now_s: float, random: Random) -> None:
        self._waiting.append(now_s)
        self._random = random
        if not self._running:
            self._begin(now_s)

    def next_s(self) -> float | None:
        return self._end_s if self._running else None

    def pop(self, now_s: float) -> Ended:
        sent_s = self._running.pop()
        if not self._running and self._waiting:
            self._begin(now_s)
        return sent_s, None, True

    def _begin(self, now_s: float) -> None:
        calls = min(self._most, len(self._waiting))
        self._running = [self._waiting.popleft() for _ in range(calls)]
        self._end_s = now_s + (self._start_s + self._each_s * calls) * self._work(self._random)[0]


class Refusing:
    """Refuses a call, half a second later, where `most` are in flight."""

    def __init__(self, inner: Server, most: int) -> None:
        self._inner, self._most = inner, most
        self._refused: deque[tuple[float, float]] = deque()
        self._in_flight = 0

    def send(self, now_s: float, random: Random) -> None:
        if self._in_flight >= self._most:
            self._refused.append((now_s + 0.5, now_s))
            return
        self._in_flight += 1
        self._inner.send(now_s, random)

    def next_s(self) -> float | None:
        ends = [each for each in (self._inner.next_s(), self._refused[0][0] if self._refused else None) if each]
        return min(ends, default=None)

    def pop(self, now_s: float) -> Ended:
        if self._refused and self._refused[0][0] <= now_s:
            return self._refused.popleft()[1], None, False
        self._in_flight -= 1
        return self._inner.pop(now_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What came of a run, its warm-up left out."""

    throughput: float  # answers per second
    mean_limit: float
    refused: int
    answered_in_quarters: tuple[int, int, int, int]


def run(server: Server, controller: Controller, *, seconds: float, seed: int, work: int = MOST * 2) -> Run:
    """Send for `seconds`, as many calls at once as the controller allows and never more than `work`."""
    random = Random(seed)
    now_s, in_flight, refused, limit_seconds = 0.0, 0, 0, 0.0
    quarters = [0, 0, 0, 0]
    counted, counted_from_s = 0, WARM_UP * seconds
    while True:
        while in_flight < min(controller.limit, work):
            server.send(now_s, random)
            controller.sent(now_s)
            in_flight += 1
        end_s = server.next_s()
        if end_s is None or end_s >= seconds:
            break
        if end_s > counted_from_s:
            limit_seconds += controller.limit * (end_s - max(now_s, counted_from_s))
        now_s = end_s
        sent_s, tokens, answered = server.pop(now_s)
        in_flight -= 1
        if answered:
            counted += now_s >= counted_from_s
            quarters[int(4 * now_s / seconds)] += 1
            controller.answered(now_s, now_s - sent_s, tokens)
        else:
            refused += 1
            controller.limited(now_s, now_s - sent_s)
    counted_s = seconds - counted_from_s
    first, second, third, last = quarters
    return Run(
        throughput=counted / counted_s,
        mean_limit=limit_seconds / counted_s,
        refused=refused,
        answered_in_quarters=(first, second, third, last),
    )


# How much work a call is


def exponential(mean: float = 1.0) -> Work:
    return lambda random: (random.expovariate(1 / mean), None)


def about(mean: float = 1.0, *, noise: float) -> Work:
    return lambda random: (mean * (1 - noise + 2 * noise * random.random()), None)


def lognormal(mean: float = 1.0, *, variation: float, tokens: int | None = None) -> Work:
    """`variation`: standard deviation over mean. `tokens`: of the mean answer."""
    spread = sqrt(log(1 + variation * variation))
    centre = log(mean) - spread * spread / 2

    def work(random: Random) -> tuple[float, int | None]:
        amount = exp(random.gauss(centre, spread))
        return amount, None if tokens is None else int(tokens * amount / mean) + 1

    return work


def heavy_tailed(*, tokens: int | None) -> Work:
    """Pareto lengths with exponent 1.3, cut at 40 times the shortest, as a limit on output does."""
    exponent, longest = 1.3, 40.0
    mean = exponent / (exponent - 1) * (1 - longest ** (1 - exponent)) + longest ** (1 - exponent)

    def work(random: Random) -> tuple[float, int | None]:
        amount = min(random.paretovariate(exponent), longest) / mean
        return amount, None if tokens is None else int(tokens * amount) + 1

    return work


# What a server can do


def knee(at: int, each: float) -> Capacity:
    """Every call at `each` per second, up to `at` of them; then no more in all."""
    return lambda in_flight, now_s: min(in_flight, at) * each


def smooth(first_s: float, each_s: float) -> Capacity:
    """A step of n calls takes `first_s + n * each_s`: throughput nears 1 / each_s and never has it."""
    return lambda in_flight, now_s: in_flight / (first_s + each_s * in_flight)


def collapse(at: int, each: float, *, steep: float) -> Capacity:
    """Beyond `at` calls throughput falls, as swapping and evicted caches make it."""

    def capacity(in_flight: int, now_s: float) -> float:
        return in_flight * each if in_flight <= at else at * each * (at / in_flight) ** steep

    return capacity


def changing(before: Capacity, after: Capacity, *, at_s: float) -> Capacity:
    return lambda in_flight, now_s: (before if now_s < at_s else after)(in_flight, now_s)


@dataclass(frozen=True, slots=True)
class Case:
    """A server of the table: a new one for each run. `knee`: fewest calls in flight with its best throughput."""

    name: str
    knee: int
    open: Callable[[], Server]
    seconds: float = 600.0

    def levels(self) -> list[int]:
        """The fixed limits of the sweep: about the knee closely, and on to the most."""
        shares = (0.5, 0.64, 0.8, 0.9, 1, 1.1, 1.25, 1.6, 2, 3, 4, 8)
        return sorted({min(MOST, max(1, round(self.knee * share))) for share in shares} | {MOST})

    def best(self, *, seed: int) -> tuple[float, int]:
        """The best throughput of a fixed limit, and that limit, the least of those within 1 %."""
        found = {n: run(self.open(), Fixed(n), seconds=self.seconds, seed=seed).throughput for n in self.levels()}
        best = max(found.values())
        return best, min(n for n, throughput in found.items() if throughput >= 0.99 * best)


CASES = (
    Case("queue, 4 workers, exponential", 4, lambda: Queue(4, exponential(0.4))),
    Case("queue, 16 workers, log-normal", 16, lambda: Queue(16, lognormal(0.8, variation=0.5))),
    Case("queue, 64 workers, exponential", 64, lambda: Queue(64, exponential())),
    Case("queue, 200 workers, constant + noise", 200, lambda: Queue(200, about(2.0, noise=0.1))),
    Case("sharing among 32, exponential", 32, lambda: Sharing(knee(32, 1.0), exponential())),
    Case(
        "continuous batching, soft at 20",
        150,
        lambda: Sharing(smooth(1.0, 0.05), lognormal(variation=0.8)),
        seconds=1500.0,  # an answer takes 20 s where throughput is best
    ),
    Case(
        "continuous batching, soft at 60, tokens",
        512,
        lambda: Sharing(smooth(1.2, 0.02), lognormal(variation=0.5, tokens=200)),
    ),
    Case("batches of 32", 32, lambda: Batches(32, 0.6, 0.02, about(noise=0.1))),
    Case("heavy-tailed answers, knee at 50, tokens", 50, lambda: Sharing(knee(50, 1.0), heavy_tailed(tokens=100))),
    Case("collapse beyond 40", 40, lambda: Sharing(collapse(40, 0.8, steep=0.8), lognormal(variation=0.5))),
    Case(
        "100, halves half-way, falls beyond",
        100,
        lambda: Sharing(
            changing(collapse(100, 0.7, steep=0.5), collapse(50, 0.7, steep=0.5), at_s=300), lognormal(variation=0.5)
        ),
    ),
    Case("refuses beyond 40", 40, lambda: Refusing(Queue(MOST, lognormal(variation=0.4)), 40)),
)
