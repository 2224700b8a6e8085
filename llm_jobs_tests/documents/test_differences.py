"""What differs between jobs and calls, under which path, and what of it makes another question."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.differences import (
    ABSENT,
    Difference,
    call_differences,
    call_members,
    job_differences,
    paired_steps,
)
from llm_jobs.documents.identity import CallIdentity
from llm_jobs.documents.job import Input, Job, Policy
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import (
    CompoundStep,
    FilterStep,
    GraphStep,
    Message,
    PromptStep,
    RequestStep,
    SplitStep,
    TaskStep,
    asking_steps,
)
from llm_jobs.documents.text_changes import text_change

MODEL = ModelRef(name="m", provider="openai", upstream="m-1", base_url="http://a")
STEP = PromptStep(name="said", model=MODEL, messages=(Message(role="user", content="Say {{ x }}"),))
JOB = Job(name="one", steps=(STEP,), input=Input(kind="inline", digest="d1"))
ENDPOINT = {"provider": "openai", "method": "POST", "base_url": "http://a", "path": "/v1/chat/completions"}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-2, 2) | st.text("ab", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=8,
)


def told(old: Job, new: Job) -> dict[str, str]:
    return {each.path: each.effect for each in job_differences(old, new)}


@given(st.dictionaries(st.text("abc", max_size=3), JSON, max_size=4), st.dictionaries(st.text("abc"), JSON, max_size=4))
def test_two_calls_differ_exactly_where_their_hashes_do(old: dict[str, Any], new: dict[str, Any]) -> None:
    identity = CallIdentity(ENDPOINT)
    a, b = (call_members(endpoint=ENDPOINT, body=body, epoch=None, sample=0) for body in (old, new))
    assert (identity.hash(old) == identity.hash(new)) == (call_differences(a, b) == ())


@pytest.mark.parametrize(
    ("step", "path", "effect"),
    [
        (replace(STEP, parameters={"temperature": 1}), "steps[0].parameters.temperature", "calls"),
        (replace(STEP, parameters={"metadata": {"a": 1}}), "steps[0].parameters.metadata", "job"),
        (replace(STEP, name="other"), "steps[0].name", "job"),
        (replace(STEP, operation="responses"), "steps[0].operation", "calls"),
        (replace(STEP, schema={"type": "string"}), "steps[0].schema", "calls"),
        (replace(STEP, templated=False), "steps[0].templated", "calls"),
        (replace(STEP, native=False), "steps[0].native", "job"),
        (replace(STEP, model=replace(MODEL, digest="sha")), "steps[0].model.digest", "calls"),
        (replace(STEP, model=replace(MODEL, name="alias")), "steps[0].model.name", "nothing"),
        (replace(STEP, model=replace(MODEL, key="OTHER_KEY")), None, None),
    ],
)
def test_a_field_of_a_step_is_named_with_its_effect(step: PromptStep, path: str | None, effect: str | None) -> None:
    assert told(JOB, replace(JOB, steps=(step,), hash="")) == ({} if path is None else {path: effect})


def test_a_schema_that_is_not_sent_asks_nothing_again() -> None:
    old = replace(JOB, steps=(replace(STEP, schema={"type": "string"}, native=False),), hash="")
    new = replace(JOB, steps=(replace(STEP, schema={"type": "number"}, native=False),), hash="")
    assert told(old, new) == {"steps[0].schema.type": "job"}


@pytest.mark.parametrize(
    ("job", "path", "effect"),
    [
        (replace(JOB, epoch="w1", hash=""), "epoch", "calls"),
        (replace(JOB, sample=2, hash=""), "sample", "samples"),
        (replace(JOB, input=Input(kind="inline", digest="d2"), hash=""), "input.rows", "rows"),
        (replace(JOB, input=Input(kind="file", digest="d2", url="/a", format="csv"), hash=""), "input", "rows"),
        (replace(JOB, name="two", hash=""), "name", "nothing"),
        (replace(JOB, policy=Policy(labels={"team": "a"}), hash=""), "labels.team", "nothing"),
        (replace(JOB, steps=(STEP, replace(STEP, name="then")), hash=""), "steps[1]", "calls"),
    ],
)
def test_a_field_of_the_job_is_named_with_its_effect(job: Job, path: str, effect: str) -> None:
    assert told(JOB, job) == {path: effect}
    assert (effect == "nothing") == (job.hash == JOB.hash)


def test_jobs_of_one_hash_differ_in_nothing_that_is_identity() -> None:
    assert told(JOB, replace(JOB)) == {}


def test_a_step_that_is_gone_is_told() -> None:
    two = replace(JOB, steps=(replace(STEP, name="before"), STEP), hash="")
    assert told(two, JOB) == {"steps[0]": "job"}
    assert paired_steps(two, JOB) == [1]
    assert paired_steps(JOB, two) == [None, 0]


def test_renamed_steps_are_paired_in_their_order() -> None:
    old = replace(JOB, steps=(STEP, replace(STEP, name="b")), hash="")
    new = replace(JOB, steps=(replace(STEP, name="x"), replace(STEP, name="b")), hash="")
    assert paired_steps(old, new) == [0, 1]


def test_a_request_that_a_script_made_is_compared_member_by_member() -> None:
    endpoint = Endpoint(provider="openai", base_url="http://a", path="/x")
    step = RequestStep(name="said", model=MODEL, endpoint=endpoint, body={"a": [1, {"b": 2}]})
    old = replace(JOB, steps=(step,), hash="")
    new = replace(JOB, steps=(replace(step, body={"a": [1, {"b": 3}]}, answer_pointer="/x"),), hash="")
    assert told(old, new) == {"steps[0].body.a[1].b": "calls", "steps[0].answer_pointer": "job"}


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("Rate the review from 1 to 10.", "Rate the film from 1 to 10.", "Rate the [-review-]{+film+} from 1 to 10."),
        ("a b c", "a c", "a [-b -]c"),
        ("", "x y", "{+x y+}"),
        ("same", "same", "same"),
        ("x" * 100 + " a", "x" * 100 + " b", "…xxxxxxxxxxx [-a-]{+b+}"),
    ],
)
def test_a_change_of_text_is_shown_where_it_is(old: str, new: str, change: str) -> None:
    assert text_change(old, new) == change


@given(st.lists(st.sampled_from("abcd "), max_size=60), st.lists(st.sampled_from("abcd "), max_size=60))
def test_a_change_of_text_is_short_whatever_changed(old: list[str], new: list[str]) -> None:
    a, b = "".join(old), "".join(new)
    shown = text_change(a * 20, b * 20)
    assert ("[-" in shown or "{+" in shown) == (a != b)


def test_a_text_of_many_words_is_compared_at_once() -> None:
    assert len(text_change("a b " * 100_000, "c d " * 100_000)) < 200


@pytest.mark.parametrize(
    ("old", "new", "shown"), [(1, 2, "1 → 2"), (ABSENT, 2, "absent → 2"), ({"a": 1}, ABSENT, "{'a': 1} → absent")]
)
def test_values_are_shown_beside_each_other(old: object, new: object, shown: str) -> None:
    assert Difference(path="x", old=old, new=new).told() == shown


LARGE = FilterStep(name="large", where="x > 1")
TWICE = TaskStep(name="twice", task="expression", version="1", inputs={"value": "{{ x * 2 }}"}, outputs={"": {}})
TURNS = CompoundStep(name="turns", kind="loop", steps=(replace(STEP, needs=("a",), when="x > 1"),), at_most=2)


def graph_of(*changed: GraphStep) -> Job:
    """The job with these steps, those of the same name changed."""
    by_name = {step.name: step for step in (LARGE, TWICE, TURNS, *changed)}
    return replace(JOB, steps=asking_steps(by_name.values()), graph=tuple(by_name.values()), hash="")


@pytest.mark.parametrize(
    ("step", "path", "effect"),
    [
        (replace(LARGE, where="x > 2"), "steps.large.where", "rows"),
        (replace(TWICE, inputs={"value": "{{ x }}"}), "steps.twice.inputs.value", "calls"),
        (replace(TWICE, needs=()), "steps.twice.needs", "job"),
        (replace(TURNS, at_most=3), "steps.turns.at_most", "rows"),
        (replace(TURNS, steps=(replace(STEP, when="x > 1"),)), "steps[0].needs", "job"),
        (replace(TURNS, steps=(replace(STEP, needs=("a",)),)), "steps[0].when", "rows"),
        (SplitStep(name="part", column="x"), "steps.part", "rows"),
    ],
)
def test_each_member_of_a_graph_is_told(step: GraphStep, path: str, effect: str) -> None:
    old, new = graph_of(), graph_of(step)
    assert told(old, new) == {path: effect}
    assert told(new, old) == {path: effect}
    assert told(old, old) == {}
    assert old.hash != new.hash
