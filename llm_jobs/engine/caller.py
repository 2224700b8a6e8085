"""The asynchronous caller: look up, claim, limit, call, retry, record, tell.

Invariants: a call is sent only under this process's claim and after its intent is committed; one call hash is in the
air once; its outcome is durable before anybody is told. Bounded: at most one concurrency window of calls is claimed
ahead of those in flight. Nothing here knows of rows, jobs' results or Dagster.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from random import Random

import orjson

from llm_jobs.clock import Clock
from llm_jobs.engine.calls import Call, Done, Flight, Lane, Settled
from llm_jobs.engine.recorder import Recorder
from llm_jobs.errors import CallError, CallTimeout, PermanentError, RateLimited, TransientError
from llm_jobs.events import (
    CallAnswered,
    CallFailed,
    CallIntended,
    CallRecorded,
    CallReused,
    CallSent,
    CallWaiting,
    Listener,
    QuotaWaited,
    wants,
)
from llm_jobs.ledger.base import Answer, Exchange, Facts, Outcome, OutcomeStatus, Want
from llm_jobs.providers.base import Reply

POLL_S = 0.1  # how often calls that another process holds are asked about
POLL_BATCH = 256
# A hundred calls sent in one moment are answered in one moment: more answers than one commit takes would be at risk.
START_INTERVAL_S = 0.0005
MOST_AT_RISK = 20
UNSENT = Facts(status="cancelled", error_class="Cancelled", error="not sent: the job was stopped or its time was over")


class Caller:
    """Answers calls for all lanes of one process. Lives in one event loop."""

    def __init__(self, recorder: Recorder, *, clock: Clock, random: Random, emit: Listener) -> None:
        self._recorder = recorder
        self._clock = clock
        self._random = random
        self._emit = emit
        self._tells_intended = wants(emit, CallIntended)
        self._tells_sent = wants(emit, CallSent)
        self._tells_answered = wants(emit, CallAnswered)
        self._tells_recorded = wants(emit, CallRecorded)
        self._tells_reused = wants(emit, CallReused)
        self._loop = asyncio.get_running_loop()
        self._flights: dict[str, Flight] = {}
        self._waiting: deque[Flight] = deque()  # held by another process
        self._polling = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._lanes: set[Lane] = set()
        self._stalled: set[Lane] = set()  # would send, were fewer answers at risk
        recorder.durable = self._resume

    def ask(self, call: Call, lane: Lane, done: Done) -> None:
        """Have `call` answered; `done` is called once, in the loop, after the outcome is durable."""
        self._lanes.add(lane)
        flight = self._flights.get(call.call_hash)
        if flight is not None:
            flight.askers.append((lane, done))
            return
        flight = Flight(call=call, lane=lane, askers=[(lane, done)])
        self._flights[call.call_hash] = flight
        self._recorder.look_up(call.call_hash, lambda answer: self._looked_up(flight, answer))

    async def aclose(self) -> None:
        """Stop sending. Attempts under way are cancelled: they keep their intents without an outcome, for they may have
        been paid. What is claimed and not sent is recorded as unsent."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for lane in self._lanes:
            self.close_lane(lane)

    def close_lane(self, lane: Lane) -> None:
        """Send no more for `lane`. What is in flight comes to its end; what is not goes on in the lane of another job
        that asked for it too, and is settled as cancelled where there is none."""
        lane.closed = True
        lane.stop.set()
        for flight, timer in list(lane.resting.items()):
            timer.cancel()
            self._want_again(flight)
        while lane.ready:
            self._granted(lane.ready.popleft())
        while lane.pending:
            self._await_claim(lane.pending.popleft())

    def _granted(self, flight: Flight) -> None:
        if self._is_orphaned(flight):
            # Its intent is committed, so the ledger is told that nothing was sent.
            self._record(flight, UNSENT, None, final=True, recorded=partial(self._settle, flight, UNSENT, None))
        else:
            flight.lane.ready.append(flight)
            self._start(flight.lane)

    def _await_claim(self, flight: Flight) -> None:
        if self._is_orphaned(flight):
            self._settle(flight, UNSENT, None, reused=True)
        else:
            flight.lane.pending.append(flight)
            self._pump(flight.lane)

    def _is_orphaned(self, flight: Flight) -> bool:
        """Nobody waits for this call any more. Askers whose lane is closed are told so here, the others inherit it."""
        if self._closing:
            return True
        if flight.lane.closed:
            heirs = [(lane, done) for lane, done in flight.askers if not lane.closed]
            if not heirs:
                return True
            unsent = Settled(
                call_hash=flight.call.call_hash,
                facts=UNSENT,
                reply=None,
                reused=True,
                attempts=0,
                answered_ns=self._clock.now_ns(),
            )
            gone = [done for lane, done in flight.askers if lane.closed]
            flight.askers, flight.lane = heirs, heirs[0][0]
            for done in gone:
                done(unsent)
        return False

    def _looked_up(self, flight: Flight, answer: Answer | None) -> None:
        if answer is not None:
            self._reuse(flight, answer)
        else:
            self._await_claim(flight)

    def _reuse(self, flight: Flight, answer: Answer) -> None:
        call = flight.call
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
        status, reason = self._judge(call, reply)
        return reply, replace(facts, status=status, error=reason)

    def _pump(self, lane: Lane) -> None:
        """Claim up to one window ahead of what is in flight."""
        while lane.pending and not self._stopped(lane) and lane.wanted + len(lane.ready) < lane.concurrency:
            flight = lane.pending.popleft()
            lane.wanted += 1
            self._want(flight, held=False)

    def _want(self, flight: Flight, *, held: bool) -> None:
        call, lane = flight.call, flight.lane
        want = Want(
            call_hash=call.call_hash,
            job_hash=lane.job_hash,
            submission_id=lane.submission_id,
            provider=call.request.endpoint.provider,
            model=call.request.model.name,
            attempt=flight.attempt,
            held=held,
            behind=flight.behind,
        )
        first = not held and flight.behind is None
        self._recorder.want(want, lambda exchange: self._decided(flight, lane, exchange, first=first))

    def _decided(self, flight: Flight, lane: Lane, exchange: Exchange, *, first: bool) -> None:
        call_hash = flight.call.call_hash
        lane.wanted -= first
        if (intent_id := exchange.granted.get(call_hash)) is not None:
            flight.intent_id = intent_id
            flight.behind = None
            if self._tells_intended:
                self._emit(CallIntended(call_hash))
            self._granted(flight)
        elif (answer := exchange.answered.get(call_hash)) is not None:
            self._reuse(flight, answer)
        elif (facts := exchange.failed.get(call_hash)) is not None:
            self._settle(flight, facts, None, reused=True, answered_ns=self._clock.now_ns())
        else:
            if flight.behind is None:
                flight.behind = exchange.busy[call_hash]
                self._emit(CallWaiting(call_hash, lane.job_hash, flight.call.request.model.name, "elsewhere"))
            self._waiting.append(flight)
            self._poll_later()
        self._pump(lane)

    def _may_send(self, lane: Lane) -> bool:
        """Nothing is sent while `MOST_AT_RISK` answers are not durable: a kill loses no more, however slow the disk."""
        if self._stopped(lane):
            return False
        if self._recorder.at_risk >= MOST_AT_RISK:
            self._stalled.add(lane)
            return False
        return True

    def _resume(self) -> None:
        """Outcomes became durable: whoever waited for that goes on."""
        stalled, self._stalled = self._stalled, set()
        for lane in stalled:
            self._start(lane)

    def _stopped(self, lane: Lane) -> bool:
        return lane.closed or self._closing

    def _poll_later(self) -> None:
        if not self._polling:
            self._polling = True
            self._loop.call_later(POLL_S, self._poll)

    def _poll(self) -> None:
        self._polling = False
        for _ in range(min(POLL_BATCH, len(self._waiting))):
            flight = self._waiting.popleft()
            if self._is_orphaned(flight):
                self._settle(flight, UNSENT, None, reused=True)
            else:
                self._want(flight, held=False)
        if self._waiting:
            self._poll_later()

    def _start(self, lane: Lane) -> None:
        """Open slots while calls are ready; the first window one by one, so that its answers do not come at once."""
        while lane.ready and lane.in_flight < lane.concurrency and not lane.starting and self._may_send(lane):
            self._open_slot(lane)
            if lane.opened < lane.concurrency:
                lane.starting = True
                self._loop.call_later(START_INTERVAL_S, self._start_next, lane)

    def _start_next(self, lane: Lane) -> None:
        lane.starting = False
        self._start(lane)

    def _open_slot(self, lane: Lane) -> None:
        lane.in_flight += 1
        lane.opened += 1
        task = self._loop.create_task(self._work(lane, lane.ready.popleft()))
        self._pump(lane)
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
                self._pump(lane)
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
        call = flight.call
        await self._wait_for_quota(call, lane)
        if self._stopped(lane):
            self._granted(flight)
            return
        lane.sent += 1
        if self._tells_sent:
            request = call.request
            self._emit(
                CallSent(call.call_hash, lane.job_hash, request.model.name, request.endpoint.provider, flight.attempt)
            )
        started_s = self._loop.time()
        raw: bytes | None = None
        try:
            answered = await call.provider.send(call.request, call_hash=call.call_hash, timeout_s=lane.timeout_s)
            raw = answered.raw
            if self._tells_answered:
                self._emit(CallAnswered(call.call_hash))
            reply = call.provider.read(call.request, raw)
        except CallError as error:
            self._attempt_failed(flight, error, raw, self._loop.time() - started_s)
        except Exception as error:  # noqa: BLE001 - a defect of the provider, met by this call alone
            defect = PermanentError(f"the provider {call.provider.kind} failed with {type(error).__name__}, a defect")
            self._attempt_failed(flight, defect, raw, self._loop.time() - started_s)
        else:
            self._answered(flight, reply, raw, self._loop.time() - started_s)

    async def _wait_for_quota(self, call: Call, lane: Lane) -> None:
        wait_s = call.gate.quota.reserve(self._loop.time())
        if wait_s > 0:
            model = call.request.model.name
            self._emit(CallWaiting(call.call_hash, lane.job_hash, model, "requests"))
            with suppress(TimeoutError):
                await asyncio.wait_for(lane.stop.wait(), wait_s)
            self._emit(QuotaWaited(model, lane.job_hash, wait_s, "requests"))

    def _answered(self, flight: Flight, reply: Reply, raw: bytes, latency_s: float) -> None:
        call, usage = flight.call, reply.usage
        status, error = self._judge(call, reply)
        facts = Facts(
            status=status,
            model_answered=reply.model,
            finish_reason=reply.finish_reason,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            cost_usd=call.price(usage),
            latency_s=latency_s,
            error=error,
        )
        self._record(flight, facts, raw, final=True, recorded=lambda: self._settle(flight, facts, reply))

    def _judge(self, call: Call, reply: Reply) -> tuple[OutcomeStatus, str | None]:
        if reply.status != "succeeded":
            return reply.status, f"the answer is {reply.status} (finish reason {reply.finish_reason})"
        if call.check is not None:
            try:
                call.check(reply.output)
            except ValueError as error:
                return "invalid", str(error)
        return "succeeded", None

    def _attempt_failed(self, flight: Flight, error: CallError, raw: bytes | None, latency_s: float) -> None:
        if isinstance(error, RateLimited):
            flight.rate_limits += 1
        else:
            flight.failures += 1
        delay_s = flight.lane.retry.delay_s(
            error, failures=flight.failures, rate_limits=flight.rate_limits, random=self._random
        )
        facts = Facts(
            status=_status_of(error),
            latency_s=latency_s,
            http_status=error.http_status,
            error_class=type(error).__name__,
            error=str(error),
        )
        call, lane = flight.call, flight.lane
        self._emit(
            CallFailed(
                call.call_hash,
                lane.job_hash,
                call.request.model.name,
                type(error).__name__,
                error.http_status,
                latency_s,
                delay_s,
            )
        )
        if delay_s is None:
            self._record(flight, facts, raw, final=True, recorded=lambda: self._settle(flight, facts, None))
        else:
            again_in_s = delay_s
            self._record(flight, facts, raw, final=False, recorded=lambda: self._again_later(flight, again_in_s))

    def _again_later(self, flight: Flight, delay_s: float) -> None:
        if self._stopped(flight.lane):
            self._want_again(flight)
        else:
            flight.lane.resting[flight] = self._loop.call_later(delay_s, self._want_again, flight)

    def _want_again(self, flight: Flight) -> None:
        flight.lane.resting.pop(flight, None)
        self._want(flight, held=True)

    def _record(
        self, flight: Flight, facts: Facts, raw: bytes | None, *, final: bool, recorded: Callable[[], None]
    ) -> None:
        outcome = Outcome(
            intent_id=flight.intent_id,
            call_hash=flight.call.call_hash,
            facts=facts,
            final=final,
            request=orjson.dumps(flight.call.request.body),
            answer=raw,
        )
        self._recorder.record(outcome, recorded)

    def _settle(
        self, flight: Flight, facts: Facts, reply: Reply | None, *, reused: bool = False, answered_ns: int | None = None
    ) -> None:
        """Tell everybody who asked. Only the first of them paid."""
        call_hash = flight.call.call_hash
        self._flights.pop(call_hash, None)
        attempts = 0 if reused else max(1, flight.failures + flight.rate_limits + (reply is not None))
        if self._tells_recorded and not reused:
            self._emit(_recorded(flight, facts, attempts))
        if self._tells_reused and reply is not None:
            self._tell_reuse(flight, facts, flight.askers if reused else flight.askers[1:])
        settled = Settled(
            call_hash=call_hash,
            facts=facts,
            reply=reply,
            reused=reused,
            attempts=attempts,
            answered_ns=answered_ns if answered_ns is not None else self._clock.now_ns(),
        )
        flight.askers[0][1](settled)
        if len(flight.askers) > 1:
            again = replace(settled, reused=True, attempts=0)
            for _, done in flight.askers[1:]:
                done(again)

    def _tell_reuse(self, flight: Flight, facts: Facts, askers: list[tuple[Lane, Done]]) -> None:
        call = flight.call
        for lane, _ in askers:
            self._emit(CallReused(call.call_hash, lane.job_hash, call.request.model.name, facts.cost_usd))


def _recorded(flight: Flight, facts: Facts, attempts: int) -> CallRecorded:
    request = flight.call.request
    return CallRecorded(
        flight.call.call_hash,
        flight.lane.job_hash,
        request.model.name,
        request.endpoint.provider,
        facts.status,
        facts.prompt_tokens,
        facts.completion_tokens,
        facts.cached_tokens,
        facts.reasoning_tokens,
        facts.cost_usd,
        facts.latency_s,
        attempts,
        facts.model_answered,
        facts.finish_reason,
        facts.error_class,
    )


def _status_of(error: CallError) -> OutcomeStatus:
    if isinstance(error, RateLimited):
        return "rate_limited"
    if isinstance(error, CallTimeout):
        return "timed_out"
    assert isinstance(error, PermanentError | TransientError)
    return "failed"
