"""Sends calls that are claimed: slots, quota, one attempt, its outcome, the retry.

Invariants: nothing is sent while a kill would lose `MOST_AT_RISK` answers, nor while there is no room for its images; a
call whose lane was stopped is given back unsent. An attempt is one task's work from the quota to the outcome handed to
the recorder, and never raises.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from itertools import islice
from random import Random

from llm_jobs.engine.calls import Call, Flight, Lane
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.image_room import ImageRoom
from llm_jobs.engine.judging import defect, facts_of_failure, facts_of_refusal, facts_of_reply
from llm_jobs.engine.recorder import Recorder
from llm_jobs.engine.telling import Teller
from llm_jobs.engine.watched import CoolingDown, WatchedProvider
from llm_jobs.errors import CallError, PermanentError, RateLimited, SetupError
from llm_jobs.ledger.base import Facts, Outcome
from llm_jobs.limits.base import Cost
from llm_jobs.limits.limiter import Permit
from llm_jobs.providers.base import Answered, Reply, Request
from llm_jobs.providers.grouping import group_key, merged, split

# A hundred calls sent in one moment are answered in one moment: more answers than one commit takes would be at risk.
START_INTERVAL_S = 0.0005
MOST_AT_RISK = 20
PAYLOAD_TOO_LARGE = 413
REFUSED_FOR_ITS_CONTENT = frozenset({400, PAYLOAD_TOO_LARGE, 422})

Settle = Callable[[Flight, Facts, Reply | None], None]


class Sender:
    """The slots of all lanes. `settle` ends a flight, `again` asks for the intent of its next attempt, `unsent` gives
    back a call that was not sent, `taken` tells that a lane has room for another claim, `refused` ends a flight whose
    model is left in peace."""

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
        refused: Callable[[Flight, Facts], None],
    ) -> None:
        self._recorder = recorder
        self._random = random
        self._tell = teller
        self._settle = settle
        self._again = again
        self._unsent = unsent
        self._taken = taken
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stalled: set[Lane] = set()  # would send, were fewer answers at risk or fewer images in flight
        self._image_room = ImageRoom()
        recorder.safe = self._resume

    async def aclose(self) -> None:
        """Cancel the attempts under way. They keep their intents without an outcome, for they may have been paid."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, lane: Lane, *, at_most: int = sys.maxsize) -> None:
        """Open slots while calls are ready; the first window one by one, so that its answers do not come at once."""
        while at_most > 0 and self._wants_slot(lane) and not lane.starting and self._may_send(lane):
            at_most -= 1
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
            request=flight.call.request.json(),
            answer=raw,
        )
        self._recorder.record(outcome, recorded, awaited=flight.lane.runs_low())

    def _start_next(self, lane: Lane) -> None:
        lane.starting = False
        self.start(lane)

    def _wants_slot(self, lane: Lane) -> bool:
        return len(lane.ready) > lane.opening and lane.at_work < lane.concurrency

    def _may_send(self, lane: Lane) -> bool:
        """May a ready call of the lane be sent? It is put first. If not, the lane is called when that may change."""
        if lane.closed or self._recorder.broken.done():
            return False
        if self._recorder.at_risk >= MOST_AT_RISK:
            self._stalled.add(lane)
            return False
        if not (lane.ready[0].call.gate.has_room(lane) or self._put_first(lane)):
            return False
        if self._image_room.fits(lane.ready[0].call.request):
            return True
        self._stalled.add(lane)
        return False

    def _put_first(self, lane: Lane) -> bool:
        """Among the lane's models one may have room although another has none."""
        full: set[ModelGate] = set()
        for place, flight in enumerate(lane.ready):
            gate = flight.call.gate
            if gate in full:
                continue
            if gate.has_room(lane):
                del lane.ready[place]
                lane.ready.appendleft(flight)
                return True
            full.add(gate)
            gate.stalled[lane] = None
        return False

    def _resume(self) -> None:
        """Outcomes were committed, or images went: whoever waited for that goes on."""
        stalled, self._stalled = self._stalled, set()
        for lane in stalled:
            self.start(lane)

    def _open_slot(self, lane: Lane) -> None:
        lane.in_flight += 1
        lane.opened += 1
        lane.opening += 1
        self._tasks.add(self._loop.create_task(self._work(lane)))

    async def _work(self, lane: Lane) -> None:
        """One of the lane's slots: attempts what is ready until nothing is."""
        lane.opening -= 1
        try:
            while lane.ready and lane.at_work <= lane.concurrency and self._may_send(lane):
                flight = lane.ready.popleft()
                companions = self._companions(lane, flight) if lane.group > 1 else None
                self._taken(lane)
                if companions:
                    await self._attempt_together(lane, [flight, *companions])
                else:
                    await self._attempt(lane, flight)
                if flight.call.gate.stalled and not self._goes_on(lane, flight.call.gate):
                    return
        except Exception as error:  # noqa: BLE001 - a defect: nobody looks at the task, and the job would wait for ever
            self._recorder.give_up(error)
        finally:
            lane.in_flight -= 1
            self._tasks.discard(asyncio.current_task())

    def _goes_on(self, lane: Lane, gate: ModelGate) -> bool:
        """There is room at the gate: it goes to who waits there, hot lanes first. Is it this lane's turn too?"""
        waits_here = lane.waits_for(gate)
        if waits_here:
            gate.stalled[lane] = None
        room, is_its_turn = gate.room(), False
        while room > 0 and (following := gate.next_lane()) is not None:
            if not following.waits_for(gate):
                continue  # it was closed, or its calls were sent by other slots
            room -= 1
            if following is lane:
                is_its_turn = True
            else:
                self.start(following)
        if is_its_turn and len(lane.ready) > 1:
            gate.stalled[lane] = None
            self.start(lane, at_most=room)  # nobody else waits for what is left
        return is_its_turn or not waits_here

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
        gate, calls = flight.call.gate, (flight.call,)
        if (refusal := _refusal(flight.call)) is not None:
            self._failed(flight, refusal, None, 0.0)
            return
        permit: Permit | None = None
        if gate.limiter is not None:
            permitted = await self._permitted(lane, (flight,))
            if permitted is None:
                return
            if isinstance(permitted, PermanentError):
                self._failed(flight, permitted, None, 0.0)
                return
            permit = permitted
        sent_s = self._enter(lane, (flight,), first=1)
        self._image_room.take(flight.call.request)
        outcome: CallError | tuple[Reply | None, ...] | None = None
        try:
            answered = await self._exchange(flight.call, flight.call.request, lane)
            latency_s = self._loop.time() - sent_s
            if isinstance(answered, CallError):
                outcome = answered
                self._failed(flight, answered, None, latency_s)
            else:
                gate.heard(answered.headers, self._loop.time())
                outcome = (self._answered(flight, answered.raw, latency_s),)
        finally:
            gate.left(lane, calls, outcome, permit, sent_s=sent_s, now_s=self._loop.time())
            if self._image_room.free(flight.call.request) and self._stalled:
                self._loop.call_soon(self._recorder.tell, self._resume)

    async def _attempt_together(self, lane: Lane, flights: Sequence[Flight]) -> None:
        """One request for many calls. What the provider refuses in one of them is found by halving the group, in some
        2 log2(n) requests, and the others are answered."""
        groups, sent = [flights], set[Flight]()
        while groups:
            group = groups.pop()
            if lane.closed:
                for flight in group:
                    self._unsent(flight)
                continue
            refused = await self._attempt_group(lane, group, sent)
            if refused is not None and len(group) > 1 and refused.http_status in REFUSED_FOR_ITS_CONTENT:
                middle = len(group) // 2
                groups += [group[middle:], group[:middle]]
            elif refused is not None:
                for flight in group:
                    self._failed(flight, refused, None, 0.0)

    async def _attempt_group(self, lane: Lane, group: Sequence[Flight], sent: set[Flight]) -> CallError | None:
        """One request; returns why it was refused as a whole. `sent`: flights of this attempt that were sent, to which
        it adds."""
        gate, calls = group[0].call.gate, [flight.call for flight in group]
        if (refusal := _refusal(calls[0])) is not None:
            return refusal
        permit: Permit | None = None
        if gate.limiter is not None:
            permitted = await self._permitted(lane, group)
            if permitted is None or isinstance(permitted, PermanentError):
                return permitted
            permit = permitted
        sent_s = self._enter(lane, group, first=sum(flight not in sent for flight in group))
        sent.update(group)
        outcome: CallError | list[Reply | None] | None = None
        try:
            requests = [call.request for call in calls]
            answered = await self._exchange(calls[0], merged(requests), lane)
            latency_s = self._loop.time() - sent_s
            if isinstance(answered, CallError):
                outcome = answered
                return answered
            gate.heard(answered.headers, self._loop.time())
            answers = _divided(answered.raw, requests)
            if isinstance(answers, CallError):
                outcome = answers
                return answers
            outcome = [self._answered(flight, raw, latency_s) for flight, raw in zip(group, answers, strict=True)]
            return None
        finally:
            gate.left(lane, calls, outcome, permit, sent_s=sent_s, now_s=self._loop.time())

    def _enter(self, lane: Lane, flights: Sequence[Flight], *, first: int) -> float:
        """One request for `flights` is sent now, at the loop's time that is returned. `first`: how many of them are
        sent for the first time in this attempt, and not in a part of a group that was refused."""
        lane.sent += first
        for flight in flights:
            self._tell.sent(flight)
        now_s = self._loop.time()
        flights[0].call.gate.entered(lane, now_s)
        return now_s

    async def _permitted(self, lane: Lane, flights: Sequence[Flight]) -> Permit | PermanentError | None:
        """A place in the model's quota, which all processes share. None: the flights were given back. An error: no
        quota will ever have room for them together."""
        gate, calls = flights[0].call.gate, [flight.call for flight in flights]
        assert gate.limiter is not None
        cost = gate.cost(lane, calls)
        permit: Permit | PermanentError | None = gate.limiter.take(cost, lane.line)
        if permit is not None:
            return permit
        permit = await self._waited(lane, flights, cost)
        while isinstance(permit, PermanentError) and not lane.closed and (less := gate.cost(lane, calls)) != cost:
            cost = less  # the quota was lowered meanwhile
            permit = await self._waited(lane, flights, cost)
        if lane.closed:
            if isinstance(permit, Permit):
                permit.unsent()
            for flight in flights:
                self._unsent(flight)
            return None
        if (refusal := _refusal(calls[0])) is not None:
            if isinstance(permit, Permit):
                permit.unsent()
            return refusal
        is_room = lane.at_work <= lane.concurrency and gate.has_room(lane)
        if isinstance(permit, Permit) and not (is_room and self._image_room.fits(calls[0].request)):
            permit.unsent()
            permit = None
        if permit is None:  # for want of room; or the model cooled down while they waited, and is well again
            lane.put_back(flights)
        return permit

    async def _waited(self, lane: Lane, flights: Sequence[Flight], cost: Cost) -> Permit | PermanentError | None:
        """The permit, when it is their turn. None: the lane was closed, or the model began to cool down. An error: no
        quota will ever have room."""
        limiter, provider = flights[0].call.gate.limiter, flights[0].call.provider
        assert limiter is not None
        reason, started_s = limiter.reason, self._loop.time()
        tell = partial(self._tell.waiting, flights[0])
        acquiring = self._loop.create_task(limiter.acquire(cost, lane.line, tell=tell))
        stopping = self._loop.create_task(lane.stop.wait())
        lane.waiting += 1
        if len(lane.gates) > 1:
            self.start(lane, at_most=1)
        try:
            with provider.ending(acquiring) if isinstance(provider, WatchedProvider) else nullcontext():
                await asyncio.wait((acquiring, stopping), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            lane.ready.extendleft(reversed(flights))  # nothing was sent: whoever closes the lane records that
            raise
        finally:
            lane.waiting -= 1
            stopping.cancel()
            acquiring.cancel()  # gives back what it was granted, unless it is done
        self._tell.waited(flights[0], self._loop.time() - started_s, reason)
        if not acquiring.done() or acquiring.cancelled():
            return None
        try:
            return acquiring.result()
        except PermanentError as error:
            return PermanentError(str(error), http_status=PAYLOAD_TOO_LARGE)
        except SetupError:
            lane.ready.extendleft(reversed(flights))
            raise

    async def _exchange(self, call: Call, request: Request, lane: Lane) -> Answered | CallError:
        """One request at the provider: its answer, or why there is none."""
        try:
            return await call.provider.send(request, call_hash=call.call_hash, timeout_s=lane.timeout_s)
        except CallError as error:
            return error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return defect(call, error)  # not this attempt was cancelled, but something that the provider waited for
        except Exception as error:  # noqa: BLE001 - a defect of the provider, met by this call alone
            return defect(call, error)

    def _answered(self, flight: Flight, raw: bytes, latency_s: float) -> Reply | None:
        """Record the answer; returns what it says, if it can be read."""
        call = flight.call
        self._tell.answered(flight)
        try:
            reply = call.provider.read(call.request, raw)
        except CallError as error:
            self._failed(flight, error, raw, latency_s)
        except Exception as error:  # noqa: BLE001 - a defect of the provider, met by this call alone
            self._failed(flight, defect(call, error), raw, latency_s)
        else:
            facts = facts_of_reply(call, reply, latency_s)
            self.record(flight, facts, raw, final=True, recorded=lambda: self._settle(flight, facts, reply))
            return reply
        return None

    def _failed(self, flight: Flight, error: CallError, raw: bytes | None, latency_s: float) -> None:
        if isinstance(error, CoolingDown):
            unsent = facts_of_refusal(error)
            self.record(flight, unsent, None, final=True, recorded=lambda: self._refused(flight, unsent))
            return
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
            flight.lane.resting[flight] = self._loop.call_later(seconds, self._recorder.tell, self._again, flight)


def _refusal(call: Call) -> CoolingDown | None:
    """Why the call's model is left in peace now."""
    return call.provider.refusal(call.request) if isinstance(call.provider, WatchedProvider) else None


def _divided(raw: bytes, requests: Sequence[Request]) -> list[bytes] | CallError:
    try:
        return split(raw, requests)
    except CallError as error:
        return error
