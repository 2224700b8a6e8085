"""The model that is none says so, depends on the call hash alone, keeps schemas, and fails as it is told."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import PermanentError, RateLimited, TransientError
from llm_jobs.providers.base import Answered, Reply, Request
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.simulated import Fault, SimulatedProvider

HASH = "0123456789abcdef0123456789abcdef"
OTHER = "f" * 32


def request_for(text: str, operation: Operation = "chat", schema: Any = None, **parameters: Any) -> Request:
    model = Catalogue(environment={}).resolve("simulated").model
    provider = SimulatedProvider()
    body = provider.body(model, operation, [Message(role="user", content=text)], parameters, schema)
    return Request(endpoint=provider.endpoint(model, operation), model=model, body=body)


def answer(request: Request, call_hash: str = HASH, **settings: Any) -> tuple[Answered, Reply]:
    provider = SimulatedProvider(**settings)
    answered = asyncio.run(provider.send(request, call_hash=call_hash, timeout_s=5))
    return answered, provider.read(request, answered.raw)


@pytest.mark.parametrize("operation", ["chat", "responses"])
def test_every_answer_says_that_it_is_simulated(operation: Operation) -> None:
    answered, reply = answer(request_for("How are you?", operation))
    assert str(reply.output).startswith("[simulated]")
    assert "How are you?" in str(reply.output)
    assert json.loads(answered.raw)["simulated"] is True


@pytest.mark.parametrize("operation", ["chat", "responses", "embeddings"])
def test_the_answer_depends_on_the_call_hash_alone(operation: Operation) -> None:
    request = request_for("x", operation)
    assert answer(request)[0].raw == answer(request)[0].raw
    assert answer(request)[1].output != answer(request, OTHER)[1].output


def test_tokens_are_bytes_by_four_rounded_up() -> None:
    _, reply = answer(request_for("äöü5x"))
    assert reply.usage.prompt_tokens == 2
    assert reply.usage.completion_tokens == math.ceil(len(str(reply.output).encode()) / 4)


def test_embeddings_have_unit_length_and_the_dimensions_asked_for() -> None:
    _, reply = answer(request_for("x", "embeddings", dimensions=5))
    assert isinstance(reply.output, list)
    assert len(reply.output) == 5
    assert sum(float(str(x)) ** 2 for x in reply.output) == pytest.approx(1, abs=1e-4)


SCHEMAS: dict[str, Any] = {
    "object": {
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": ["good", "bad"]},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "stars": {"type": "integer", "minimum": 1, "maximum": 5},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3},
            "sure": {"type": "boolean"},
            "note": {"type": ["string", "null"]},
        },
        "required": ["label", "score", "stars", "tags", "sure", "note"],
        "additionalProperties": False,
    },
    "references": {
        "$defs": {"point": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
        "type": "array",
        "items": {"$ref": "#/$defs/point"},
        "minItems": 1,
    },
    "recursion": {
        "type": "object",
        "properties": {"children": {"type": "array", "items": {"$ref": "#"}}},
        "required": ["children"],
    },
    "choice": {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "null"}]},
    "conjunction": {
        "allOf": [
            {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]},
            {"properties": {"b": {"type": "string", "minLength": 30}}, "required": ["b"]},
        ]
    },
    "formats": {
        "type": "object",
        "properties": {
            name: {"type": "string", "format": name} for name in ("date", "date-time", "email", "uuid", "uri", "ipv4")
        },
        "required": ["date", "date-time", "email", "uuid", "uri", "ipv4"],
    },
    "patterns": {
        "type": "object",
        "properties": {
            "code": {"type": "string", "pattern": "^[A-Z]{3}$"},
            "year": {"type": "string", "pattern": r"^\d{4}-\d{2}$"},
        },
        "required": ["code", "year"],
    },
    "steps": {"type": "number", "multipleOf": 0.5, "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    "short text": {"type": "string", "maxLength": 3},
    "unique": {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
}


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("operation", ["chat", "responses"])
def test_an_answer_keeps_the_schema_that_is_asked_for(name: str, operation: Operation) -> None:
    for seed in range(20):
        _, reply = answer(request_for("x", operation, SCHEMAS[name]), f"{seed:032x}")
        jsonschema.validate(json.loads(str(reply.output)), SCHEMAS[name], format_checker=jsonschema.FormatChecker())


BOUNDS = st.integers(-50, 50)
LEAVES = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span}, BOUNDS, st.integers(0, 9)),
    st.builds(lambda low: {"type": "number", "exclusiveMinimum": low}, BOUNDS),
    st.builds(lambda high: {"type": "number", "maximum": high}, BOUNDS),
    st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n + 2}, st.integers(0, 40)),
    st.builds(lambda values: {"enum": values}, st.lists(BOUNDS | st.text(max_size=3), min_size=1, max_size=3)),
)


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.text(min_size=1, max_size=3), inner, max_size=3)
    return st.one_of(
        st.builds(lambda items, n: {"type": "array", "items": items, "minItems": n}, inner, st.integers(0, 3)),
        st.builds(
            lambda p: {"type": "object", "properties": p, "required": [*p], "additionalProperties": False}, fields
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    )


@settings(max_examples=100, deadline=None)
@given(schema=st.recursive(LEAVES, _branches, max_leaves=6), seed=st.integers(0, 1000))
def test_any_schema_of_the_common_kinds_is_kept(schema: Any, seed: int) -> None:
    _, reply = answer(request_for("x", "chat", schema), f"{seed:032x}")
    jsonschema.validate(json.loads(str(reply.output)), schema)


def test_any_json_object_is_given_where_one_is_asked_for() -> None:
    _, reply = answer(request_for("x", response_format={"type": "json_object"}))
    assert json.loads(str(reply.output)) == {"simulated": True}


@pytest.mark.parametrize("operation", ["chat", "responses"])
@pytest.mark.parametrize("fault", ["truncated", "refused", "filtered", "empty"])
def test_a_scripted_ending_is_read_as_such(operation: Operation, fault: Fault) -> None:
    assert answer(request_for("x", operation), faults=[fault])[1].status == fault


def test_faults_are_met_in_order_and_then_all_is_well() -> None:
    provider = SimulatedProvider(faults=[RateLimited("later", wait_s=1.5), None, "torn"])
    request = request_for("x")

    async def ask() -> Reply:
        answered = await provider.send(request, call_hash=HASH, timeout_s=5)
        return provider.read(request, answered.raw)

    with pytest.raises(RateLimited):
        asyncio.run(ask())
    assert asyncio.run(ask()).status == "succeeded"
    with pytest.raises(TransientError, match="not whole"):
        asyncio.run(ask())
    assert asyncio.run(ask()).status == "succeeded"


def test_poison_is_refused_for_good() -> None:
    with pytest.raises(PermanentError) as caught:
        answer(request_for("here is POISON"), poison="POISON")
    assert caught.value.http_status == 400
    assert answer(request_for("here is none"), poison="POISON")[1].status == "succeeded"


def test_a_limit_is_told_with_its_wait() -> None:
    provider = SimulatedProvider(requests_per_minute=2)
    request = request_for("x")

    async def ask() -> None:
        for _ in range(3):
            await provider.send(request, call_hash=HASH, timeout_s=5)

    with pytest.raises(RateLimited) as caught:
        asyncio.run(ask())
    assert caught.value.wait_s is not None
    assert 59 < caught.value.wait_s <= 60
