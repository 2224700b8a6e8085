"""Sends calls that are claimed: slots, quota, one attempt, its outcome, the retry.

Invariants: nothing is sent while `MOST_AT_RISK` answers are not durable; a call whose lane was stopped is given back
unsent. An attempt is one task's work from the quota to the outcome handed to the recorder, and never raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from random import Random

import orjson

from llm_jobs.engine.calls import Flight, Lane
from llm_jobs.engine.judging import facts_of_failure, facts_of_reply
from llm_jobs.engine.recorder import Recorder
from llm_jobs.engine.telling import Teller
from llm_jobs.errors import CallError, PermanentError, RateLimited
from llm_jobs.ledger.base import Facts, Outcome
from llm_jobs.providers.base import Reply

# A hundred calls sent in one moment are answered in one moment: more answers than one commit takes would be at risk.
START_INTERVAL_S = 0.0005
MOST_AT_RISK = 20

Settle = Callable[[Flight, Facts, Reply | None], None]


class Sender:
    """The slots of all lanes. `settle` ends a flight, `again` asks for the intent of its next attempt, `unsent` gives
    back a call that was not sent, `taken` tells that a lane has room for another claim."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        random: Random,
        teller: Teller,
        settle: Settle,
        again: Callable[[Flight], None],
        unsent: Callable[[Flight], None],
        taken: Callable[[Lane], None],
    ) -> None:
        self._recorder = recorder
        self._random = random
        self._tell = teller
        self._settle = settle
        self._again = again
        self._unsent = unsent
        self._taken = taken
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stalled: set[Lane] = set()  # would send, were fewer answers at risk
        recorder.durable = self._resume

    async def aclose(self) -> None:
        """Cancel the attempts under way. They keep their intents without an outcome, for they may have been paid."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, lane: Lane) -> None:
        """Open slots while calls are ready; the first window one by one, so that its answers do not come at once."""
        while lane.ready and lane.in_flight < lane.concurrency and not lane.starting and self._may_send(lane):
            self._open_slot(lane)
            if lane.opened < lane.concurrency:
                lane.starting = True
                self._loop.call_later(START_INTERVAL_S, self._start_next, lane)

    def record(
        self, flight: Flight, facts: Facts, raw: bytes | None, *, final: bool, recorded: Callable[[], None]
    ) -> None:
        """Have the outcome of the flight's attempt committed, then call `recorded`."""
        outcome = Outcome(
            intent_id=flight.intent_id,
            call_hash=flight.call.call_hash,
            facts=facts,
            final=final,
            request=orjson.dumps(flight.call.request.body),
            answer=raw,
        )
        self._recorder.record(outcome, recorded)

    def _start_next(self, lane: Lane) -> None:
        lane.starting = False
        self.start(lane)

    def _may_send(self, lane: Lane) -> bool:
        if lane.closed:
            return False
        if self._recorder.at_risk >= MOST_AT_RISK:
            self._stalled.add(lane)
            return False
        return True

    def _resume(self) -> None:
        """Outcomes became durable: whoever waited for that goes on."""
        stalled, self._stalled = self._stalled, set()
        for lane in stalled:
            self.start(lane)

    def _open_slot(self, lane: Lane) -> None:
        lane.in_flight += 1
        lane.opened += 1
        task = self._loop.create_task(self._work(lane, lane.ready.popleft()))
        self._taken(lane)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._recorder.give_up(error)

    async def _work(self, lane: Lane, flight: Flight) -> None:
        """One of the lane's slots: attempts what is ready until nothing is."""
        try:
            while True:
                await self._attempt(lane, flight)
                if not lane.ready or not self._may_send(lane):
                    return
                flight = lane.ready.popleft()
                self._taken(lane)
        finally:
            lane.in_flight -= 1

    async def _attempt(self, lane: Lane, flight: Flight) -> None:
        slots = flight.call.gate.slots
        if slots is None:
            await self._send(lane, flight)
        else:
            async with slots:
                await self._send(lane, flight)

    async def _send(self, lane: Lane, flight: Flight) -> None:
        await self._wait_for_quota(flight, lane)
        if lane.closed:
            self._unsent(flight)
            return
        lane.sent += 1
        self._tell.sent(flight)
        call = flight.call
        started_s = self._loop.time()
        raw: bytes | None = None
        try:
            answered = await call.provider.send(call.request, call_hash=call.call_hash, timeout_s=lane.timeout_s)
            raw = answered.raw
            self._tell.answered(flight)
            reply = call.provider.read(call.request, raw)
        except CallError as error:
            self._failed(flight, error, raw, self._loop.time() - started_s)
        except Exception as error:  # noqa: BLE001 - a defect of the provider, met by this call alone
            defect = PermanentError(f"the provider {call.provider.kind} failed with {type(error).__name__}, a defect")
            self._failed(flight, defect, raw, self._loop.time() - started_s)
        else:
            facts = facts_of_reply(call, reply, self._loop.time() - started_s)
            self.record(flight, facts, raw, final=True, recorded=lambda: self._settle(flight, facts, reply))

    async def _wait_for_quota(self, flight: Flight, lane: Lane) -> None:
        wait_s = flight.call.gate.quota.reserve(self._loop.time())
        if wait_s > 0:
            self._tell.waiting(flight, "requests")
            with suppress(TimeoutError):
                await asyncio.wait_for(lane.stop.wait(), wait_s)
            self._tell.waited(flight, wait_s, "requests")

    def _failed(self, flight: Flight, error: CallError, raw: bytes | None, latency_s: float) -> None:
        if isinstance(error, RateLimited):
            flight.rate_limits += 1
        else:
            flight.failures += 1
        delay_s = flight.lane.retry.delay_s(
            error, failures=flight.failures, rate_limits=flight.rate_limits, random=self._random
        )
        facts = facts_of_failure(error, latency_s)
        self._tell.failed(flight, facts, delay_s)
        if delay_s is None:
            self.record(flight, facts, raw, final=True, recorded=lambda: self._settle(flight, facts, None))
        else:
            again_in_s = delay_s
            self.record(flight, facts, raw, final=False, recorded=lambda: self._rest(flight, again_in_s))

    def _rest(self, flight: Flight, seconds: float) -> None:
        if flight.lane.closed:
            self._again(flight)
        else:
            flight.lane.resting[flight] = self._loop.call_later(seconds, self._again, flight)
