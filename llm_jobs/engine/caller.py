"""The asynchronous caller: look up, claim, limit, call, retry, record, tell.

Invariants: a call is sent only under this process's claim and after its intent is committed; one call hash is in the
air once; its outcome is durable before anybody is told. Bounded: at most one concurrency window of calls is claimed
ahead of those in flight. Nothing here knows of rows, jobs' results or Dagster.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from weakref import WeakSet

from llm_jobs.clock import Clock
from llm_jobs.documents.job import NO_SUCCESS
from llm_jobs.engine.calls import Call, Done, Flight, Lane, Settled, number_of
from llm_jobs.engine.gates import UNKNOWN
from llm_jobs.engine.judging import defect, judge
from llm_jobs.engine.recorder import Recorder
from llm_jobs.engine.sender import Sender
from llm_jobs.engine.telling import Teller
from llm_jobs.errors import CallError
from llm_jobs.events import Listener
from llm_jobs.ledger.base import Answer, Exchange, Facts, OverBudget, Want
from llm_jobs.providers.base import Reply

POLL_S = 0.1  # how soon calls that another process holds are asked about, and how soon again
# A vendor's batch may hold a call for a day: each time that nothing was new it is asked about a little later.
POLL_LATER = 1.2
LONGEST_POLL_S = 5.0
POLL_BATCH = 256
IN_VAIN = 1_000  # calls of a job in a row that had no answer: then they are claimed at once, which finds one too
SHORT_BATCH = 16  # of a job's calls that wait for budget: the others would be told the same
UNSENT = Facts(status="cancelled", error_class="Cancelled", error="not sent: the job was stopped or its time was over")


class Caller:
    """Answers calls for all lanes of one process. Lives in one event loop."""

    def __init__(self, recorder: Recorder, *, clock: Clock, random: Random, emit: Listener) -> None:
        self._recorder = recorder
        self._clock = clock
        self._tell = teller = Teller(emit)
        self._loop = asyncio.get_running_loop()
        self._flights: dict[str, Flight] = {}
        self._waiting: deque[Flight] = deque()  # held by another process
        self._polling = False
        self._poll_s = POLL_S
        self._closing = False
        self._lanes: WeakSet[Lane] = WeakSet()  # a job that has ended leaves nothing here
        self._sender = Sender(
            recorder,
            random=random,
            teller=teller,
            settle=self._settle,
            again=self._want_again,
            unsent=self._granted,
            taken=self._pump,
            refused=self._refused,
        )

    def ask(self, call: Call, lane: Lane, done: Done) -> None:
        """Have `call` answered; `done` is called once, in the loop, after the outcome is durable."""
        self._lanes.add(lane)
        lane.gates.add(call.gate)
        flight = self._flights.get(call.call_hash)
        if flight is not None:
            flight.askers.append((lane, done))
            self._overtake(flight, lane)
            return
        flight = Flight(call=call, lane=lane, askers=[(lane, done)])
        self._flights[call.call_hash] = flight
        if lane.in_vain < IN_VAIN:
            self._recorder.look_up(call.call_hash, partial(self._looked_up, flight))
        else:
            self._await_claim(flight)

    def _overtake(self, flight: Flight, lane: Lane) -> None:
        """A hot job does not stand in a cold one's queue for a call that both ask for: it asks, and pays."""
        queue = flight.lane
        if lane.line.priority == "hot" != queue.line.priority and not lane.closed and flight in queue.pending:
            queue.pending.remove(flight)
            flight.askers.insert(0, flight.askers.pop())
            flight.lane = lane
            self._await_claim(flight)

    async def aclose(self) -> None:
        """Stop sending. Attempts under way are cancelled: they keep their intents without an outcome, for they may have
        been paid. What is claimed and not sent is recorded as unsent."""
        self._closing = True
        for lane in self._lanes:
            lane.closed = True
        await self._sender.aclose()
        for lane in self._lanes:
            self.close_lane(lane)

    def close_lane(self, lane: Lane) -> None:
        """Send no more for `lane`. What is in flight comes to its end; what is not goes on in the lane of another job
        that asked for it too, and is settled as cancelled where there is none. What another job has asked for is not
        waited for."""
        lane.closed = True
        lane.stop.set()
        for flight, timer in list(lane.resting.items()):
            timer.cancel()
            self._want_again(flight)
        while lane.ready:
            self._granted(lane.ready.popleft())
        while lane.short:
            self._await_claim(lane.short.popleft())
        while lane.pending:
            self._await_claim(lane.pending.popleft())
        if not self._closing:
            self._leave_to_others(lane)

    def _leave_to_others(self, lane: Lane) -> None:
        for flight in list(self._flights.values()):
            if flight.lane is not lane and any(asker is lane for asker, _ in flight.askers):
                self._is_inherited(flight, UNSENT, lambda other: other is lane)

    def _granted(self, flight: Flight) -> None:
        if self._is_orphaned(flight):
            # Its intent is committed, so the ledger is told that nothing was sent.
            self._sender.record(flight, UNSENT, None, final=True, recorded=partial(self._left_unsent, flight))
        else:
            flight.lane.ready.append(flight)
            self._sender.start(flight.lane)

    def _left_unsent(self, flight: Flight) -> None:
        """Its claim is given back. Who asked while that was recorded has it claimed again."""
        if self._is_orphaned(flight):
            self._settle(flight, UNSENT, None)
        else:
            self._await_claim(flight)

    def _unsent(self, call: Call, facts: Facts) -> Settled:
        return Settled(
            call_hash=call.call_hash,
            facts=facts,
            reply=None,
            reused=True,
            attempts=0,
            answered_ns=self._clock.now_ns(),
        )

    def _refused(self, flight: Flight, facts: Facts) -> None:
        """Its model is left in peace. What was sent before was an attempt all the same."""
        if flight.attempt == 1:
            self._tell.recorded(flight.call, flight.lane, self._unsent(flight.call, facts))
        self._settle(flight, facts, None, reused=flight.attempt == 1)

    def _await_claim(self, flight: Flight, *, first: bool = False) -> None:
        if self._is_orphaned(flight):
            self._settle(flight, UNSENT, None, reused=True)
            return
        pending = flight.lane.pending
        if first:
            pending.appendleft(flight)
        else:
            pending.append(flight)
        self._pump(flight.lane)

    def _is_orphaned(self, flight: Flight) -> bool:
        """Nobody waits for this call any more. Askers whose lane is closed are told so here, the others inherit it."""
        if self._closing:
            return True
        return flight.lane.closed and not self._is_inherited(flight, UNSENT, lambda lane: lane.closed)

    def _is_inherited(self, flight: Flight, facts: Facts, leaves: Callable[[Lane], bool]) -> bool:
        """Somebody asks for this call in a lane that does not leave, and it is that lane's now. Those who asked in
        lanes that leave are told `facts`. If nobody stays nothing is changed."""
        heirs = [(lane, done) for lane, done in flight.askers if not leaves(lane)]
        if not heirs:
            return False
        unsent = self._unsent(flight.call, facts)
        gone = [done for lane, done in flight.askers if leaves(lane)]
        flight.askers, flight.lane = heirs, heirs[0][0]
        for done in gone:
            done(unsent)
        return True

    def _looked_up(self, flight: Flight, answer: Answer | None) -> None:
        if answer is not None:
            self._reuse(flight, answer)
        else:
            flight.lane.in_vain += 1
            self._await_claim(flight)

    def _reuse(self, flight: Flight, answer: Answer) -> None:
        call = flight.call
        flight.lane.in_vain = 0
        if answer.answer is None:
            erased = replace(answer.facts, status="failed", error_class="Erased", error="the answer was erased")
            self._settle(flight, erased, None, reused=True, answered_ns=answer.recorded_ns)
            return
        reply, facts = self._read_again(call, answer.answer, answer.facts)
        self._settle(flight, facts, reply, reused=True, answered_ns=answer.recorded_ns)

    def _read_again(self, call: Call, raw: bytes, facts: Facts) -> tuple[Reply | None, Facts]:
        """A recorded answer as this asking sees it: another job may declare another schema for the same call."""
        try:
            reply = call.provider.read(call.request, raw)
        except CallError as error:
            return None, replace(facts, status="failed", error_class=type(error).__name__, error=str(error))
        except Exception as error:  # noqa: BLE001 - a defect of the provider, met by this call alone
            met = defect(call, error)
            return None, replace(facts, status="failed", error_class=type(met).__name__, error=str(met))
        status, reason = judge(call, reply)
        if status != facts.status or reason != facts.error:
            facts = replace(facts, status=status, error=reason)
        return reply, facts

    def _pump(self, lane: Lane) -> None:
        """Claim up to one window ahead of what is in flight."""
        while lane.pending and not lane.closed and lane.may_claim():
            self._want(lane.pending.popleft(), held=False)

    def _want(self, flight: Flight, *, held: bool) -> None:
        call, lane = flight.call, flight.lane
        lane.wanted += 1
        provider = call.request.endpoint.provider
        budgets = lane.caps.of(provider, self._clock.now_ns()) if lane.caps else ()
        worst = call.gate.worst(call.request) if budgets else UNKNOWN
        want = Want(
            call_hash=call.call_hash,
            job_hash=lane.job_hash,
            submission_id=lane.submission_id,
            provider=provider,
            model=call.request.model.name,
            attempt=flight.attempt,
            held=held,
            behind=flight.behind,
            worst_tokens=worst.tokens,
            worst_cost_usd=worst.cost_usd,
            budgets=budgets,
        )
        self._recorder.want(want, lambda exchange: self._decided(flight, lane, exchange), awaited=lane.runs_low())

    def _decided(self, flight: Flight, lane: Lane, exchange: Exchange) -> None:
        call_hash = flight.call.call_hash
        lane.wanted -= 1
        if flight.behind is not None and call_hash not in exchange.busy:
            self._poll_s = POLL_S  # what held one of them has ended: others may have too
        if (intent_id := exchange.granted.get(call_hash)) is not None:
            flight.intent_id = intent_id
            flight.behind = None
            self._tell.intended(flight)
            self._granted(flight)
        elif (answer := exchange.answered.get(call_hash)) is not None:
            self._reuse(flight, answer)
        elif (facts := exchange.failed.get(call_hash)) is not None:
            self._failed_elsewhere(flight, facts)
        elif (over := exchange.over_budget.get(call_hash)) is not None:
            self._over_budget(flight, over)
        else:
            if flight.behind is None:
                flight.behind = exchange.busy[call_hash]
                self._poll_s = POLL_S
                self._tell.waiting(flight, "elsewhere")
            self._waiting.append(flight)
            self._poll_later()
        self._pump(lane)

    def _failed_elsewhere(self, flight: Flight, facts: Facts) -> None:
        """It failed for the process that held it, which may have an answer all the same: one that is no success."""
        if facts.status in NO_SUCCESS:
            self._recorder.look_back(flight.call.call_hash, partial(self._heard, flight, facts))
        else:
            self._heard(flight, facts, None)

    def _heard(self, flight: Flight, facts: Facts, answer: Answer | None) -> None:
        """How it ended for the other, and what was said, which is judged as this asking declares; nothing where that
        was erased or cannot be read."""
        reply, answered_ns = None, None
        if answer is not None and answer.answer is not None:
            reply, read = self._read_again(flight.call, answer.answer, answer.facts)
            facts, answered_ns = read if reply is not None else facts, answer.recorded_ns
        self._settle(flight, facts, reply, reused=True, answered_ns=answered_ns)

    def _over_budget(self, flight: Flight, over: OverBudget) -> None:
        """Wait while calls in flight hold what this one needs; otherwise it is not asked for this job, and nothing is
        lost. Another job that asks for it has budgets of its own."""
        lane = flight.lane
        if over.pending and not lane.closed:
            self._tell.waiting(flight, "budget")
            lane.short.append(flight)
            self._poll_later()
            return
        if over.key not in lane.exhausted:
            lane.exhausted.add(over.key)
            self._tell.budget_reached(lane, over.key)
        facts = _not_afforded(flight.call.request.model.name, over.key)
        if self._is_inherited(flight, facts, lambda other: other is lane):
            self._await_claim(flight)
        else:
            self._settle(flight, facts, None, reused=True)

    def _poll_later(self) -> None:
        if not self._polling:
            self._polling = True
            wait_s = POLL_S if any(lane.short for lane in self._lanes) else self._poll_s
            self._loop.call_later(wait_s, self._recorder.tell, self._poll)

    def _poll(self) -> None:
        self._polling = False
        self._poll_s = min(self._poll_s * POLL_LATER, LONGEST_POLL_S)
        for _ in range(min(POLL_BATCH, len(self._waiting))):
            flight = self._waiting.popleft()
            if self._is_orphaned(flight):
                self._settle(flight, UNSENT, None, reused=True)
            else:
                self._want(flight, held=False)
        for lane in self._lanes:
            for _ in range(min(SHORT_BATCH, len(lane.short))):
                self._await_claim(lane.short.popleft(), first=True)
        if self._waiting or any(lane.short for lane in self._lanes):
            self._poll_later()

    def _want_again(self, flight: Flight) -> None:
        flight.lane.resting.pop(flight, None)
        self._want(flight, held=True)

    def _settle(
        self, flight: Flight, facts: Facts, reply: Reply | None, *, reused: bool = False, answered_ns: int | None = None
    ) -> None:
        """Tell everybody who asked. Only the first of them paid."""
        call = flight.call
        self._flights.pop(call.call_hash, None)
        attempts = flight.failures + flight.rate_limits + (reply is not None)
        settled = Settled(
            call_hash=call.call_hash,
            facts=facts,
            reply=reply,
            reused=reused,
            attempts=0 if reused else attempts or int(facts.status != "cancelled"),
            answered_ns=answered_ns if answered_ns is not None else self._clock.now_ns(),
        )
        askers = flight.askers
        if not reused:
            if flight.lane.collected:
                flight.lane.collected.pop(number_of(call.call_hash), None)
            self._tell.recorded(call, flight.lane, settled)
            askers[0][1](settled)
            if len(askers) == 1:
                return
            askers, settled = askers[1:], replace(settled, reused=True, attempts=0)
        for lane, done in askers:
            told = self.taken(call, lane, settled)
            if told.reused and reply is not None:
                self._tell.reused(call, lane, facts)
            done(told)

    def taken(self, call: Call, lane: Lane, settled: Settled) -> Settled:
        """`settled` for the job of `lane`: what a batch of the job ended is not reused, and is told here, once."""
        if not (lane.collected and settled.reused) or settled.facts.status == "cancelled":
            return settled
        attempts = lane.collected.pop(number_of(call.call_hash), 0)
        if not attempts:
            return settled
        lane.sent += 1
        settled = replace(settled, reused=False, attempts=attempts)
        self._tell.recorded(call, lane, settled)
        return settled


def _not_afforded(model: str, budget: str) -> Facts:
    return Facts(
        status="cancelled",
        error_class="OverBudget",
        error=f"not sent: its worst case with {model} does not fit what is left of the budget {budget}; raise it and "
        "run the job again, what is answered is kept",
    )
