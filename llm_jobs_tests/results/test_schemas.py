"""Answers are held against the whole schema: every keyword, in agreement with another implementation."""

from __future__ import annotations

import time
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_jobs.results.schemas import MOST_CHARACTERS, compile_check

NODE = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}}}}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-5, 5).map(lambda x: round(x, 1))
    | st.sampled_from("abc"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
PLAIN = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(
            ["string", "integer", "number", "boolean", "array", "object", "null", ["string", "null"]]
        ),
        "enum": st.lists(VALUES, min_size=1, max_size=4),
        "const": VALUES,
        "minimum": st.integers(-3, 3),
        "exclusiveMaximum": st.integers(-3, 3),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": st.integers(0, 2),
        "maxLength": st.integers(0, 2),
        "pattern": st.sampled_from(["^a", "b$", "[bc]"]),
        "minItems": st.integers(0, 2),
        "maxItems": st.integers(0, 2),
        "uniqueItems": st.booleans(),
        "required": st.lists(st.sampled_from("xyz"), max_size=2, unique=True),
        "additionalProperties": st.booleans(),
    },
)
SCHEMAS = st.recursive(
    PLAIN,
    lambda inner: st.builds(
        lambda plain, nested: {**plain, **nested},
        PLAIN,
        st.fixed_dictionaries(
            {},
            optional={
                "properties": st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
                "items": inner,
                "prefixItems": st.lists(inner, min_size=1, max_size=2),
                "anyOf": st.lists(inner, min_size=1, max_size=2),
                "oneOf": st.lists(inner, min_size=1, max_size=2),
                "allOf": st.lists(inner, min_size=1, max_size=2),
                "not": inner,
                "if": inner,
                "then": inner,
                "else": inner,
            },
        ),
    ),
    max_leaves=6,
)


def complaint(schema: dict[str, Any], value: object) -> str | None:
    try:
        compile_check(schema)(value)
    except ValueError as error:
        return str(error)
    return None


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, VALUES)
def test_the_verdict_is_that_of_another_implementation(schema: dict[str, Any], value: object) -> None:
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert (complaint(schema, value) is None) == expected


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        (
            {"properties": {"a": {"type": "integer", "maximum": 5}}},
            {"a": 7},
            "the answer.a: 7 .*5.*properties.a.maximum",
        ),
        ({"type": "string", "pattern": "^[A-Z]{2}$"}, "Ab", "the answer: .*pattern"),
        ({"type": "array", "items": {"minimum": 1}}, [1, 0], r"the answer\[1\]: .*items.minimum"),
        ({"type": "string", "format": "date"}, "2026-13-01", "date.*format"),
        ({"type": "string", "format": "email"}, "nobody", "email"),
        ({"type": "string", "format": "date-time"}, "yesterday", "date-time"),
        ({"type": "string", "format": "uuid"}, "1", "uuid"),
        ({"type": "string", "format": "ipv4"}, "1.2.3", "ipv4"),
        (NODE, {"next": {"next": 1}}, "the answer.next.next: .*node.type"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, 1, "anyOf"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "dependentRequired"),
        ({"type": "object", "unevaluatedProperties": False}, {"a": 1}, "unevaluatedProperties"),
        ({"propertyNames": {"maxLength": 1}}, {"long": 1}, "propertyNames"),
        ({"const": 1}, True, "const"),
    ],
)
def test_what_is_wrong_is_told_with_path_value_and_rule(schema: dict[str, Any], value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compile_check(schema)(value)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "strin"}, r"the schema\.type is no JSON Schema"),
        ({"pattern": "("}, r"the schema\.pattern is no JSON Schema"),
        ({"properties": []}, r"the schema\.properties"),
        ({"$ref": "#/$defs/gone"}, "gone"),
        ({"$ref": "http://elsewhere.test/schema.json"}, "elsewhere"),
    ],
)
def test_what_is_no_schema_is_refused_and_nothing_is_fetched(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compile_check(schema)


def test_a_long_value_does_not_make_a_long_reason() -> None:
    told = complaint({"type": "integer"}, "x" * 10_000)
    assert told is not None
    assert len(told) < MOST_CHARACTERS + 100


def test_a_small_answer_is_checked_in_microseconds() -> None:
    check = compile_check({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer", "maximum": 5}}})
    started = time.process_time()
    for _ in range(10_000):
        check({"a": 1})
    assert (time.process_time() - started) / 10_000 < 10e-6
