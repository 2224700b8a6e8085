"""What is kept when something other than the ledger ends a session."""

from __future__ import annotations

import asyncio

import pytest

from llm_jobs.engine.gates import ModelGate
from llm_jobs.errors import SetupError
from llm_jobs.limits.base import Ask, Grant, Limits
from llm_jobs.limits.limiter import Limiter
from llm_jobs.providers.base import Reply, Request
from llm_jobs_tests.engine.bench import Bench, bench, memory_ledger, virtual_limiter
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual

ROWS = [{"x": str(number)} for number in range(6)]


class _Unreachable:
    """A store of quotas that nobody can reach."""

    def exchange(self, key: str, ask: Ask) -> Grant:
        raise SetupError("the store of the quotas cannot be reached")

    def migrate(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def test_an_answer_that_came_before_the_session_broke_is_recorded_and_what_was_not_sent_is_given_back() -> None:
    ledger = memory_ledger()
    opened: list[Bench] = []

    class Breaking(ScriptedProvider):
        def read(self, request: Request, raw: bytes) -> Reply:
            opened[0].session.recorder.give_up(SetupError("the store of the quotas cannot be reached"))
            return super().read(request, raw)

    async def scenario() -> None:
        async with bench(Breaking(latency_s=1), ledger) as b:
            opened.append(b)
            await b.complete(ROWS, lane=b.lane(concurrency=1))

    with pytest.raises(SetupError):
        run_virtual(scenario())
    assert ledger.audit().answers == 1
    assert list(ledger.unrecorded()) == []


def test_a_store_of_quotas_that_is_gone_ends_the_session_and_leaves_nothing_that_may_have_been_paid() -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider()

    async def scenario() -> float:
        async with bench(provider, ledger) as b:
            limits = Limits(requests_per_minute=60)
            gate = ModelGate(limiter=Limiter(_Unreachable(), "m", limits=lambda: limits), limits=lambda: limits)
            with pytest.raises(SetupError):
                await b.complete(ROWS, steps=[b.step(gate=gate)])
            return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) < 60
    assert not provider.sent
    assert list(ledger.unrecorded()) == []


def test_calls_that_wait_for_quota_when_a_session_is_cancelled_were_not_paid_and_are_not_listed_so() -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider()

    async def scenario() -> None:
        async with asyncio.timeout(30), bench(provider, ledger) as b:
            gate = ModelGate(limiter=virtual_limiter(Limits(requests_per_minute=2, burst_s=1)))
            await b.complete(ROWS, lane=b.lane(concurrency=4), steps=[b.step(gate=gate)])

    with pytest.raises(TimeoutError):
        run_virtual(scenario())
    assert 0 < sum(provider.sent.values()) < 6
    assert list(ledger.unrecorded()) == []
