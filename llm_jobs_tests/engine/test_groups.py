"""Calls that travel in one request: each keeps its identity, its record and its own failure."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

from llm_jobs.engine.gates import ModelGate, Worst
from llm_jobs.errors import RateLimited
from llm_jobs.events import CallAnswered, CallSent, JobStarted
from llm_jobs.limits.base import Limits
from llm_jobs.observability.counts import Counts
from llm_jobs.providers.base import Answered
from llm_jobs_tests.engine.bench import JOB, bench, memory_ledger, virtual_limiter
from llm_jobs_tests.engine.scripted import MODEL, ScriptedEmbeddings
from llm_jobs_tests.virtual_time import run_virtual

TEXTS = [f"text {number:03}" for number in range(256)]


def embedded(provider: ScriptedEmbeddings, texts: list[str], *, group: int, ledger: Any = None) -> list[Any]:
    completed: list[Any] = []

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            lane, step = b.lane(concurrency=4, group=group), b.step(operation="embeddings")
            completed.extend(await b.complete([{"x": text} for text in texts], lane=lane, steps=[step]))

    run_virtual(scenario())
    return completed


def test_texts_travel_together_and_each_is_answered_and_recorded_by_itself() -> None:
    ledger = memory_ledger()
    provider = ScriptedEmbeddings(latency_s=1)
    completed = embedded(provider, TEXTS, group=64, ledger=ledger)
    assert [row.values["answer"] for row in completed] == [[8.0]] * 256
    assert len(provider.requests) < 20
    assert sorted(text for texts in provider.requests for text in texts) == TEXTS
    assert {row.settled[0].facts.prompt_tokens for row in completed} == {3}
    assert ledger.audit().answers == 256


def test_what_was_answered_in_a_group_is_reused_alone_and_the_other_way_round() -> None:
    ledger = memory_ledger()
    embedded(ScriptedEmbeddings(), TEXTS[:10], group=8, ledger=ledger)
    alone = ScriptedEmbeddings()
    embedded(alone, TEXTS[:12], group=1, ledger=ledger)
    assert sorted(alone.requests) == [[TEXTS[10]], [TEXTS[11]]]
    together = ScriptedEmbeddings()
    embedded(together, TEXTS[:14], group=8, ledger=ledger)
    assert sorted(text for texts in together.requests for text in texts) == TEXTS[12:14]


@pytest.mark.parametrize("poisonous", [0, 100, 255])
def test_one_poisonous_text_is_found_in_logarithmically_many_requests_and_fails_alone(poisonous: int) -> None:
    provider = ScriptedEmbeddings(latency_s=1, poison=frozenset({TEXTS[poisonous]}))
    completed = embedded(provider, TEXTS, group=256)
    assert [row.status for row in completed].count("failed") == 1
    assert completed[poisonous].status == "failed"
    refused = [texts for texts in provider.requests if TEXTS[poisonous] in texts]
    assert len(refused) <= math.log2(256) + 1
    clean = ScriptedEmbeddings(latency_s=1)
    embedded(clean, TEXTS, group=256)
    assert len(provider.requests) <= len(clean.requests) + 2 * math.log2(256)


@pytest.mark.parametrize("poison", [[], [TEXTS[3]], TEXTS[:100]], ids=["none", "one", "all"])
def test_a_call_of_a_group_counts_once_as_sent_however_often_the_group_is_halved_and_each_request_counts(
    poison: list[str],
) -> None:
    provider = ScriptedEmbeddings(latency_s=1, poison=frozenset(poison))
    counts = Counts(now_s=lambda: 0.0)
    counts(JobStarted(JOB, "job", 100))
    in_flight: list[int] = []

    async def scenario() -> int:
        async with bench(provider) as b:
            gate = ModelGate(model=MODEL.name, emit=b.events.append)
            lane, step = b.lane(concurrency=1, group=100), b.step(operation="embeddings", gate=gate)
            await b.complete([{"x": text} for text in TEXTS[:100]], lane=lane, steps=[step])
            for event in b.events:
                if type(event) in counts.wants:
                    counts(event)
                if isinstance(event, CallSent | CallAnswered):
                    in_flight.append(counts.jobs["job"].models[MODEL.name].in_flight)
            return lane.sent

    sent = run_virtual(scenario())
    calls = counts.jobs["job"].models[MODEL.name]
    assert (sent, calls.sent) == (100, len(provider.requests))
    assert (max(in_flight), calls.in_flight) == (max(map(len, provider.requests)), 0)


def test_a_group_that_is_asked_again_after_a_rate_limit_is_sent_again() -> None:
    class Limited(ScriptedEmbeddings):
        async def send(self, request: Any, *, call_hash: str, timeout_s: float) -> Any:
            answered = await super().send(request, call_hash=call_hash, timeout_s=timeout_s)
            if len(self.requests) == 1:
                raise RateLimited("slow down", wait_s=None)
            return answered

    async def scenario() -> tuple[int, int]:
        async with bench(provider := Limited()) as b:
            lane, step = b.lane(concurrency=1, group=8), b.step(operation="embeddings")
            await b.complete([{"x": text} for text in TEXTS[:8]], lane=lane, steps=[step])
            return lane.sent, sum(map(len, provider.requests))

    assert run_virtual(scenario()) == (16, 16)


def test_every_text_of_a_group_may_be_poisonous() -> None:
    provider = ScriptedEmbeddings(poison=frozenset(TEXTS[:8]))
    completed = embedded(provider, TEXTS[:8], group=8)
    assert {(row.status, row.error) for row in completed} == {("failed", "one of the texts is refused")}


def test_a_group_that_is_more_than_a_minute_holds_is_sent_in_parts() -> None:
    provider = ScriptedEmbeddings()

    async def scenario() -> list[Any]:
        async with bench(provider) as b:
            limits = Limits(tokens_per_minute=200, burst_s=60)
            gate = ModelGate(
                limiter=virtual_limiter(limits),
                limits=lambda: limits,
                worst=lambda request: Worst(50, 0, None),
                reserves_worst=True,
            )
            lane, step = b.lane(concurrency=1, group=16), b.step(operation="embeddings", gate=gate)
            return await b.complete([{"x": text} for text in TEXTS[:16]], lane=lane, steps=[step])

    assert {(row.status, row.error) for row in run_virtual(scenario())} == {("succeeded", None)}
    assert max(len(texts) for texts in provider.requests) <= 4


def test_what_is_left_of_a_group_when_its_job_is_stopped_is_not_sent() -> None:
    ledger = memory_ledger()
    provider = ScriptedEmbeddings(latency_s=10, poison=frozenset(TEXTS[:1]))

    async def scenario() -> list[Any]:
        async with bench(provider, ledger) as b:
            gate = ModelGate(limiter=virtual_limiter(Limits()))
            lane, step = b.lane(concurrency=1, group=64), b.step(operation="embeddings", gate=gate)
            asyncio.get_running_loop().call_later(15, b.session.caller.close_lane, lane)
            return await b.complete([{"x": text} for text in TEXTS[:64]], lane=lane, steps=[step])

    completed = run_virtual(scenario())
    assert {row.status for row in completed} == {"cancelled"}
    assert len(provider.requests) == 2
    assert list(ledger.unrecorded()) == []


def test_what_the_vendor_says_is_left_is_heard_of_groups_too() -> None:
    class Telling(ScriptedEmbeddings):
        async def send(self, request: Any, *, call_hash: str, timeout_s: float) -> Any:
            answered = await super().send(request, call_hash=call_hash, timeout_s=timeout_s)
            told = {"remaining": "0", "limit": "100", "reset": "30s"}
            headers = {f"x-ratelimit-{name}-requests": value for name, value in told.items()}
            return Answered(raw=answered.raw, headers=headers)

    provider = Telling(latency_s=0.01)

    async def scenario() -> float:
        async with bench(provider) as b:
            limits = Limits(requests_per_minute=1000, burst_s=60)
            gate = ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits)
            lane, step = b.lane(concurrency=1, group=8), b.step(operation="embeddings", gate=gate)
            completed = await b.complete([{"x": text} for text in TEXTS[:32]], lane=lane, steps=[step])
            assert {row.status for row in completed} == {"succeeded"}
            return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) > 0.5  # of the vendor's hundred some three come back in each second
