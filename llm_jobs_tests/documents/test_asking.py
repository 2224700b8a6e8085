"""Keys that say how a job is paid for, sent and followed, and which models answer: what they mean, and mistakes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.documents.job import Budget, FollowUp, Policy
from llm_jobs.documents.parsed import ParsedChoice, ParsedDocument, ParsedPrompt
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, Problem


def document(prompt: str = "model: m", members: str = "") -> str:
    return f"job:\n  name: j\n  {members}\n  prompts:\n    - name: a\n      text: hi\n      {prompt}\n"


def parsed(text: str, **options: Any) -> ParsedDocument:
    (found,) = parse_document("j.yaml", text.encode(), **options)
    return found


def first(found: ParsedDocument) -> ParsedPrompt:
    step = found.steps[0]
    assert isinstance(step, ParsedPrompt)
    return step


def problems_of(text: str, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parsed(text, **options)
    return caught.value.problems


def rules(said: str, prompt: str = "model: m") -> Any:
    """The rules of a prompt that says `on_status: {said}`."""
    return parsed(document(f"{prompt}\n      on_status: {{{said}}}")).policy.on_status["a"]


def test_budget_and_mode_are_policy() -> None:
    text = document("model: m\n      mode: online", "budget: {max_cost_usd: 2, max_tokens: 10}\n  mode: batch")
    policy = parsed(text).policy
    assert policy.budget == Budget(max_cost_usd=2.0, max_tokens=10)
    assert (policy.mode, policy.mode_of("a"), policy.mode_of("other")) == ("batch", "online", "batch")
    assert parsed(document()).policy.mode_of("a") == "online"


def test_a_profile_replaces_budget_mode_and_models_and_joins_rules() -> None:
    text = document(
        "models: {x: 1, y: 1}\n      mode: batch\n      on_status: {empty: give_up, refused: ask_again}",
        "profiles: {p: {model: z, mode: online, budget: {max_tokens: 5}, on_status: {empty: ask_again}}}",
    )
    found = parsed(text, profile="p")
    assert (first(found).model, first(found).choice) == ("z", None)
    assert (found.policy.mode_of("a"), found.policy.budget) == ("online", Budget(max_tokens=5))
    again = (FollowUp(action="ask_again"),)
    assert found.policy.on_status == {"a": {"empty": again, "refused": again}}


@pytest.mark.parametrize(
    ("said", "status", "meant"),
    [
        ("truncated: ask_again", "truncated", FollowUp(action="ask_again", factor=2.0)),
        ("truncated: {ask_again: {max_tokens: 4x}}", "truncated", FollowUp(action="ask_again", factor=4.0)),
        ("truncated: {ask_again: {max_tokens: 1.5x}}", "truncated", FollowUp(action="ask_again", factor=1.5)),
        ("truncated: {ask_again: {max_tokens: 900}}", "truncated", FollowUp(action="ask_again", max_tokens=900)),
        (
            "truncated: {ask_again: {up_to: 9000}}",
            "truncated",
            FollowUp(action="ask_again", factor=2.0, up_to=9000, times=10),
        ),
        ("invalid: repair", "invalid", FollowUp(action="repair")),
        ("invalid: {repair: {times: 3}}", "invalid", FollowUp(action="repair", times=3)),
        ("empty: {ask_again: {times: 2}}", "empty", FollowUp(action="ask_again", times=2)),
        ("filtered: {model: other}", "filtered", FollowUp(action="model", model="other")),
    ],
)
def test_what_a_rule_means(said: str, status: str, meant: FollowUp) -> None:
    assert rules(said) == {status: (meant,)}


def test_several_rules_are_followed_in_order_and_giving_up_is_none() -> None:
    assert rules("invalid: [repair, {model: other}], refused: give_up") == {
        "invalid": (FollowUp(action="repair"), FollowUp(action="model", model="other")),
        "refused": (),
    }


def test_a_prompt_s_rule_stands_in_the_place_of_the_job_s() -> None:
    text = document("model: m\n      on_status: {empty: give_up}", "on_status: {empty: ask_again, refused: ask_again}")
    assert parsed(text).policy.on_status["a"] == {"empty": (), "refused": (FollowUp(action="ask_again"),)}


@pytest.mark.parametrize(
    ("prompt", "members", "model", "choice"),
    [
        ("models: {b: 2, a: }", "", "a", ParsedChoice(kind="weighted", models=(("a", None), ("b", 2.0)))),
        ("models: [b, {name: a, weight: 3}]", "", "a", ParsedChoice(kind="weighted", models=(("a", 3.0), ("b", None)))),
        ("fallback: [b, a]", "", "b", ParsedChoice(kind="fallback", models=(("b", None), ("a", None)))),
        ("model: c\n      fallback: [b]", "", "c", ParsedChoice(kind="fallback", models=(("c", None), ("b", None)))),
        ("purpose: x", "models: {a: 1, b: 1}", "a", ParsedChoice(kind="weighted", models=(("a", 1.0), ("b", 1.0)))),
        ("model: c", "models: {a: 1, b: 1}", "c", None),
        ("models: {a: 1}", "", "a", None),
        ("fallback: [a]", "", "a", None),
    ],
)
def test_which_models_a_prompt_names(prompt: str, members: str, model: str, choice: ParsedChoice | None) -> None:
    step = first(parsed(document(prompt, members)))
    assert (step.model, step.choice) == (model, choice)


def test_one_chosen_model_stands_for_all_that_are_named() -> None:
    documents = parse_document("j.yaml", document("fallback: [a, b]").encode(), models=["x", "y"])
    assert [(first(found).model, first(found).choice) for found in documents] == [("x", None), ("y", None)]


@pytest.mark.parametrize(
    ("prompt", "members", "key", "told"),
    [
        ("model: m", "budget: {}", "job.budget", "states no limit"),
        ("model: m", "budget: {max_cost_usd: 0}", "job.budget.max_cost_usd", "greater than 0"),
        ("model: m", "budget: {max_usd: 1}", "job.budget.max_usd", "did you mean"),
        ("model: m", "mode: offline", "job.mode", "did you mean 'online'"),
        ("model: m\n      mode: batched", "", "job.prompts[0].mode", "did you mean 'batch'"),
        ("model: m\n      native: of", "", "job.prompts[0].native", "write true or false"),
        ("models: {a: 0}", "", "job.prompts[0].models", "greater than 0"),
        ("models: []", "", "job.prompts[0].models", "at least 1 item"),
        ("models: [a, a]", "", "job.prompts[0].models", "named twice"),
        ("fallback: [a, b, a]", "", "job.prompts[0].fallback", "named twice"),
        ("models: [a]\n      model: b", "", "job.prompts[0].model", "said twice"),
        ("models: [a]\n      fallback: [b]", "", "job.prompts[0].fallback", "said twice"),
        ("fallback: [a, b]\n      endpoint: 'http://x'", "", "job.prompts[0].endpoint", "models.yaml"),
        ("fallback: [a, b]\n      api_key: '${K}'", "", "job.prompts[0].api_key", "models.yaml"),
        ("model: m", "on_status: {truncate: repair}", "job.on_status.truncate", "did you mean 'truncated'"),
        ("model: m", "on_status: {empty: retry}", "job.on_status.empty", "retry is no rule"),
        ("model: m", "on_status: {empty: {retry: {}}}", "job.on_status.empty.retry", "unknown key"),
        ("model: m", "on_status: {empty: [{retry: {}}]}", "job.on_status.empty[0].retry", "unknown key"),
        ("model: m", "on_status: {empty: {repair: {}, model: a}}", "job.on_status.empty", "is not one rule"),
        ("model: m", "on_status: {empty: []}", "job.on_status.empty", "at least 1 item"),
        ("model: m", "on_status: {empty: [give_up, ask_again]}", "job.on_status.empty[0]", "beside other rules"),
        ("model: m", "on_status: {refused: repair}", "job.on_status.refused", "cannot be repaired"),
        ("model: m", "on_status: {refused: fallback}", "job.prompts[0].name", "no list of models"),
        ("model: m", "on_status: {empty: {ask_again: {up_to: 1}}}", "job.on_status.empty.ask_again.up_to", "truncated"),
        (
            "model: m",
            "on_status: {truncated: {ask_again: {max_tokens: 5, up_to: 9}}}",
            "job.on_status.truncated.ask_again.up_to",
            "bounds nothing",
        ),
        *(
            (
                "model: m",
                f"on_status: {{truncated: {{ask_again: {{max_tokens: {limit}}}}}}}",
                "job.on_status.truncated.ask_again.max_tokens",
                "neither a number of tokens nor a factor",
            )
            for limit in ("0", "-1", "1x", "0.5x", "2 x", "true", "1.5", "x")
        ),
        (
            "model: m",
            "on_status: {truncated: {ask_again: {max_token: 2x}}}",
            "job.on_status.truncated.ask_again.max_token",
            "did you mean 'max_tokens'",
        ),
    ],
)
def test_a_mistake_is_refused_where_it_stands(prompt: str, members: str, key: str, told: str) -> None:
    problem = problems_of(document(prompt, members))[0]
    assert problem.key == key
    assert problem.file == "j.yaml"
    assert told in str(problem)


class TestOfAPair:
    def pair(self, **configuration: Any) -> ParsedDocument:
        return parsed(json.dumps({"configuration": {"LLM_name": "m", **configuration}, "prompt": "hi"}))

    def test_what_never_reaches_a_model_is_policy(self) -> None:
        found = self.pair(
            budget={"max_tokens": 9}, mode="batch", priority="hot", on_status={"empty": "ask_again"}, native="off"
        )
        policy = found.policy
        assert (policy.budget, policy.mode, policy.priority) == (Budget(max_tokens=9), "batch", "hot")
        assert policy.on_status == {"answer": {"empty": (FollowUp(action="ask_again"),)}}
        assert (first(found).parameters, first(found).native) == ({}, False)
        assert replace(found, policy=Policy(), steps=()) == replace(self.pair(), steps=())

    def test_what_gateways_and_servers_read_is_a_parameter(self) -> None:
        given = {"priority": 3, "models": ["a", "b"], "fallback": "c"}
        assert first(self.pair(**given)).parameters == given

    @pytest.mark.parametrize(
        ("configuration", "key"),
        [
            ({"mode": "bach"}, "configuration.mode"),
            ({"priority": "warm"}, "configuration.priority"),
            ({"budget": {"max_usd": 1}}, "configuration.budget.max_usd"),
            ({"on_status": {"empty": "fallback"}}, "configuration.on_status"),
        ],
    )
    def test_a_mistake_is_no_parameter(self, configuration: dict[str, Any], key: str) -> None:
        with pytest.raises(DocumentError) as caught:
            self.pair(**configuration)
        assert caught.value.problems[0].key == key


POLICIES = st.fixed_dictionaries(
    {},
    optional={
        "budget": st.fixed_dictionaries({"max_tokens": st.integers(1, 99)}),
        "mode": st.sampled_from(["online", "batch"]),
        "priority": st.sampled_from(["hot", "cold"]),
        "on_status": st.dictionaries(
            st.sampled_from(["refused", "filtered", "empty"]), st.sampled_from(["give_up", "ask_again"])
        ),
    },
)


@settings(max_examples=50)
@given(POLICIES)
def test_budget_mode_and_rules_never_reach_what_is_asked(members: dict[str, Any]) -> None:
    job = {"name": "j", "prompts": [{"name": "a", "text": "hi", "model": "m"}]}
    plain, other = (parsed(json.dumps({"job": value})) for value in (job, {**job, **members}))
    assert replace(plain, policy=Policy()) == replace(other, policy=Policy())
