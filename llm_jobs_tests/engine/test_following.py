"""What follows an answer that is no success: larger limits, repairs, other samples, other models, each a call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.documents.job import AnswerStatus, FollowUp
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate
from llm_jobs.engine.stream import OpenRow
from llm_jobs.ledger.base import Ledger
from llm_jobs.providers.base import Provider
from llm_jobs.providers.simulated import Fault, SimulatedProvider
from llm_jobs_tests.engine.bench import bench, memory_ledger
from llm_jobs_tests.engine.questions import choice, completed, question, through
from llm_jobs_tests.engine.speaking import Said, SpeakingProvider, model
from llm_jobs_tests.virtual_time import run_virtual

Body = Mapping[str, Any]
SCORE: dict[str, JsonValue] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["score"],
    "properties": {"score": {"type": "integer"}},
}
ROW: dict[str, JsonValue] = {"x": "hello"}


def until(tokens: int) -> Any:
    """A model whose answer needs `tokens` tokens."""

    def speech(body: Body) -> Said:
        return "whole" if body.get("max_tokens", 10_000) >= tokens else ("wh", "length")

    return speech


def larger(**members: Any) -> Mapping[AnswerStatus, Sequence[FollowUp]]:
    return {"truncated": (FollowUp(action="ask_again", **members),)}


def limits(provider: SpeakingProvider) -> list[Any]:
    return [body.get("max_tokens") for body in provider.bodies]


def one(provider: Provider, ledger: Ledger | None = None, **members: Any) -> OpenRow:
    (row,) = completed(provider, [ROW], question(**members), ledger=ledger)
    return row


def test_a_truncated_answer_is_asked_again_with_a_limit_that_grows_until_it_is_whole() -> None:
    provider = SpeakingProvider(until(350))
    row = one(provider, parameters={"max_tokens": 100}, rules=larger(factor=2.0, up_to=1000, times=10))
    assert (row.status, row.values["answer"]) == ("succeeded", "whole")
    assert limits(provider) == [100, 200, 400]
    assert [settled.facts.status for settled in row.settled] == ["truncated", "truncated", "succeeded"]
    assert len({settled.call_hash for settled in row.settled}) == 3


def test_the_limit_grows_no_further_than_its_bound_which_is_asked_once() -> None:
    provider = SpeakingProvider(until(5000))
    row = one(provider, parameters={"max_tokens": 100}, rules=larger(factor=2.0, up_to=500, times=10))
    assert (row.status, row.values["answer"]) == ("truncated", "wh")
    assert limits(provider) == [100, 200, 400, 500]


@pytest.mark.parametrize(
    ("parameters", "rule", "asked"),
    [
        ({"max_tokens": 100}, {"max_tokens": 900}, [100, 900]),
        ({"max_tokens": 100}, {"max_tokens": 100}, [100]),  # the same request is never sent again
        ({"max_tokens": 100}, {"max_tokens": 50}, [100]),
        ({"max_tokens": 100}, {"factor": 1.5}, [100, 150]),
        ({}, {"max_tokens": 20_000}, [None, 20_000]),
        ({}, {"factor": 3.0}, [None, 3]),  # the answer that was cut off had one token
    ],
)
def test_which_limit_follows(parameters: dict[str, JsonValue], rule: dict[str, Any], asked: list[Any]) -> None:
    provider = SpeakingProvider(lambda body: ("wh", "length"))
    assert one(provider, parameters=parameters, rules=larger(**rule)).status == "truncated"
    assert limits(provider) == asked


def test_a_malformed_answer_is_repaired_in_the_same_conversation_with_what_is_wrong_with_it() -> None:
    said = iter(['{"score": "high"}', '{"score": 5}'])
    provider = SpeakingProvider(lambda body: next(said))
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {"invalid": (FollowUp(action="repair", times=2),)}
    row = one(provider, schema=SCORE, rules=rules)
    assert (row.status, row.values["score"]) == ("succeeded", 5)
    first, second = (body["messages"] for body in provider.bodies)
    assert second[: len(first)] == first
    assert second[-2] == {"role": "assistant", "content": '{"score": "high"}'}
    assert second[-1]["role"] == "user"
    assert "score" in second[-1]["content"]
    assert "integer" in second[-1]["content"]
    assert provider.bodies[1]["response_format"] == provider.bodies[0]["response_format"]


def test_repairs_end_after_so_many_and_then_the_next_rule_is_followed() -> None:
    provider = SpeakingProvider(lambda body: '{"score": 1}' if body["model"] == "strong" else "no JSON")
    instead = FollowUp(action="model", model="strong", candidate=Candidate(model=model("strong")))
    rules = {"invalid": (FollowUp(action="repair", times=2), instead)}
    row = one(provider, schema=SCORE, rules=rules)
    assert row.status == "succeeded"
    assert [body["model"] for body in provider.bodies] == ["m", "m", "m", "strong"]
    assert [len(body["messages"]) for body in provider.bodies] == [1, 3, 5, 1]
    assert (row.model, row.model_reason) == ("speaking/strong", "on_status: speaking/m invalid")


@pytest.mark.parametrize("status", ["refused", "filtered", "empty"])
def test_another_sample_is_another_call_of_the_same_question(status: AnswerStatus) -> None:
    said: Iterator[Said] = iter([("no", status), ("no", status), "yes"])
    provider = SpeakingProvider(lambda body: next(said))
    row = one(provider, rules={status: (FollowUp(action="ask_again", times=2),)})
    assert (row.status, row.values["answer"]) == ("succeeded", "yes")
    assert provider.bodies[0] == provider.bodies[1] == provider.bodies[2]
    hashes = [settled.call_hash for settled in row.settled]
    several = completed(SpeakingProvider(lambda body: "yes"), [ROW], question(samples=3), samples=3)
    assert hashes == [other.settled[0].call_hash for other in several]


def test_a_sample_drawn_beside_the_row_s_own_is_no_other_row_s() -> None:
    provider = SpeakingProvider(lambda body: ("", "empty"))
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {"empty": (FollowUp(action="ask_again", times=3),)}
    rows = completed(provider, [ROW], question(rules=rules, samples=4), samples=4)
    assert len({settled.call_hash for row in rows for settled in row.settled}) == 16 == len(provider.bodies)


def test_a_stated_seed_is_moved_on_for_the_same_seed_says_the_same() -> None:
    provider = SpeakingProvider(lambda body: ("no", "refused"))
    one(provider, parameters={"seed": 7}, rules={"refused": (FollowUp(action="ask_again", times=2),)})
    assert [body["seed"] for body in provider.bodies] == [7, 8, 9]


def test_without_rules_the_row_ends_with_its_answer_and_its_status() -> None:
    provider = SpeakingProvider(lambda body: ("no", "refused"))
    row = one(provider, rules={"truncated": (FollowUp(action="ask_again", factor=2.0),)})
    assert (row.status, row.values["answer"], len(provider.bodies)) == ("refused", "no", 1)


def test_every_follow_up_is_recorded_with_its_text_and_is_not_bought_again() -> None:
    ledger, provider = memory_ledger(), SpeakingProvider(until(350))
    members: dict[str, Any] = {"parameters": {"max_tokens": 100}, "rules": larger(factor=2.0, up_to=1000, times=10)}
    first = one(provider, ledger, **members)
    for settled in first.settled:
        (attempt,) = ledger.attempts(settled.call_hash)
        assert attempt[1].status == settled.facts.status
        assert attempt[3] is not None
        assert attempt[1].cost_usd == 0.5


def test_the_same_request_is_not_sent_again_after_a_truncation_in_another_run() -> None:
    ledger, provider = memory_ledger(), SpeakingProvider(until(350))
    first = one(provider, ledger, parameters={"max_tokens": 100})
    again = one(provider, ledger, parameters={"max_tokens": 100})
    assert len(provider.bodies) == 1
    assert (again.status, again.values["answer"]) == (first.status, first.values["answer"]) == ("truncated", "wh")
    assert [settled.reused for settled in again.settled] == [True]
    rules = larger(factor=2.0, up_to=1000, times=10)
    followed = one(provider, ledger, parameters={"max_tokens": 100}, rules=rules)
    assert (followed.status, limits(provider)) == ("succeeded", [100, 200, 400])
    assert [settled.reused for settled in followed.settled] == [True, False, False]
    one(provider, ledger, parameters={"max_tokens": 100}, rules=rules)
    assert len(provider.bodies) == 3


def test_a_row_whose_chain_ended_well_is_not_asked_again_and_one_that_did_not_goes_on_at_its_end() -> None:
    ledger = memory_ledger()
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {
        "refused": (FollowUp(action="ask_again", times=2),),
        "invalid": (FollowUp(action="repair"),),
    }
    said: Iterator[Said] = iter([("no", "refused"), "no JSON", '{"score": 1}'])
    first = one(SpeakingProvider(lambda body: next(said)), ledger, schema=SCORE, rules=rules)
    silent = SpeakingProvider(lambda body: ("", "empty"))
    again = one(silent, ledger, schema=SCORE, rules=rules)
    assert not silent.bodies
    assert (again.status, again.values) == (first.status, first.values)
    assert [each.call_hash for each in again.settled] == [each.call_hash for each in first.settled]
    assert [each.reused for each in again.settled] == [True, True, True]

    ledger, refusing = memory_ledger(), SpeakingProvider(lambda body: ("no", "refused"))
    assert one(refusing, ledger, rules=rules).status == "refused"
    assert len(refusing.bodies) == 3
    well = SpeakingProvider(lambda body: "yes")
    row = one(well, ledger, rules=rules)
    assert (row.status, [each.reused for each in row.settled]) == ("succeeded", [True, True, False])
    assert len(well.bodies) == 1


def test_a_refused_answer_is_asked_again_in_another_run() -> None:
    ledger, provider = memory_ledger(), SpeakingProvider(lambda body: ("no", "refused"))
    one(provider, ledger)
    assert one(provider, ledger).status == "refused"
    assert len(provider.bodies) == 2


def test_a_chain_of_calls_ends_whatever_the_rules_say() -> None:
    said: Iterator[Said] = iter([("wh", "length"), "bad", ("no", "refused"), ("", "empty")] * 100)
    provider = SpeakingProvider(lambda body: next(said))
    endless = FollowUp(action="ask_again", factor=2.0, times=1000)
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {
        "truncated": (endless,),
        "invalid": (FollowUp(action="repair", times=1000),),
        "refused": (endless,),
        "empty": (endless,),
    }
    one(provider, schema=SCORE, rules=rules)
    assert len(provider.bodies) == 33


def test_of_two_processes_that_want_the_same_row_one_asks_and_both_follow_the_whole_chain() -> None:
    ledger = memory_ledger()
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {"invalid": (FollowUp(action="repair"),)}
    asked = question(schema=SCORE, rules=rules)

    def speech(body: Body) -> Said:
        return "no JSON" if len(body["messages"]) == 1 else '{"score": 1}'

    first, second = SpeakingProvider(speech, latency_s=1.0), SpeakingProvider(speech, latency_s=1.0)

    async def scenario() -> None:
        async with bench(first, ledger) as one, bench(second, ledger) as other:
            rows = await asyncio.gather(*(through(b, [ROW], asked) for b in (one, other)))
            assert [[row.status for row in done] for done in rows] == [["succeeded"], ["succeeded"]]
            hashes = [[each.call_hash for each in row.settled] for done in rows for row in done]
            assert hashes[0] == hashes[1]

    run_virtual(scenario())
    assert len(first.bodies) + len(second.bodies) == 2


def test_a_job_that_is_stopped_asks_nothing_more_and_the_row_keeps_what_was_said() -> None:
    provider = SpeakingProvider(lambda body: ("no", "refused"), latency_s=1.0)
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {"refused": (FollowUp(action="ask_again", times=9),)}

    async def scenario() -> None:
        async with bench(provider) as b:
            lane = b.lane()
            asyncio.get_running_loop().call_later(2.5, b.session.caller.close_lane, lane)
            (row,) = await through(b, [ROW], question(rules=rules), lane=lane)
            assert (row.status, row.values["answer"]) == ("refused", "no")

    run_virtual(scenario())
    assert len(provider.bodies) == 3


@pytest.mark.parametrize("status", get_args(AnswerStatus)[:4])
def test_the_simulated_model_s_faults_are_followed_too(status: AnswerStatus) -> None:
    provider = SimulatedProvider(faults=[cast(Fault, status)])
    row = one(provider, parameters={"max_tokens": 9}, rules={status: (FollowUp(action="ask_again", factor=2.0),)})
    assert [settled.facts.status for settled in row.settled] == [status, "succeeded"]
    assert str(row.values["answer"]).startswith("[simulated]")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 4), max_size=4))
def test_chains_that_are_stopped_anywhere_are_taken_up_and_nothing_is_bought_twice(stops_s: list[float]) -> None:
    ledger = memory_ledger()
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {
        "truncated": (FollowUp(action="ask_again", factor=2.0, up_to=1000, times=10),),
        "invalid": (FollowUp(action="repair"),),
        "refused": (FollowUp(action="fallback"),),
    }
    models = choice("fallback", "weak", "strong")
    asked = question(schema=SCORE, rules=rules, models=models, parameters={"max_tokens": 100})

    def speech(body: Body) -> Said:
        if body["model"] == "weak" and "5" in body["messages"][0]["content"]:
            return ("no", "refused")
        if body["max_tokens"] < 200:
            return ("{", "length")
        return "no JSON" if len(body["messages"]) == 1 else '{"score": 1}'

    provider = SpeakingProvider(speech, latency_s=0.7)
    rows: list[dict[str, JsonValue]] = [{"x": str(number)} for number in range(8)]

    async def scenario() -> None:
        for stop_s in [*stops_s, 1000.0]:
            async with bench(provider, ledger) as b:
                lane = b.lane()
                alarm = asyncio.get_running_loop().call_later(stop_s, b.session.caller.close_lane, lane)
                done = await through(b, rows, asked, lane=lane)
                alarm.cancel()
        assert {row.status for row in done} == {"succeeded"}
        assert Counter(row.model for row in done) == {"speaking/weak": 7, "speaking/strong": 1}

    run_virtual(scenario())
    assert set(Counter(map(orjson.dumps, provider.bodies)).values()) == {1}
    assert len(provider.bodies) == 7 * 3 + 4
