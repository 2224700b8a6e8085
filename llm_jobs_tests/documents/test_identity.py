"""Identity never changes silently, and changes whenever what reaches the model does."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.identity import (
    LARGEST_EXACT_INTEGER,
    TRANSPORT_FIELDS,
    CallIdentity,
    canonical_json,
    hash_of,
    normalised_url,
    rows_digest,
)
from llm_jobs.documents.job import AnswerStatus, Budget, FollowUp, Input, Job, Policy
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Candidate, Endpoint, ModelChoice, ModelRef
from llm_jobs.documents.steps import Message, PromptStep, RequestStep
from llm_jobs_tests.documents.requests import BODIES, Body

OPENAI = Endpoint(provider="openai", base_url="https://api.openai.com/v1", path="/chat/completions")
CHAT: Body = {
    "model": "gpt-4.1-mini",
    "messages": [
        {"role": "system", "content": "Answer briefly."},
        {"role": "user", "content": "Grüße, 你好 😀: what is 2+2?"},
    ],
    "temperature": 0.7,
    "max_tokens": 100,
}
MODEL = ModelRef(
    name="openai/gpt-4.1-mini", provider="openai", upstream="gpt-4.1-mini", base_url="https://api.openai.com/v1"
)
OTHER = replace(MODEL, name="openai/other", upstream="other")
ROWS: tuple[dict[str, JsonValue], ...] = ({"id": 1, "review": "Good"}, {"id": 2, "review": "Bad"})
STEP = PromptStep(
    name="sentiment",
    model=MODEL,
    messages=(Message(role="user", content="Is {{ review }} positive?"),),
    parameters={"temperature": 0, "max_tokens": 5},
)
CANDIDATES = (Candidate(model=MODEL, parameters=STEP.parameters, weight=1.0), Candidate(model=OTHER, weight=3.0))
WEIGHTED = replace(STEP, choice=ModelChoice(kind="weighted", candidates=CANDIDATES))
LISTED = replace(STEP, choice=ModelChoice(kind="fallback", candidates=CANDIDATES))
TABLE = Input(kind="inline", digest=rows_digest(ROWS), rows=ROWS)
FILE = Input(kind="file", digest="ab" * 32, url="/x.csv", format="csv", types={"id": "integer"})
RULES: Mapping[str, Mapping[AnswerStatus, tuple[FollowUp, ...]]] = {"a": {"invalid": (FollowUp(action="repair"),)}}
BATCH = Input(kind="batch", digest="cd" * 32, url="/x.jsonl")

JSON_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST_EXACT_INTEGER, LARGEST_EXACT_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
JSON = st.recursive(
    JSON_SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


def call_hash(body: Body, endpoint: Endpoint = OPENAI, *, epoch: str | None = None, sample: int = 0) -> str:
    return CallIdentity(endpoint.identity(), epoch=epoch, sample=sample).hash(body)


@pytest.mark.parametrize(
    ("endpoint", "options", "golden"),
    [
        pytest.param(OPENAI, {}, "bf478c9bdc16988018a90364f424cf0e", id="chat"),
        pytest.param(OPENAI, {"sample": 3}, "f1a18115cf9dd2b1dadb0f1bf8d019a2", id="sample"),
        pytest.param(OPENAI, {"epoch": "2026-W47"}, "3c17f7a6682b85370e5e139ff565ac19", id="epoch"),
        pytest.param(
            Endpoint(
                provider="anthropic",
                base_url="https://api.anthropic.com",
                path="/v1/messages",
                headers={"anthropic-version": "2023-06-01"},
            ),
            {},
            "804a50c1ee173f9458656f31bba41653",
            id="headers",
        ),
        pytest.param(
            replace(OPENAI, base_url="https://gateway.example/v1", identity_url="https://api.openai.com/v1"),
            {},
            "bf478c9bdc16988018a90364f424cf0e",
            id="identity_url",
        ),
        pytest.param(
            Endpoint(provider="ollama", base_url="http://127.0.0.1:11434", path="/api/chat", digest="sha256:abc"),
            {},
            "d4c034bb49eaafed0a7dec7581f05720",
            id="digest",
        ),
    ],
)
def test_the_hash_of_a_call_is_what_it_always_was(endpoint: Endpoint, options: dict[str, Any], golden: str) -> None:
    assert call_hash(CHAT, endpoint, **options) == golden


@pytest.mark.parametrize(
    ("job", "golden"),
    [
        pytest.param(Job(name="a", steps=(STEP,), input=TABLE), "cdedec33415a55218ba10ce9255f10bf", id="inline"),
        pytest.param(
            Job(name="a", steps=(STEP,), input=TABLE, sample=3, epoch="2026-W47"),
            "d3b814d8b59b46ec80a96b983c876be8",
            id="sample and epoch",
        ),
        pytest.param(Job(name="a", steps=(STEP,), input=FILE), "e73c9700c49ea80e4fbc755c57f2e393", id="file"),
        pytest.param(
            Job(name="a", steps=(RequestStep(name="answer", model=MODEL),), input=BATCH),
            "5f1c4546295cfaf6b7317490806d8d94",
            id="batch",
        ),
        pytest.param(Job(name="a", steps=(WEIGHTED,), input=TABLE), "3f93420aec477470e490d586732e8485", id="weighted"),
        pytest.param(Job(name="a", steps=(LISTED,), input=TABLE), "fb1e788b4e4b8771132436787957186a", id="fallback"),
        pytest.param(
            Job(name="a", steps=(replace(STEP, native=False),), input=TABLE),
            "628e5452131bd6010b41cfc8cfe16759",
            id="native",
        ),
    ],
)
def test_the_hash_of_a_job_is_what_it_always_was(job: Job, golden: str) -> None:
    assert job.hash == golden


def test_the_digest_of_rows_is_what_it_always_was() -> None:
    assert rows_digest(ROWS) == "c85a1e54225717f0c6d0adf6d5d55a01a419b71ca097644b1e2cfedd90ca1727"


def test_the_hash_of_a_call_is_the_sha256_of_the_canonical_form_of_the_whole() -> None:
    whole = {"body": CHAT, "endpoint": OPENAI.identity(), "epoch": "e", "sample": 2, "version": 1}
    expected = hashlib.sha256(rfc8785.dumps(whole)).hexdigest()[:32]  # type: ignore[arg-type]
    assert call_hash(CHAT, epoch="e", sample=2) == expected


@given(JSON)
def test_the_canonical_form_is_that_of_rfc_8785(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


@pytest.mark.parametrize(
    "number",
    [1e21, 1e-7, 123456789012345680.0, 5e-324, 1.7976931348623157e308, -0.0, 1e20, 0.1, 100.0, 9007199254740993.0],
)
def test_numbers_are_written_as_ecmascript_writes_them(number: float) -> None:
    assert canonical_json([number, -number]) == rfc8785.dumps([number, -number])


def test_keys_are_ordered_by_their_utf_16_code_units() -> None:
    keys = {"\ufb33": 1, "😀": 2, "é": 3, "\r": 4, "1": 5, "\u0080": 6}
    assert canonical_json(keys) == rfc8785.dumps(keys)
    assert list(canonical_json(keys).decode()).index("😀") < list(canonical_json(keys).decode()).index("\ufb33")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "not a JSON number"),
        (math.inf, "not a JSON number"),
        (2**53, "outside"),
        ("\ud800", "lone surrogate"),
        ({"\udc00": 1}, "lone surrogate"),
        ({1: 2}, "keys are text"),
        (b"bytes", "not a JSON type"),
        ({1, 2}, "not a JSON type"),
    ],
)
def test_what_has_no_canonical_form_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        canonical_json([value])


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every leaf; an empty list or mapping is one."""
    if isinstance(value, (dict, list)) and value:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))
    else:
        yield path


def changed(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy of `value` with another leaf at `path`."""
    if not path:
        return other(value)
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:])
    return copy


def other(leaf: Any) -> Any:
    if isinstance(leaf, bool) or leaf is None:
        return not leaf
    if isinstance(leaf, (int, float)):
        return leaf + 0.5
    return leaf + "x" if isinstance(leaf, str) else [leaf]


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_changing_any_leaf_of_a_request_makes_another_call(number: int) -> None:
    body = BODIES[number]
    mutants = [changed(body, path) for path in leaves(body)]
    mutants += [{key: item for key, item in body.items() if key != gone} for gone in body]
    hashes = {call_hash(mutant) for mutant in mutants}
    assert call_hash(body) not in hashes
    assert len(hashes) == len(mutants)


def test_forty_different_requests_are_forty_calls() -> None:
    assert len({call_hash(body) for body in BODIES}) == len(BODIES) == 40


def test_the_order_of_members_is_no_identity() -> None:
    for body in BODIES:
        assert call_hash(dict(reversed(list(body.items())))) == call_hash(body)


@pytest.mark.parametrize("field", sorted(TRANSPORT_FIELDS))
def test_how_a_request_travels_is_no_identity(field: str) -> None:
    values: list[JsonValue] = ["x", True, {"a": 1}]
    for value in values:
        assert call_hash({**CHAT, field: value}) == call_hash(CHAT)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: name not in TRANSPORT_FIELDS))
def test_any_other_member_is_identity(name: str) -> None:
    assert call_hash({**CHAT, name: "a value of its own"}) != call_hash(CHAT)


def test_a_transport_field_inside_the_body_is_identity() -> None:
    deep: Body = {**CHAT, "tools": [{"metadata": 1}]}
    assert call_hash(deep) != call_hash({**CHAT, "tools": [{}]})


@pytest.mark.parametrize(
    "endpoint",
    [
        replace(OPENAI, provider="other"),
        replace(OPENAI, base_url="https://other.example/v1"),
        replace(OPENAI, path="/responses"),
        replace(OPENAI, method="PUT"),
        replace(OPENAI, headers={"anthropic-beta": "x"}),
        replace(OPENAI, identity_url="https://other.example/v1"),
        replace(OPENAI, digest="sha256:1"),
    ],
)
def test_another_endpoint_is_another_call(endpoint: Endpoint) -> None:
    assert call_hash(CHAT, endpoint) != call_hash(CHAT)


def test_an_epoch_and_a_sample_make_calls_of_their_own() -> None:
    hashes = {call_hash(CHAT, epoch=epoch, sample=sample) for epoch in (None, "", "a", "b") for sample in (0, 1, 2)}
    assert len(hashes) == 12


@pytest.mark.parametrize(
    "job",
    [
        Job(name="other name", steps=(STEP,), input=TABLE),
        Job(name="a", steps=(STEP,), input=replace(TABLE, url="/elsewhere")),
        Job(name="a", steps=(STEP,), input=TABLE, policy=Policy(version="2", max_retries=0, priority="hot")),
        Job(name="a", steps=(replace(STEP, model=replace(MODEL, name="alias")),), input=TABLE),
        Job(name="a", steps=(STEP,), input=TABLE, policy=Policy(budget=Budget(max_tokens=1), mode="batch")),
        Job(name="a", steps=(STEP,), input=TABLE, policy=Policy(step_modes={"a": "batch"}, on_status=RULES)),
    ],
)
def test_name_place_and_policy_are_no_identity(job: Job) -> None:
    assert job.hash == Job(name="a", steps=(STEP,), input=TABLE).hash


@pytest.mark.parametrize(
    "job",
    [
        Job(name="a", steps=(replace(STEP, name="b"),), input=TABLE),
        Job(name="a", steps=(replace(STEP, templated=False),), input=TABLE),
        Job(name="a", steps=(replace(STEP, schema={}),), input=TABLE),
        Job(name="a", steps=(replace(STEP, operation="responses"),), input=TABLE),
        Job(name="a", steps=(replace(STEP, parameters={"temperature": 0}),), input=TABLE),
        Job(name="a", steps=(replace(STEP, model=replace(MODEL, upstream="x")),), input=TABLE),
        Job(name="a", steps=(replace(STEP, model=replace(MODEL, digest="x")),), input=TABLE),
        Job(name="a", steps=(STEP, replace(STEP, name="b")), input=TABLE),
        Job(name="a", steps=(STEP,), input=replace(TABLE, digest="x")),
        Job(name="a", steps=(STEP,), input=FILE),
        Job(name="a", steps=(STEP,), input=replace(FILE, format="json")),
        Job(name="a", steps=(STEP,), input=replace(FILE, types={})),
        Job(name="a", steps=(STEP,), input=TABLE, sample=2),
        Job(name="a", steps=(STEP,), input=TABLE, epoch=""),
        Job(name="a", steps=(replace(STEP, native=False),), input=TABLE),
        Job(name="a", steps=(WEIGHTED,), input=TABLE),
        Job(name="a", steps=(LISTED,), input=TABLE),
    ],
)
def test_what_is_asked_is_identity(job: Job) -> None:
    known = {Job(name="a", steps=(STEP,), input=table).hash for table in (TABLE, replace(FILE, format="parquet"))}
    assert job.hash not in known


def test_the_models_of_a_set_have_no_order_and_those_of_a_list_have_one() -> None:
    def turned(step: PromptStep) -> PromptStep:
        assert step.choice is not None
        return replace(step, choice=replace(step.choice, candidates=CANDIDATES[::-1]), model=OTHER, parameters={})

    assert WEIGHTED.identity() == turned(WEIGHTED).identity()
    assert LISTED.identity() != turned(LISTED).identity()


@pytest.mark.parametrize(
    "candidate",
    [
        replace(CANDIDATES[1], weight=2.0),
        replace(CANDIDATES[1], weight=None),
        replace(CANDIDATES[1], parameters={"max_tokens": 1}),
        replace(CANDIDATES[0]),
    ],
)
def test_another_weight_parameter_or_model_of_a_set_is_another_job(candidate: Candidate) -> None:
    other = ModelChoice(kind="weighted", candidates=(CANDIDATES[0], candidate))
    assert replace(WEIGHTED, choice=other).identity() != WEIGHTED.identity()


def test_the_digest_of_rows_knows_their_order_and_not_their_members_order() -> None:
    assert rows_digest([{"b": 1, "a": 2}]) == rows_digest([{"a": 2, "b": 1}])
    assert rows_digest(ROWS) != rows_digest(reversed(ROWS))
    assert rows_digest([{"a": 1}, {}]) != rows_digest([{}, {"a": 1}])


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTPS://API.OpenAI.com:443/v1/", "https://api.openai.com/v1"),
        ("http://user:secret@host:8080/v1?key=x#y", "http://host:8080/v1"),
        ("http://[::1]:80/", "http://[::1]"),
        ("https://host/V1", "https://host/V1"),
    ],
)
def test_base_urls_are_normalised(url: str, normal: str) -> None:
    assert normalised_url(url) == normal


def test_a_hash_is_32_lower_case_hexadecimal_characters() -> None:
    assert hash_of({}) == hashlib.sha256(b"{}").hexdigest()[:32]
