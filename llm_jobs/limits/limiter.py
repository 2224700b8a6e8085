"""The quota of one model in one process: permits for calls, at once where it can, in order where it must.

    limiter = Limiter(MemoryLimitStore(), "my-model", limits=lambda: Limits(requests_per_minute=3000))
    permit = await limiter.acquire(Cost(input_tokens=200, output_tokens=500), Line())
    try:
        answer = await send()
        permit.settle(Cost(answer.input_tokens, answer.output_tokens))
    finally:
        permit.release()

The store is asked for blocks, not for calls: what waits at the head of the queue and what is expected in the next
moment. One exchange settles, gives back, tells who waits and leases; there are at most twenty in a second however
many calls wait, and none where there is no limit. A limiter belongs to the event loop that it is made in.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial

from llm_jobs.errors import PermanentError, SetupError
from llm_jobs.events import WaitReason
from llm_jobs.limits.base import (
    LEASE_MS,
    LONGEST_PAUSE_S,
    VALID_MS,
    Ask,
    Cost,
    Grant,
    Limits,
    LimitStore,
    Observed,
    Told,
    ToldMs,
)
from llm_jobs.limits.leases import Leases, check_size
from llm_jobs.limits.lines import PRIORITIES, Line, Priority, Queue, Waiter
from llm_jobs.limits.places import Places

__all__ = ["Cost", "Limiter", "Limits", "Line", "Permit"]

EXCHANGE_INTERVAL_S = 0.05
SETTLE_WITHIN_S = 0.2
HEARTBEAT_S = 1.0
AHEAD_S = 0.15  # how far ahead of the calls a block reaches: three exchanges
FEWEST_LISTED, MOST_LISTED = 16, 512
LEASE_S = LEASE_MS / 1000 - 2.0  # no call starts in a slot that may be another's soon
GIVE_UP_S = 10.0  # a store that cannot be reached for so long fails those who wait
FOR_EVER = float("inf")


class Permit:
    """Leave to make one call. `release` is always called, `settle` once the usage is known, `unsent` where nothing was
    sent."""

    __slots__ = ("_limiter", "_released", "_slot", "cost", "until_s")

    def __init__(self, limiter: Limiter, cost: Cost, slot: int | None, until_s: float) -> None:
        self._limiter = limiter
        self._slot = slot  # None: settled, or nothing is counted
        self._released = False
        self.cost = cost
        self.until_s = until_s  # the loop's time by which the call is to be sent

    def settle(self, used: Cost | None) -> None:
        """Count what was used in the place of the estimate; None: the estimate stays."""
        slot, self._slot = self._slot, None
        if slot is not None and used is not None:
            input_tokens = used.input_tokens - self.cost.input_tokens
            output_tokens = used.output_tokens - self.cost.output_tokens
            if input_tokens or output_tokens:
                self._limiter._correct(slot, 0, input_tokens, output_tokens)

    def release(self) -> None:
        """The call is over: its place among the calls at once is free. Repeating does nothing."""
        if not self._released:
            self._released = True
            self._limiter._release()

    def unsent(self) -> None:
        """Nothing was sent: all is given back, the place too."""
        slot, self._slot = self._slot, None
        if slot is not None:
            self._limiter._correct(slot, -1, -self.cost.input_tokens, -self.cost.output_tokens)
        self.release()


class Limiter:
    """Permits of one quota. `key` names it in the store; `limits` is asked at each call and tells what holds now.

    `model` names it in messages. `executor` runs the exchanges, for stores that block; None asks the store in the loop,
    for the one in memory.
    """

    def __init__(
        self,
        store: LimitStore,
        key: str,
        *,
        limits: Callable[[], Limits],
        model: str | None = None,
        executor: Executor | None = None,
        owner: str | None = None,
    ) -> None:
        self._store, self._key, self._limits, self._executor = store, key, limits, executor
        self._model = model or key
        self._owner = owner or uuid.uuid4().hex
        self._loop = asyncio.get_running_loop()
        self._queue = Queue()
        self._leases = Leases()
        self._told: dict[int, tuple[Told, float]] = {}
        self._places = Places()
        self._paused_until_s = -FOR_EVER
        self._pause_untold = False
        self._reason: WaitReason = "quota"  # what those who wait were told last
        self._contended = False
        self._reach = 2 * FEWEST_LISTED
        self._asked_s = -FOR_EVER
        self._known = False  # the store knows of us
        self._failing_since_s: float | None = None
        self._exchange: asyncio.Future[Grant] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._queue)

    @property
    def held(self) -> int:
        """Permits that are not released."""
        return self._places.in_use

    @property
    def reason(self) -> WaitReason:
        """What a call waits for now, as far as this process knows."""
        limits = self._limits()
        if self._loop.time() < self._paused_until_s:
            return "paused"
        if limits.concurrency is not None and (not limits.windowed or self._places.in_use >= limits.concurrency):
            return "concurrency"
        counts_requests = limits.requests_per_minute is not None or limits.requests_per_day is not None
        if limits.concurrency is not None or counts_requests == limits.counts_tokens:
            return "quota"
        return "requests" if counts_requests else "tokens"

    def take(self, cost: Cost, line: Line) -> Permit | None:
        """A permit at once, or None where the call must wait for its turn."""
        if self._queue.is_before(line.priority):
            return None
        permit = self._draw(cost, self._limits())
        if permit is not None and self._leases.is_low:
            self._wake(self._loop.time())
        return permit

    async def acquire(
        self, cost: Cost, line: Line, *, first: bool = False, tell: Callable[[WaitReason], None] | None = None
    ) -> Permit:
        """A permit, when it is the call's turn. Cancelling gives back what it was granted. `first`: before those that
        wait in its line. `tell` hears what it waits for, and again when that changes. Raises PermanentError for a call
        that no window has room for, SetupError where the store cannot be reached."""
        permit = self.take(cost, line)
        if permit is not None:
            return permit
        if self._closed:
            raise RuntimeError(f"the limiter of {self._model} is closed")
        check_size(self._model, cost, self._limits())
        waiter = Waiter(cost, line, self._loop.create_future(), tell)
        self._tell_reason()
        self._queue.push(waiter, first=first)
        if tell is not None:
            tell(self._reason)
        self._wake(self._loop.time())
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def pause(self, seconds: float) -> float:
        """Nobody on this quota sends anything for so long, or for the longest pause that is believed; returns that. A
        shorter pause does not end a longer one. Where there is no limit, only this process pauses: the others hear the
        same from the server."""
        seconds = min(seconds, LONGEST_PAUSE_S)
        until_s = self._loop.time() + seconds
        if until_s > self._paused_until_s:
            self._paused_until_s = until_s
            self._pause_untold = True
            self._leases.end(FOR_EVER)
            self._wake(self._loop.time())
            self._tell_reason()
        return seconds

    def observe(self, observed: Observed) -> None:
        """What the vendor counts. Only ever lowers what may be sent: the rest is the limits' to say."""
        if observed.retry_after_s is not None and observed.retry_after_s > 0:
            self.pause(observed.retry_after_s)
        now_s = self._loop.time()
        told = (observed.requests, observed.tokens, observed.input_tokens, observed.output_tokens)
        for which, word in enumerate(told):
            if word is not None and word.reset_s > 0:
                self._told[which] = (word, now_s)
                if word.remaining <= 0:
                    self._leases.end(FOR_EVER)
                    self._wake(now_s)

    async def aclose(self) -> None:
        """Give everything back. Those who wait are cancelled; permits that are out count on in the windows."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for waiter in list(self._queue):
            waiter.granted.cancel()
        while self._exchange is not None:
            await asyncio.wait([self._exchange])
        self._leases.end(FOR_EVER)
        if self._known:
            ask = Ask(owner=self._owner, limits=self._limits(), corrections=self._leases.corrected(), leaving=True)
            with suppress(SetupError):  # what it holds comes back with its lease
                await self._exchanged(ask)

    def _withdraw(self, waiter: Waiter) -> None:
        self._queue.remove(waiter)
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            waiter.granted.result().unsent()
        elif not len(self._queue):
            self._wake(self._loop.time())  # others are not to wait for us

    def _draw(self, cost: Cost, limits: Limits) -> Permit | None:
        now_s = self._loop.time()
        if now_s < self._paused_until_s:
            return None
        if limits.concurrency is not None and not self._places.has_room(now_s):
            return None
        slot, until_s = None, FOR_EVER
        if limits.windowed:
            block = self._leases.draw(cost, now_s)
            if block is None:
                return None
            slot, until_s = block.slot, block.until_s
        if not limits.unbounded:
            self._leases.count(cost)
        self._places.in_use += 1
        return Permit(self, cost, slot, until_s)

    def _release(self) -> None:
        self._places.leave()
        if len(self._queue):
            self._serve()
            if len(self._queue) and self._limits().concurrency is not None:
                self._wake(self._loop.time())

    def _correct(self, slot: int, requests: int, input_tokens: int, output_tokens: int) -> None:
        was_owing = self._leases.owes
        self._leases.correct(slot, requests, input_tokens, output_tokens)
        if not was_owing:
            self._wake(self._loop.time() + SETTLE_WITHIN_S)

    def _wake(self, when_s: float) -> None:
        """Have the next exchange at `when_s`, or as soon after it as may be."""
        if self._closed or self._exchange is not None:
            return  # what follows the exchange under way looks for itself
        when_s = max(when_s, self._asked_s + EXCHANGE_INTERVAL_S)
        if self._timer is not None:
            if self._timer.when() <= when_s:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        limits = self._limits()
        self._refuse_too_large(limits)
        if limits.unbounded:
            self._without_limits()
            return
        now_s = self._loop.time()
        ask = self._next_ask(limits, now_s)
        self._asked_s, self._known = now_s, True
        if self._executor is None:
            try:
                grant = self._store.exchange(self._key, ask)
            except SetupError as error:
                self._failed(ask, error)
            else:
                self._granted(ask, now_s, grant)
        else:
            self._exchange = self._loop.run_in_executor(self._executor, self._store.exchange, self._key, ask)
            self._exchange.add_done_callback(partial(self._answered, ask, now_s))

    def _without_limits(self) -> None:
        self._leases.clear()
        self._serve()
        if len(self._queue):
            self._wake(self._paused_until_s)

    def _next_ask(self, limits: Limits, now_s: float) -> Ask:
        self._leases.end(now_s)
        may_spare = limits.concurrency is not None and not self._contended
        in_use = self._places.offered(self._leases.drawn if may_spare else 0)
        since_s = max(EXCHANGE_INTERVAL_S, now_s - self._asked_s)
        ahead = self._leases.expected(AHEAD_S / since_s, windowed=limits.windowed)
        pause_s = self._paused_until_s - now_s if self._pause_untold else 0.0
        self._pause_untold = False
        return Ask(
            owner=self._owner,
            limits=limits,
            hot=self._queue.runs("hot", self._reach),
            cold=self._queue.runs("cold", self._reach),
            hot_waiting=self._queue.waiting("hot"),
            cold_waiting=self._queue.waiting("cold"),
            ahead=ahead,
            in_use=in_use,
            corrections=self._leases.corrected(),
            pause_ms=max(0, round(pause_s * 1000)),
            told=self._newly_told(now_s),
        )

    def _newly_told(self, now_s: float) -> tuple[ToldMs, ...]:
        told, self._told = self._told, {}
        return tuple(
            (which, max(0, word.remaining), word.limit, round((word.reset_s - (now_s - heard_s)) * 1000))
            for which, (word, heard_s) in told.items()
            if word.reset_s - (now_s - heard_s) >= 0.001
        )

    def _answered(self, ask: Ask, asked_s: float, exchange: asyncio.Future[Grant]) -> None:
        self._exchange = None
        if exchange.cancelled():
            return
        error = exchange.exception()
        if error is None:
            self._granted(ask, asked_s, exchange.result())
        else:
            self._failed(ask, error)

    def _granted(self, ask: Ask, asked_s: float, grant: Grant) -> None:
        now_s = self._loop.time()
        self._failing_since_s = None
        self._contended = grant.contended
        if grant.paused_ms:
            self._paused_until_s = max(self._paused_until_s, asked_s + grant.paused_ms / 1000)
        calls = grant.hot + grant.cold + grant.ahead
        self._places.granted(grant.keep, calls, asked_s + LEASE_S)
        if ask.limits.windowed:
            self._leases.add(ask, grant, asked_s + VALID_MS / 1000)
        self._leases.end(now_s)
        self._serve(hot=grant.hot, cold=grant.cold)
        self._tell_reason()
        listed = sum(count for count, _, _ in (*ask.hot, *ask.cold))
        all_granted = grant.hot + grant.cold >= listed
        self._reach = min(MOST_LISTED, 2 * self._reach) if all_granted else max(FEWEST_LISTED, 2 * calls)
        self._wake_again(now_s, grant, at_once=all_granted)

    def _wake_again(self, now_s: float, grant: Grant, *, at_once: bool) -> None:
        if len(self._queue):
            self._wake(now_s if at_once and not grant.paused_ms else now_s + grant.retry_ms / 1000)
        if self._leases.owes:
            self._wake(now_s + SETTLE_WITHIN_S)
        if self._pause_untold:
            self._wake(now_s)
        if (ends_s := self._leases.first_ends_s) is not None:
            self._wake(ends_s)
        if grant.keep is not None and self._places.any:
            self._wake(now_s + HEARTBEAT_S)

    def _serve(self, *, hot: int = 0, cold: int = 0) -> None:
        """Hand out what there is: what the store granted to each class in the order of the queue, then to who is
        next."""
        limits = self._limits()
        left: dict[Priority, int] = {"hot": hot, "cold": cold}
        while (waiter := self._queue.next(left)) is not None:
            left[waiter.line.priority] -= 1
            if not self._hand(waiter, limits):
                break
        while (waiter := self._queue.next()) is not None and self._hand(waiter, limits):
            pass

    def _tell_reason(self) -> None:
        """Those who wait hear what for, where that has changed."""
        reason = self.reason
        if reason != self._reason:
            self._reason = reason
            for waiter in self._queue:
                if waiter.tell is not None:
                    waiter.tell(reason)

    def _hand(self, waiter: Waiter, limits: Limits) -> bool:
        if waiter.granted.done():  # cancelled, and not gone yet
            self._queue.remove(waiter)
            return True
        permit = self._draw(waiter.cost, limits)
        if permit is None:
            return False
        self._queue.served(waiter)
        waiter.granted.set_result(permit)
        return True

    def _refuse_too_large(self, limits: Limits) -> None:
        """Limits may have become smaller than what waits; only what is at the head would hold others up."""
        for priority in PRIORITIES:
            for waiter in self._queue.listed(priority, FEWEST_LISTED):
                try:
                    check_size(self._model, waiter.cost, limits)
                except PermanentError as error:
                    self._queue.remove(waiter)
                    if not waiter.granted.done():
                        waiter.granted.set_exception(error)

    def _failed(self, ask: Ask, error: BaseException) -> None:
        """Nothing is known of what the store did: what it may have counted stays counted."""
        now_s = self._loop.time()
        self._leases.not_heard(ask.corrections)
        self._pause_untold = self._pause_untold or ask.pause_ms > 0
        if self._failing_since_s is None:
            self._failing_since_s = now_s
        if now_s - self._failing_since_s >= GIVE_UP_S or not isinstance(error, SetupError):
            for waiter in list(self._queue):
                self._queue.remove(waiter)
                if not waiter.granted.done():
                    waiter.granted.set_exception(error)
        if len(self._queue) or self._leases.owes or self._places.in_use:
            self._wake(now_s + HEARTBEAT_S)

    async def _exchanged(self, ask: Ask) -> Grant:
        if self._executor is None:
            return self._store.exchange(self._key, ask)
        return await self._loop.run_in_executor(self._executor, self._store.exchange, self._key, ask)
