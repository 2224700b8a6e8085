"""Tells the listener what happens to calls. A fact that nobody wants to hear is not made."""

from __future__ import annotations

from llm_jobs.engine.calls import Call, Flight, Lane, Settled, number_of
from llm_jobs.events import (
    BudgetReached,
    CallAnswered,
    CallFailed,
    CallIntended,
    CallRecorded,
    CallReused,
    CallSent,
    CallWaiting,
    Listener,
    QuotaWaited,
    WaitReason,
    wants,
)
from llm_jobs.ledger.base import Facts


class Teller:
    """Facts about calls, for one listener."""

    def __init__(self, emit: Listener) -> None:
        self._emit = emit
        self._intended = wants(emit, CallIntended)
        self._sent = wants(emit, CallSent)
        self._answered = wants(emit, CallAnswered)
        self._recorded = wants(emit, CallRecorded)
        self._reused = wants(emit, CallReused)

    def intended(self, flight: Flight) -> None:
        if self._intended:
            self._emit(CallIntended(flight.call.call_hash))

    def waiting(self, flight: Flight, reason: WaitReason) -> None:
        call = flight.call
        self._emit(CallWaiting(call.call_hash, flight.lane.job_hash, call.request.model.name, reason))

    def waited(self, flight: Flight, seconds: float, reason: WaitReason) -> None:
        self._emit(QuotaWaited(flight.call.request.model.name, flight.lane.job_hash, seconds, reason))

    def budget_reached(self, lane: Lane, budget: str) -> None:
        self._emit(BudgetReached(lane.job_hash, budget))

    def sent(self, flight: Flight) -> None:
        if self._sent:
            call, request = flight.call, flight.call.request
            self._emit(
                CallSent(
                    call.call_hash,
                    flight.lane.job_hash,
                    request.model.name,
                    request.endpoint.provider,
                    flight.attempt,
                    request.endpoint.base_url,
                    request.endpoint.path,
                    request.body,
                )
            )

    def answered(self, flight: Flight) -> None:
        if self._answered:
            self._emit(CallAnswered(flight.call.call_hash))

    def failed(self, flight: Flight, facts: Facts, retry_in_s: float | None) -> None:
        call = flight.call
        self._emit(
            CallFailed(
                call.call_hash,
                flight.lane.job_hash,
                call.request.model.name,
                facts.error_class or "",
                facts.http_status,
                facts.latency_s or 0.0,
                retry_in_s,
            )
        )

    def recorded(self, call: Call, lane: Lane, settled: Settled) -> None:
        if not self._recorded:
            return
        request, facts = call.request, settled.facts
        self._emit(
            CallRecorded(
                call.call_hash,
                lane.job_hash,
                request.model.name,
                request.endpoint.provider,
                facts.status,
                facts.prompt_tokens,
                facts.completion_tokens,
                facts.cached_tokens,
                facts.reasoning_tokens,
                facts.cost_usd,
                facts.latency_s,
                settled.attempts,
                facts.model_answered,
                facts.finish_reason,
                facts.error_class,
                settled.reply and settled.reply.output,
                settled.answered_ns,
            )
        )

    def reused(self, call: Call, lane: Lane, facts: Facts) -> None:
        if self._reused:
            saved_usd = 0.0 if lane.paid and number_of(call.call_hash) in lane.paid else facts.cost_usd
            self._emit(CallReused(call.call_hash, lane.job_hash, call.request.model.name, saved_usd))
