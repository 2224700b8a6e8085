"""The caller's promises, on virtual time, with a scripted provider and a real ledger in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.sender import MOST_AT_RISK
from llm_jobs.errors import CallTimeout, PermanentError, RateLimited, TransientError
from llm_jobs.events import CallIntended, CallRecorded, CallSent
from llm_jobs.limits.base import Limits
from llm_jobs_tests.engine.bench import JOB, Bench, bench, memory_ledger, virtual_limiter
from llm_jobs_tests.engine.scripted import ScriptedProvider
from llm_jobs_tests.virtual_time import run_virtual


def rows(*prompts: str) -> list[dict[str, Any]]:
    return [{"x": prompt} for prompt in prompts]


def statuses(completed: list[Any]) -> list[str | None]:
    return [row.status for row in completed]


def test_a_call_asked_by_three_rows_is_sent_once_and_only_the_first_pays() -> None:
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> None:
        async with bench(provider) as b:
            completed = await b.complete(rows("same", "same", "same"))
            assert [row.values["answer"] for row in completed] == ["answer to same"] * 3
            assert [row.settled[0].reused for row in completed] == [False, True, True]

    run_virtual(scenario())
    assert provider.sent == {"same": 1}


def test_an_answer_in_the_ledger_is_never_asked_again() -> None:
    ledger = memory_ledger()
    first, second = ScriptedProvider(), ScriptedProvider()

    async def scenario() -> None:
        async with bench(first, ledger) as b:
            await b.complete(rows("one", "two"))
        async with bench(second, ledger) as b:
            completed = await b.complete(rows("two", "three", "one"))
            assert [row.settled[0].reused for row in completed] == [True, False, True]
            assert [row.values["answer"] for row in completed] == ["answer to two", "answer to three", "answer to one"]

    run_virtual(scenario())
    assert second.sent == {"three": 1}


@pytest.mark.parametrize("status", ["refused", "filtered", "empty"])
def test_an_answer_that_is_no_success_is_kept_with_its_cost_and_asked_again_and_its_neighbours_are_not(
    status: str,
) -> None:
    ledger = memory_ledger()
    first = ScriptedProvider(status=lambda prompt: status if prompt == "bad" else "succeeded")
    second = ScriptedProvider()

    async def scenario() -> None:
        async with bench(first, ledger) as b:
            completed = await b.complete(rows("good", "bad"))
            assert statuses(completed) == ["succeeded", status]
            assert completed[1].values["answer"] == "answer to bad"
            assert completed[1].settled[0].facts.cost_usd == 0.5
        async with bench(second, ledger) as b:
            assert statuses(await b.complete(rows("good", "bad"))) == ["succeeded", "succeeded"]

    run_virtual(scenario())
    assert second.sent == {"bad": 1}


def test_transient_failures_are_retried_and_every_attempt_is_of_record() -> None:
    ledger = memory_ledger()
    faults = {"x": [TransientError("500", http_status=500), CallTimeout("slow"), None]}
    provider = ScriptedProvider(faults=faults)

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            (row,) = await b.complete(rows("x"))
            assert (row.status, row.settled[0].attempts) == ("succeeded", 3)
            attempts = ledger.attempts(row.settled[0].call_hash)
            assert [facts.status for _, facts, _, _ in attempts] == ["failed", "timed_out", "succeeded"]
            assert list(ledger.unrecorded()) == []

    run_virtual(scenario())


def test_retries_come_to_an_end_and_the_row_says_why() -> None:
    provider = ScriptedProvider(faults={"x": [TransientError("bad gateway", http_status=502)] * 9})

    async def scenario() -> None:
        async with bench(provider) as b:
            bad, good = await b.complete(rows("x", "y"), lane=b.lane(max_retries=3))
            assert (bad.status, bad.error) == ("failed", "bad gateway")
            assert good.status == "succeeded"

    run_virtual(scenario())
    assert provider.sent == {"x": 4, "y": 1}


def test_a_permanent_failure_fails_alone_and_at_once() -> None:
    provider = ScriptedProvider(faults={"poison": [PermanentError("no", http_status=400)]})

    async def scenario() -> None:
        async with bench(provider) as b:
            assert statuses(await b.complete(rows("a", "poison", "b"))) == ["succeeded", "failed", "succeeded"]

    run_virtual(scenario())
    assert provider.sent == {"a": 1, "poison": 1, "b": 1}


def test_a_rate_limited_call_waits_as_long_as_the_server_says() -> None:
    provider = ScriptedProvider(faults={"x": [RateLimited("later", wait_s=30.0), None]})

    async def scenario() -> float:
        async with bench(provider) as b:
            await b.complete(rows("x"))
            return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) >= 30.0


def test_no_more_calls_are_in_flight_than_the_lane_allows() -> None:
    provider = ScriptedProvider(latency_s=1)

    async def scenario() -> float:
        async with bench(provider) as b:
            await b.complete(rows(*map(str, range(50))), lane=b.lane(concurrency=5))
            return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) == pytest.approx(10.0, abs=0.5)
    assert provider.most_in_flight == 5


def test_at_most_one_window_is_claimed_ahead_of_what_is_in_flight() -> None:
    ahead: list[int] = []

    async def scenario() -> None:
        provider = ScriptedProvider(latency_s=1)
        async with bench(provider) as b:
            await b.complete(rows(*map(str, range(60))), lane=b.lane(concurrency=5))
            open_intents = 0
            for event in b.events:
                open_intents += isinstance(event, CallIntended)
                open_intents -= isinstance(event, CallSent)
                ahead.append(open_intents)

    run_virtual(scenario())
    assert 0 < max(ahead) <= 5


def test_an_outcome_is_durable_before_anybody_is_told() -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider()
    unknown: list[str] = []

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            emit = b.events.append

            def check(event: Any) -> None:
                if isinstance(event, CallRecorded) and not ledger.look_up([event.call_hash]):
                    unknown.append(event.call_hash)
                emit(event)

            b.session.caller._tell._emit = check
            await b.complete(rows(*map(str, range(20))))
            assert sum(isinstance(event, CallRecorded) for event in b.events) == 20

    run_virtual(scenario())
    assert unknown == []


def test_the_quota_of_a_model_delays_calls_and_loses_none() -> None:
    provider = ScriptedProvider()

    async def scenario() -> float:
        async with bench(provider) as b:
            gate = ModelGate(limiter=virtual_limiter(Limits(requests_per_minute=10)))
            completed = await b.complete(rows(*map(str, range(25))), steps=[b.step(gate=gate)])
            assert statuses(completed) == ["succeeded"] * 25
            return asyncio.get_running_loop().time()

    assert 120.0 < run_virtual(scenario()) < 150.0  # one every six seconds, for bursts are smoothed


async def _two_at_once(first: Bench, second: Bench) -> tuple[list[Any], list[Any]]:
    prompts = rows(*map(str, range(20)))
    one, other = await asyncio.gather(first.complete(prompts), second.complete(prompts))
    return one, other


def test_of_two_owners_that_want_the_same_calls_one_sends_and_both_are_answered() -> None:
    ledger = memory_ledger()
    first, second = ScriptedProvider(latency_s=1), ScriptedProvider(latency_s=1)

    async def scenario() -> None:
        async with bench(first, ledger) as one, bench(second, ledger) as other:
            for completed in await _two_at_once(one, other):
                assert statuses(completed) == ["succeeded"] * 20

    run_virtual(scenario())
    both = first.sent + second.sent
    assert set(both.values()) == {1}
    assert len(both) == 20


def test_who_waits_for_anothers_call_gets_its_failure_too() -> None:
    ledger = memory_ledger()
    faults = {str(n): [PermanentError("no such model", http_status=404)] for n in range(20)}
    first, second = ScriptedProvider(latency_s=1, faults=faults), ScriptedProvider(latency_s=1, faults=faults)

    async def scenario() -> None:
        async with bench(first, ledger) as one, bench(second, ledger) as other:
            for completed in await _two_at_once(one, other):
                assert {(row.status, row.error) for row in completed} == {("failed", "no such model")}

    run_virtual(scenario())
    assert set((first.sent + second.sent).values()) == {1}


def test_a_closed_lane_sends_no_more_and_leaves_no_call_that_may_have_been_paid() -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider(latency_s=10)

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            lane = b.lane(concurrency=2)
            asyncio.get_running_loop().call_later(15, b.session.caller.close_lane, lane)
            completed = await b.complete(rows(*map(str, range(12))), lane=lane)
            assert statuses(completed) == ["succeeded"] * 4 + ["cancelled"] * 8
        assert list(ledger.unrecorded(JOB)) == []

    run_virtual(scenario())
    assert sum(provider.sent.values()) == 4


def test_a_session_that_is_cancelled_records_what_was_in_flight_and_gives_its_claims_back() -> None:
    ledger = memory_ledger()
    first, second = ScriptedProvider(latency_s=10), ScriptedProvider()

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), bench(first, ledger) as b:
                await b.complete(rows("a", "b"))
        async with bench(second, ledger) as b:
            assert statuses(await b.complete(rows("a", "b"))) == ["succeeded"] * 2

    run_virtual(scenario())
    assert second.sent == {"a": 1, "b": 1}


def test_a_session_that_closes_while_claims_are_asked_for_sends_none_of_them_and_leaves_no_task() -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider(latency_s=10)

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            lane = b.lane(concurrency=50)
            work = asyncio.ensure_future(b.complete(rows(*map(str, range(200))), lane=lane))
            while not lane.wanted:
                await asyncio.sleep(0)
        work.cancel()
        left = asyncio.all_tasks() - {asyncio.current_task(), work}
        assert left == set()
        assert list(ledger.unrecorded()) == []

    run_virtual(scenario())
    assert provider.sent == {}


def test_a_call_that_two_jobs_want_goes_on_when_the_time_of_the_first_is_over() -> None:
    provider = ScriptedProvider(latency_s=10)

    async def scenario() -> None:
        async with bench(provider) as b:
            short, patient = b.lane(concurrency=1), b.lane(concurrency=1)
            asyncio.get_running_loop().call_later(5, b.session.caller.close_lane, short)
            prompts = rows("a", "b", "c")
            first, second = await asyncio.gather(b.complete(prompts, lane=short), b.complete(prompts, lane=patient))
            assert statuses(first) == ["succeeded", "cancelled", "cancelled"]
            assert statuses(second) == ["succeeded"] * 3

    run_virtual(scenario())
    assert provider.sent == {"a": 1, "b": 1, "c": 1}


def test_a_job_whose_time_is_over_does_not_wait_for_a_retry_that_is_an_hour_away() -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider(faults={"x": [RateLimited("later", wait_s=3600.0)]})

    async def scenario() -> float:
        async with bench(provider, ledger) as b:
            lane = b.lane()
            asyncio.get_running_loop().call_later(5, b.session.caller.close_lane, lane)
            assert statuses(await b.complete(rows("x"), lane=lane)) == ["cancelled"]
            return asyncio.get_running_loop().time()

    assert run_virtual(scenario()) < 10
    assert list(ledger.unrecorded()) == []


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.002, 0.004, 0.008, 1.0, 1.5, 5.0])
def test_closing_a_lane_at_any_moment_settles_every_row(after_s: float) -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider(latency_s=1, faults={str(n): [TransientError("x")] for n in range(0, 40, 3)})

    async def scenario() -> None:
        async with bench(provider, ledger) as b:
            lane = b.lane(concurrency=4)
            asyncio.get_running_loop().call_later(after_s, b.session.caller.close_lane, lane)
            completed = await b.complete(rows(*map(str, range(40))), lane=lane)
            assert set(statuses(completed)) <= {"succeeded", "cancelled"}
            assert len(completed) == 40
        assert list(ledger.unrecorded()) == []

    run_virtual(scenario())


def test_a_defect_in_who_is_told_ends_the_job_and_does_not_hang_it() -> None:
    async def scenario() -> None:
        async with bench(ScriptedProvider()) as b:
            step = b.step()
            step.outputs.values = _broken  # type: ignore[method-assign]
            await b.complete(rows("a", "b"), steps=[step])

    with pytest.raises(ZeroDivisionError):
        run_virtual(scenario())


def _broken(output: object) -> dict[str, Any]:
    raise ZeroDivisionError


def test_no_more_answers_wait_to_be_durable_than_a_kill_may_cost() -> None:
    most = 0

    async def scenario() -> None:
        nonlocal most
        async with bench(ScriptedProvider()) as b:
            teller = b.session.caller._tell
            tell = teller._emit

            def watch(event: Any) -> None:
                nonlocal most
                most = max(most, b.session.recorder.at_risk)
                tell(event)

            teller._emit = watch
            await b.complete(rows(*map(str, range(500))), lane=b.lane(concurrency=10))

    run_virtual(scenario())
    assert 0 < most <= MOST_AT_RISK + 10


class _Defective(ScriptedProvider):
    def read(self, request: Any, raw: bytes) -> Any:
        if b"bad" in raw:
            raise AttributeError("a provider's defect")
        return super().read(request, raw)


def test_a_providers_defect_fails_the_call_that_met_it_alone() -> None:
    async def scenario() -> None:
        async with bench(_Defective()) as b:
            completed = await b.complete(rows("good", "bad", "fine"))
            assert statuses(completed) == ["succeeded", "failed", "succeeded"]
            assert "AttributeError" in (completed[1].error or "")

    run_virtual(scenario())


def test_an_answer_that_another_job_declared_otherwise_is_judged_again_when_it_is_reused() -> None:
    ledger = memory_ledger()

    async def scenario() -> None:
        async with bench(ScriptedProvider(), ledger) as b:
            assert statuses(await b.complete(rows("a"))) == ["succeeded"]
            step = b.step()
            step.outputs.values = _not_as_declared  # type: ignore[method-assign]
            assert statuses(await b.complete(rows("a"), steps=[step])) == ["invalid"]

    run_virtual(scenario())


def _not_as_declared(output: object) -> dict[str, Any]:
    raise ValueError("not what was declared")


def test_who_waits_for_a_call_that_was_left_unsent_sends_it() -> None:
    ledger = memory_ledger()
    first, second = ScriptedProvider(latency_s=10), ScriptedProvider()

    async def scenario() -> None:
        async with bench(first, ledger) as one, bench(second, ledger) as other:
            lane = one.lane(concurrency=1)
            asyncio.get_running_loop().call_later(3, one.session.caller.close_lane, lane)
            holding = asyncio.ensure_future(one.complete(rows("a", "b"), lane=lane))
            await asyncio.sleep(1)
            assert statuses(await other.complete(rows("a", "b"))) == ["succeeded"] * 2
            assert statuses(await holding) == ["succeeded", "cancelled"]

    run_virtual(scenario())


def test_calls_that_were_in_flight_when_a_session_ended_are_listed_as_perhaps_paid_and_no_others() -> None:
    ledger = memory_ledger()
    provider = ScriptedProvider(latency_s=10)

    async def scenario() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5), bench(provider, ledger) as b:
                await b.complete(rows(*map(str, range(20))), lane=b.lane(concurrency=3))

    run_virtual(scenario())
    assert len(list(ledger.unrecorded())) == sum(provider.sent.values()) == 3


def test_a_job_whose_neighbours_put_many_answers_at_risk_goes_on_when_they_are_durable() -> None:
    provider = ScriptedProvider(latency_s=0.0001)

    async def scenario() -> None:
        async with bench(provider) as b:
            jobs = [
                b.complete(rows(*(f"{job}-{number}" for number in range(400))), lane=b.lane(concurrency=64))
                for job in range(6)
            ]
            for completed in await asyncio.gather(*jobs):
                assert set(statuses(completed)) == {"succeeded"}

    run_virtual(scenario())
    assert sum(provider.sent.values()) == 2400


def test_a_job_that_waits_for_others_answers_to_be_committed_is_woken_by_their_commit_and_not_before() -> None:
    provider = ScriptedProvider()

    async def scenario() -> None:
        async with bench(provider) as b:
            recorder = b.session.recorder
            recorder.at_risk = MOST_AT_RISK  # of a neighbour
            work = asyncio.ensure_future(b.complete(rows("a", "b")))
            await asyncio.sleep(5)
            assert provider.sent == {}
            recorder.at_risk = 0
            recorder.safe()
            assert statuses(await asyncio.wait_for(work, 60)) == ["succeeded"] * 2

    run_virtual(scenario())
