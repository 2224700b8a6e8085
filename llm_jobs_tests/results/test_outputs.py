"""Answers become columns: text, declared types, vectors; what is not as declared is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Operation, PromptStep, RequestStep
from llm_jobs.errors import DocumentError
from llm_jobs.results.columns import FACTS, check_columns, result_schema
from llm_jobs.results.outputs import Outputs, output_fields

MODEL = ModelRef(name="m", provider="openai", upstream="m", base_url="")
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": ["integer", "null"]},
        "score": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "ok": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "home": {"$ref": "#/$defs/Place"},
        "mood": {"enum": ["good", "bad", None]},
        "other": {"type": "object"},
    },
    "required": ["name", "ok"],
    "additionalProperties": False,
    "$defs": {"Place": {"type": "object", "properties": {"city": {"type": "string"}, "zip": {"type": "string"}}}},
}
ANSWER: dict[str, JsonValue] = {
    "name": "Ada",
    "age": 36.0,
    "score": 1,
    "ok": True,
    "tags": ["a"],
    "home": {"city": "London"},
    "mood": None,
    "other": {"a": [1]},
}


def step(schema: Mapping[str, Any] | None = None, operation: Operation = "chat") -> PromptStep:
    return PromptStep(name="answer", model=MODEL, messages=(), operation=operation, schema=schema)


def test_an_answer_is_a_text_column_with_the_step_s_name() -> None:
    assert output_fields(step()) == [pa.field("answer", pa.string())]
    assert Outputs(step()).values("text") == {"answer": "text"}


def test_a_declared_object_is_a_typed_column_per_property() -> None:
    outputs = Outputs(step(PERSON))
    assert {field.name: field.type for field in outputs.fields} == {
        "name": pa.string(),
        "age": pa.int64(),
        "score": pa.float64(),
        "ok": pa.bool_(),
        "tags": pa.list_(pa.string()),
        "home": pa.struct([("city", pa.string()), ("zip", pa.string())]),
        "mood": pa.string(),
        "other": pa.string(),
    }
    values = outputs.values(json.dumps(ANSWER))
    assert values == {
        **ANSWER,
        "age": 36,
        "score": 1.0,
        "home": {"city": "London", "zip": None},
        "other": '{"a":[1]}',
    }
    assert (type(values["age"]), type(values["score"])) == (int, float)


def test_a_property_that_is_not_required_may_be_missing() -> None:
    values = Outputs(step(PERSON)).values('{"name": "Ada", "ok": false}')
    assert values == {**dict.fromkeys(ANSWER), "name": "Ada", "ok": False}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, r'the answer\.name: null is not of type "string" \(declared by properties\.name\.type\)'),
        ({"name": 1}, r'the answer\.name: 1 is not of type "string"'),
        ({"age": 1.5}, r"the answer\.age: 1\.5 is not of type"),
        ({"age": True}, r"the answer\.age: true is not"),
        ({"age": 2**63}, "the answer.age is 9223372036854775808, declared is integer"),  # no column holds it
        ({"ok": 1}, r"the answer\.ok: 1 is not"),
        ({"score": "1"}, r'the answer\.score: "1" is not valid under any'),
        ({"tags": ["a", 1]}, r"the answer\.tags\[1\]: 1 is not"),
        ({"home": []}, r"the answer\.home: \[\] is not"),
        ({"home": {"city": 1}}, r"the answer\.home\.city: 1 is not"),
        ({"mood": "so-so"}, r'the answer\.mood: "so-so" is not one of .*null \(declared by properties\.mood\.enum\)'),
        ({"other": []}, r"the answer\.other: \[\] is not"),
        ({"more": 1}, r"'more' was unexpected\) \(declared by additionalProperties\)"),
    ],
)
def test_an_answer_that_is_not_as_declared_is_refused_saying_where(change: dict[str, JsonValue], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Outputs(step(PERSON)).values(json.dumps({**ANSWER, **change}))


@pytest.mark.parametrize("text", ["", "Sure! {}", '{"name": "Ada"', '{"ok": NaN}', "```json\n{}\n```"])
def test_an_answer_that_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the answer is no JSON"):
        Outputs(step(PERSON)).values(text)


def test_json_in_a_block_of_code_is_read_where_nothing_forced_the_model_to_write_json() -> None:
    loose = replace(step(PERSON), native=False)
    fenced = f"```json\n{json.dumps(ANSWER)}\n```"
    assert Outputs(loose).values(fenced) == Outputs(step(PERSON)).values(json.dumps(ANSWER))
    for text in (f"Here it is:\n{fenced}", fenced + "\nAnything else?"):
        with pytest.raises(ValueError, match="the answer is no JSON"):
            Outputs(loose).values(text)


def test_a_missing_required_property_is_refused() -> None:
    with pytest.raises(ValueError, match=r'the answer: "ok" is a required property \(declared by required\)'):
        Outputs(step(PERSON)).values('{"name": "Ada"}')


def test_a_schema_that_is_no_object_types_the_step_s_own_column() -> None:
    outputs = Outputs(step({"type": "array", "items": {"type": "integer"}}))
    assert outputs.fields == (pa.field("answer", pa.list_(pa.int64())),)
    assert outputs.values("[1, 2]") == {"answer": [1, 2]}


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": ["string", "number"]}, pa.string()),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, pa.string()),
        ({}, pa.string()),
        ({"const": 3}, pa.int64()),
        ({"enum": [1, "a"]}, pa.string()),
        ({"allOf": [{"type": "boolean"}]}, pa.bool_()),
    ],
)
def test_what_has_no_one_type_is_text(schema: Mapping[str, Any], kind: pa.DataType) -> None:
    (field,) = output_fields(step({"type": "object", "properties": {"x": schema}}))
    assert field.type == kind


def test_a_schema_that_contains_itself_ends_in_text() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}}}
    assert Outputs(step(tree)).values('{"left": {"left": {}}}')


def test_a_reference_to_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="leads nowhere"):
        Outputs(step({"$ref": "#/$defs/Gone"}))


def test_an_embedding_is_a_vector_that_comes_back_exactly() -> None:
    vector: list[JsonValue] = [0.0023064255, -0.1]
    endpoint = Endpoint(provider="openai", base_url="", path="/embeddings")
    for outputs in (
        Outputs(step(operation="embeddings")),
        Outputs(RequestStep(name="answer", model=MODEL, endpoint=endpoint)),
        Outputs(RequestStep(name="answer", model=MODEL, operation="embeddings")),
    ):
        assert outputs.fields == (pa.field("answer", pa.list_(pa.float64())),)
        assert outputs.values(vector) == {"answer": vector}


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        (["id", "answer"], ["answer"], "output column answer has the name of an input column"),
        (["id"], ["answer", "answer"], "output column answer has the name of an output column"),
        (["llm_status"], ["answer"], "input column llm_status begins with llm_"),
        (["id"], ["llm_new_fact"], "output column llm_new_fact begins with llm_"),
    ],
)
def test_a_name_that_collides_is_refused(inputs: list[str], outputs: list[str], message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        check_columns(inputs, outputs)


@pytest.mark.parametrize("sample", [False, True])
def test_a_result_has_the_user_s_columns_the_outputs_and_the_facts_in_this_order(sample: bool) -> None:
    inputs = pa.schema([("id", pa.string())])
    schema = result_schema(inputs, output_fields(step()), sample=sample)
    facts = [field.name for field in FACTS] + (["llm_sample"] if sample else [])
    assert schema.names == ["id", "answer", *facts]
