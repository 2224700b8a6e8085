"""Sends calls that are claimed: slots, quota, one attempt, its outcome, the retry.

Invariants: nothing is sent while `MOST_AT_RISK` answers are not durable; a call whose lane was stopped is given back
unsent. An attempt is one task's work from the quota to the outcome handed to the recorder, and never raises.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice
from random import Random

import orjson

from llm_jobs.engine.calls import Call, Flight, Lane
from llm_jobs.engine.judging import facts_of_failure, facts_of_reply
from llm_jobs.engine.recorder import Recorder
from llm_jobs.engine.telling import Teller
from llm_jobs.errors import CallError, PermanentError, RateLimited
from llm_jobs.ledger.base import Facts, Outcome
from llm_jobs.providers.base import Reply, Request
from llm_jobs.providers.grouping import group_key, merged, split

# A hundred calls sent in one moment are answered in one moment: more answers than one commit takes would be at risk.
START_INTERVAL_S = 0.0005
MOST_AT_RISK = 20
REFUSED_FOR_ITS_CONTENT = frozenset({400, 413, 422})

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
        while self._has_room(lane) and not lane.starting and self._may_send(lane):
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

    def _has_room(self, lane: Lane) -> bool:
        return len(lane.ready) > lane.opening and lane.in_flight < lane.concurrency

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
        lane.opening += 1
        task = self._loop.create_task(self._work(lane))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._recorder.give_up(error)

    async def _work(self, lane: Lane) -> None:
        """One of the lane's slots: attempts what is ready until nothing is."""
        lane.opening -= 1
        try:
            while lane.ready and self._may_send(lane):
                flight = lane.ready.popleft()
                companions = self._companions(lane, flight) if lane.group > 1 else None
                self._taken(lane)
                if companions:
                    await self._send_together(lane, [flight, *companions])
                else:
                    await self._attempt(lane, flight)
        finally:
            lane.in_flight -= 1

    def _companions(self, lane: Lane, flight: Flight) -> list[Flight]:
        """Ready flights, in order, whose requests may travel with this one's."""
        key = group_key(flight.call.request)
        if key is None:
            return []
        found = list(islice((one for one in lane.ready if group_key(one.call.request) == key), lane.group - 1))
        for one in found:
            lane.ready.remove(one)
        return found

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
        started_s = self._loop.time()
        answered = await self._exchange(flight.call, flight.call.request, lane)
        latency_s = self._loop.time() - started_s
        if isinstance(answered, CallError):
            self._failed(flight, answered, None, latency_s)
        else:
            self._answered(flight, answered, latency_s)

    async def _send_together(self, lane: Lane, flights: Sequence[Flight]) -> None:
        """One request for many calls. What the provider refuses in one of them is found by halving the group, in some
        2 log2(n) requests, and the others are answered."""
        groups = [flights]
        while groups:
            group = groups.pop()
            await self._wait_for_quota(group[0], lane)
            if lane.closed:
                for flight in [flight for one in (group, *groups) for flight in one]:
                    self._unsent(flight)
                return
            lane.sent += len(group)
            for flight in group:
                self._tell.sent(flight)
            requests = [flight.call.request for flight in group]
            started_s = self._loop.time()
            answered = await self._exchange(group[0].call, merged(requests), lane)
            latency_s = self._loop.time() - started_s
            answers = answered if isinstance(answered, CallError) else _divided(answered, requests)
            if not isinstance(answers, CallError):
                for flight, raw in zip(group, answers, strict=True):
                    self._answered(flight, raw, latency_s)
            elif len(group) > 1 and answers.http_status in REFUSED_FOR_ITS_CONTENT:
                middle = len(group) // 2
                groups += [group[middle:], group[:middle]]
            else:
                for flight in group:
                    self._failed(flight, answers, None, latency_s)

    async def _exchange(self, call: Call, request: Request, lane: Lane) -> bytes | CallError:
        """One request at the provider: its answer's bytes, or why there is none."""
        try:
            return (await call.provider.send(request, call_hash=call.call_hash, timeout_s=lane.timeout_s)).raw
        except CallError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a defect of the provider, met by this call alone
            return _defect(call, error)

    def _answered(self, flight: Flight, raw: bytes, latency_s: float) -> None:
        call = flight.call
        self._tell.answered(flight)
        try:
            reply = call.provider.read(call.request, raw)
        except CallError as error:
            self._failed(flight, error, raw, latency_s)
        except Exception as error:  # noqa: BLE001 - a defect of the provider, met by this call alone
            self._failed(flight, _defect(call, error), raw, latency_s)
        else:
            facts = facts_of_reply(call, reply, latency_s)
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


def _divided(raw: bytes, requests: Sequence[Request]) -> list[bytes] | CallError:
    try:
        return split(raw, requests)
    except CallError as error:
        return error


def _defect(call: Call, error: Exception) -> PermanentError:
    return PermanentError(f"the provider {call.provider.kind} failed with {type(error).__name__}, a defect")
