"""Several models: a choice that depends on the question alone, lists in order, models that are left in peace."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.documents.job import AnswerStatus, FollowUp
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate, ModelChoice
from llm_jobs.documents.steps import Message, PromptStep
from llm_jobs.engine.choosing import order_of
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.stream import OpenRow
from llm_jobs.errors import CallError, CallTimeout, PermanentError, RateLimited, TransientError
from llm_jobs.events import CallFailed, CallRecorded, CallSent, CallWaiting, Event
from llm_jobs.limits.base import Limits
from llm_jobs.providers.base import Answered, Request
from llm_jobs_tests.engine.bench import bench, memory_ledger, virtual_limiter
from llm_jobs_tests.engine.questions import choice, completed, question, through
from llm_jobs_tests.engine.speaking import Said, SpeakingProvider, model
from llm_jobs_tests.virtual_time import run_virtual

Body = Mapping[str, Any]
QUESTIONS = 10_000
WEIGHTS = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0.1, 100), min_size=1)


def ordered(models: ModelChoice, text: str, sample: int = 0, **parameters: JsonValue) -> list[str]:
    step = PromptStep(name="s", model=model("a"), messages=(), parameters=parameters, choice=models)
    order = order_of(step, [lambda: 1.0] * len(models.candidates))([Message(role="user", content=text)], sample)
    return [models.candidates[place].model.upstream for place in order]


def set_of(weights: Mapping[str, float]) -> ModelChoice:
    return choice("weighted", *sorted(weights), weights=[weights[name] for name in sorted(weights)])


def numbered(count: int) -> list[dict[str, JsonValue]]:
    return [{"x": str(number)} for number in range(count)]


@pytest.mark.parametrize(
    "weights",
    [{"a": 1.0, "b": 1.0}, {"a": 3.0, "b": 1.0}, {"a": 90.0, "b": 9.0, "c": 1.0}, {"a": 0.02, "b": 0.01}],
)
def test_each_model_is_asked_in_proportion_to_its_weight(weights: dict[str, float]) -> None:
    models = set_of(weights)
    counted = Counter(ordered(models, str(number))[0] for number in range(QUESTIONS))
    for name, weight in weights.items():
        share = weight / sum(weights.values())
        deviation = (QUESTIONS * share * (1 - share)) ** 0.5
        assert abs(counted[name] - QUESTIONS * share) < 4 * deviation


@settings(max_examples=50)
@given(WEIGHTS, st.text(max_size=30), st.floats(0.001, 1000))
def test_the_choice_depends_on_the_question_and_on_the_proportions_alone(
    weights: dict[str, float], text: str, factor: float
) -> None:
    one = ordered(set_of(weights), text)
    assert sorted(one) == sorted(weights)
    shuffled = random.Random(1).sample(sorted(weights), len(weights))
    other = choice("weighted", *shuffled, weights=[weights[name] for name in shuffled])
    assert ordered(other, text) == one
    assert ordered(set_of({name: weight * factor for name, weight in weights.items()}), text)[0] == one[0]


@settings(max_examples=50)
@given(WEIGHTS.filter(lambda weights: len(weights) > 1), st.text(max_size=30))
def test_a_model_that_leaves_changes_the_model_of_its_own_questions_alone(weights: dict[str, float], text: str) -> None:
    gone, *_ = weights
    rest = {name: weight for name, weight in weights.items() if name != gone}
    assert ordered(set_of(rest), text) == [name for name in ordered(set_of(weights), text) if name != gone]


def test_what_one_model_receives_beside_the_others_is_no_part_of_the_question() -> None:
    plain = set_of({"a": 1.0, "b": 1.0})
    defaults = [
        Candidate(model=each.model, weight=each.weight, parameters={"temperature": 0} | extra)
        for each, extra in zip(plain.candidates, ({"max_tokens": 4096}, {}), strict=True)
    ]
    stated = ModelChoice(kind="weighted", candidates=tuple(defaults))
    same = ModelChoice(
        kind="weighted",
        candidates=tuple(Candidate(model=d.model, weight=1.0, parameters={"temperature": 0}) for d in defaults),
    )
    texts = [str(number) for number in range(200)]
    assert [ordered(stated, text) for text in texts] == [ordered(same, text) for text in texts]
    assert [ordered(plain, text) for text in texts] != [ordered(same, text) for text in texts]


def test_the_samples_of_one_question_are_shared_among_the_models() -> None:
    models = set_of({"a": 1.0, "b": 1.0})
    assert {ordered(models, "one question", sample)[0] for sample in range(20)} == {"a", "b"}


def test_rows_say_which_model_was_asked_and_why_whatever_their_order() -> None:
    models = choice("weighted", "a", "b", "c")
    provider = SpeakingProvider(lambda body: "yes")
    rows = completed(provider, numbered(60), question(models=models))
    assert {row.model_reason for row in rows} == {"weighted"}
    assert {row.model for row in rows} == {"speaking/a", "speaking/b", "speaking/c"}
    again = completed(SpeakingProvider(lambda body: "yes"), numbered(60)[::-1], question(models=models))
    assert [row.model for row in again[::-1]] == [row.model for row in rows]
    plain = completed(SpeakingProvider(lambda body: "yes"), numbered(60)[:1], question())
    assert (plain[0].model, plain[0].model_reason) == ("speaking/m", None)


@pytest.mark.parametrize(
    ("error", "sent", "why"),
    [
        (PermanentError("no such model", http_status=404), 1, "failed"),
        (TransientError("down", http_status=500), 3, "failed"),
        (CallTimeout("late"), 3, "timed_out"),
        (RateLimited("later", wait_s=None), 21, "rate_limited"),
    ],
)
def test_the_next_of_a_list_answers_when_the_one_before_failed_for_good(error: CallError, sent: int, why: str) -> None:
    provider = SpeakingProvider(lambda body: error if body["model"] == "a" else "yes")
    (row,) = completed(provider, numbered(1), question(models=choice("fallback", "a", "b", "c")))
    assert (row.status, row.values["answer"]) == ("succeeded", "yes")
    assert (row.model, row.model_reason) == ("speaking/b", f"fallback: speaking/a {why}")
    assert provider.asked == {"a": sent, "b": 1}
    assert sum(settled.attempts for settled in row.settled) == sent + 1
    assert row.settled[-1].facts.model_answered == "b-2026-01-01"


def test_a_list_that_fails_to_its_end_is_a_failed_row_with_the_last_reason() -> None:
    provider = SpeakingProvider(lambda body: PermanentError(f"{body['model']} is gone", http_status=404))
    (row,) = completed(provider, numbered(1), question(models=choice("fallback", "a", "b")))
    assert (row.status, row.error, len(row.settled)) == ("failed", "b is gone", 2)
    assert row.model_reason == "fallback: speaking/a failed"


def test_a_list_is_for_failures_and_a_refusal_is_an_answer_unless_a_rule_says_otherwise() -> None:
    def speech(body: Body) -> Said:
        return ("no", "refused") if body["model"] == "a" else "yes"

    models = choice("fallback", "a", "b")
    (row,) = completed(SpeakingProvider(speech), numbered(1), question(models=models))
    assert (row.status, row.model_reason) == ("refused", "first")
    rules: Mapping[AnswerStatus, Sequence[FollowUp]] = {"refused": (FollowUp(action="fallback"),)}
    (row,) = completed(SpeakingProvider(speech), numbered(1), question(models=models, rules=rules))
    assert (row.status, row.model_reason) == ("succeeded", "fallback: speaking/a refused")


def test_any_recorded_answer_of_a_list_is_taken_so_that_a_second_run_buys_nothing() -> None:
    ledger = memory_ledger()
    models = choice("fallback", "a", "b")
    broken = SpeakingProvider(lambda body: PermanentError("gone") if body["model"] == "a" else "yes")
    completed(broken, numbered(20), question(models=models), ledger=ledger)
    well = SpeakingProvider(lambda body: "yes")
    rows = completed(well, numbered(21), question(models=models), ledger=ledger)
    assert well.asked == {"a": 1}
    assert [row.model_reason for row in rows] == ["answered before"] * 20 + ["first"]
    assert [row.settled[0].reused for row in rows] == [True] * 20 + [False]


def test_a_recorded_answer_does_not_change_the_choice_of_a_weighted_set() -> None:
    ledger, models = memory_ledger(), choice("weighted", "a", "b")
    fresh = completed(SpeakingProvider(lambda body: "yes"), numbered(40), question(models=models))
    completed(
        SpeakingProvider(lambda body: "yes"), numbered(40), question(models=choice("fallback", "a", "c")), ledger=ledger
    )
    rows = completed(SpeakingProvider(lambda body: "yes"), numbered(40), question(models=models), ledger=ledger)
    assert [row.model for row in rows] == [row.model for row in fresh]
    assert {row.settled[0].reused for row in rows if row.model == "speaking/a"} <= {True}


def test_weights_that_are_left_open_are_those_of_the_catalogue_at_each_call() -> None:
    weights = {"a": 1.0, "b": 1.0}
    provider = SpeakingProvider(lambda body: "yes")
    models = choice("weighted", "a", "b", weights=[None, None])
    even = completed(provider, numbered(60), question(models=models), weights=weights)
    stated = completed(
        SpeakingProvider(lambda body: "yes"), numbered(60), question(models=choice("weighted", "a", "b"))
    )
    assert [row.model for row in even] == [row.model for row in stated]

    def turned(body: Body) -> Said:
        weights["a"] = 1e9
        return "yes"

    later = completed(SpeakingProvider(turned), numbered(3000), question(models=models), weights=weights)
    assert {row.model for row in later[-500:]} == {"speaking/a"}
    assert {row.model for row in later[:500]} == {"speaking/a", "speaking/b"}


def test_a_changed_weight_of_the_catalogue_buys_nothing_again() -> None:
    ledger, models = memory_ledger(), choice("weighted", "a", "b", weights=[None, 1.0])
    first = completed(SpeakingProvider(lambda body: "yes"), numbered(40), question(models=models), ledger=ledger)
    silent = SpeakingProvider(lambda body: "never")
    rows = completed(silent, numbered(40), question(models=models), ledger=ledger, weights={"a": 1e9})
    assert not silent.bodies
    assert [row.model for row in rows] == [row.model for row in first]
    assert {row.model_reason for row in rows} == {"weighted", "answered before"}


@pytest.mark.parametrize(
    ("kind", "why"), [("weighted", "cooling down"), ("fallback", "fallback: speaking/a cooling down")]
)
def test_a_model_that_fails_again_and_again_is_left_in_peace_and_the_others_answer(kind: str, why: str) -> None:
    provider = SpeakingProvider(lambda body: TransientError("down", http_status=500) if body["model"] == "a" else "yes")
    rows = completed(provider, numbered(500), question(models=choice(kind, "a", "b")), max_retries=20)
    assert {row.status for row in rows} == {"succeeded"}
    assert {row.model for row in rows} == {"speaking/b"}
    assert provider.asked["a"] < 30
    assert Counter(row.model_reason for row in rows)[why] > 100


def test_a_model_that_is_left_in_peace_is_not_waited_for_and_what_it_is_not_sent_is_no_attempt() -> None:
    provider = SpeakingProvider(lambda body: TransientError("down", http_status=500) if body["model"] == "a" else "yes")

    async def scenario() -> tuple[list[OpenRow], list[Event], float]:
        async with bench(provider) as b:
            limits = Limits(requests_per_minute=60)
            gates = {"a": ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits)}
            lane, models = b.lane(concurrency=64), question(models=choice("fallback", "a", "b"))
            rows = await through(b, numbered(300), models, lane=lane, gates=gates)
            assert list(b.ledger.unrecorded()) == []
            assert gates["a"].limiter is not None
            assert (gates["a"].limiter.waiting, gates["a"].limiter.held) == (0, 0)
            return rows, b.events, asyncio.get_running_loop().time()

    rows, events, ended_s = run_virtual(scenario())
    told = [event for event in events if isinstance(event, CallSent | CallFailed)]
    ended = [event for event in events if isinstance(event, CallRecorded) and event.model == "speaking/a"]
    waited = {event.call_hash for event in events if isinstance(event, CallWaiting)}
    asked = provider.asked["a"]
    assert {(row.status, row.model) for row in rows} == {("succeeded", "speaking/b")}
    assert ended_s < 20
    assert Counter(type(event) for event in told if event.model == "speaking/a") == {CallSent: asked, CallFailed: asked}
    assert sum(event.attempts for event in ended) == asked
    assert waited <= {event.call_hash for event in ended}
    assert sum(settled.attempts for row in rows for settled in row.settled) == asked + len(rows)
    assert Counter(row.model_reason for row in rows)["fallback: speaking/a cooling down"] > 250


def test_a_model_that_is_well_again_is_asked_again() -> None:
    sent = Counter[str]()

    def speech(body: Body) -> Said:
        sent[body["model"]] += 1
        return TransientError("down", http_status=500) if body["model"] == "a" and sent["a"] <= 9 else "yes"

    provider = SpeakingProvider(speech, latency_s=0.1)
    rows = completed(provider, numbered(4000), question(models=choice("fallback", "a", "b")), max_retries=20)
    reasons = Counter(row.model_reason for row in rows)
    assert {row.status for row in rows} == {"succeeded"}
    assert reasons["first"] > 500
    assert reasons["fallback: speaking/a cooling down"] > 100


def test_a_model_that_is_well_again_is_asked_again_also_where_its_calls_wait_for_a_quota() -> None:
    sent = Counter[str]()

    def speech(body: Body) -> Said:
        sent[body["model"]] += 1
        return TransientError("down", http_status=500) if body["model"] == "a" and sent["a"] <= 8 else "yes"

    async def scenario() -> list[OpenRow]:
        async with bench(SpeakingProvider(speech, latency_s=0.1)) as b:
            limits = Limits(requests_per_minute=600)
            gates = {"a": ModelGate(limiter=virtual_limiter(limits), limits=lambda: limits)}
            models = question(models=choice("fallback", "a", "b"))
            return await through(b, numbered(2_000), models, lane=b.lane(concurrency=4, max_retries=20), gates=gates)

    rows = run_virtual(scenario())
    reasons = Counter(row.model_reason for row in rows)
    assert {row.status for row in rows} == {"succeeded"}
    assert reasons["first"] > 500
    assert reasons["fallback: speaking/a cooling down"] > 100


@pytest.mark.parametrize("is_fixed", [True, False])
def test_a_model_that_is_paused_does_not_stop_the_others_of_its_choice(is_fixed: bool) -> None:
    in_flight = [0]

    class Counting(SpeakingProvider):
        async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
            in_flight.append(in_flight[-1] + 1)
            try:
                return await super().send(request, call_hash=call_hash, timeout_s=timeout_s)
            finally:
                in_flight.append(in_flight[-1] - 1)

    provider = Counting(lambda body: "yes", latency_s=0.1)

    async def scenario() -> list[OpenRow]:
        async with bench(provider) as b:
            limiter = virtual_limiter(Limits())
            limiter.pause(600.0)
            lane, models = b.lane(concurrency=8), question(models=choice("weighted", "a", "b"))
            lane.is_fixed = is_fixed
            gates = {"a": ModelGate(limiter=limiter)}
            work = asyncio.create_task(through(b, numbered(1_000), models, lane=lane, gates=gates))
            await asyncio.sleep(300)
            assert provider.asked["a"] == 0
            assert provider.asked["b"] > 400
            return await work

    rows = run_virtual(scenario())
    assert {row.status for row in rows} == {"succeeded"}
    assert max(in_flight) == 8


def test_where_every_model_is_unwell_the_calls_are_tried_and_not_given_up() -> None:
    sent = Counter[str]()

    def speech(body: Body) -> Said:
        sent[body["model"]] += 1
        return "yes" if sum(sent.values()) > 60 else TransientError("down", http_status=503)

    rows = completed(
        SpeakingProvider(speech), numbered(30), question(models=choice("weighted", "a", "b")), max_retries=50
    )
    assert {row.status for row in rows} == {"succeeded"}
