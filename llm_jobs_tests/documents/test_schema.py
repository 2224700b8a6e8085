"""The JSON Schema of documents: what is published is what the models say, and refuses what the reader refuses."""

from __future__ import annotations

import functools
import json

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from llm_jobs.documents.parsing import parse_document, read_pipeline, read_source
from llm_jobs.documents.schema import NAMES, SchemaName, document_schema
from llm_jobs.documents.templates import read_template
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT

SHORT_FORMS = """
job:
  name: short
  models: {a: 1, b: 2.5}
  depends_on: first
  on_status: {truncated: [{ask_again: {max_tokens: 2x}}, model: c], empty: give_up, invalid: [repair, model: c]}
  prompts: [{name: said, text: Hello, native: off, models: [a, {name: b, weight: 2}]}]
  output: [{path: a.csv}, {destination: api, endpoint: "https://h.example/", auth: {bearer: NAME}}]
"""
MISTAKES = [
    "job: {nam: a}",
    "job: {prompts: []}",
    "job: {name: 5}",
    "job: {name: a, model: 5}",
    "job: {name: a, promts: []}",
    "job: {name: a, execution: {concurrency: 0}}",
    "job: {name: a, execution: {concurrency: many}}",
    "job: {name: a, execution: {timeout: -1}}",
    "job: {name: a, priority: warm}",
    "job: {name: a, prompts: [{text: Hello}]}",
    "job: {name: a, prompts: [{name: b, temperature: -1}]}",
    "job: {name: a, prompts: [{name: b, max_tokens: 1.5}]}",
    "job: {name: a, prompts: [{name: b, messages: [{role: robot, content: c}]}]}",
    "job: {name: a, input: {rows: []}}",
    "job: {name: a, input: {source: telepathy}}",
    "job: {name: a, output: {destination: moon}}",
    "job: {name: a, output: []}",
    "job: {name: a, schedule: {timezone: UTC}}",
    "job: {name: a, logging: {level: loud}}",
    "job: {name: a, on_status: {happy: give_up}}",
    "job: {name: a, on_status: {empty: shrug}}",
    "job: {name: a, sample: 0}",
    "job: {name: a, triggers: [{type: whim}]}",
    "job: {name: a, alerts: [{condition: error_rate > 1}]}",
    "job: {name: a, phases: [{name: b, parallel: maybe}]}",
    "pipeline: {jobs: []}",
    "pipeline: {jobs: [{id: a}]}",
    "template: {name: a}",
    "jobs: {name: a}",
]


@functools.cache
def validator(name: SchemaName) -> Draft202012Validator:
    return Draft202012Validator(document_schema(name))


def problems(name: SchemaName, text: str) -> list[str]:
    value = read_yaml("document.yaml", text).value
    return [error.message for error in validator(name).iter_errors(value)]


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_that_is_published_is_what_the_models_say(name: SchemaName) -> None:
    published = json.loads((ROOT / f"docs/schema/{name}.schema.json").read_text(encoding="utf-8"))
    assert published == document_schema(name), f"llm-jobs schema --format {name} >docs/schema/{name}.schema.json"


@pytest.mark.parametrize("name", NAMES)
def test_the_schema_is_one_and_tells_of_every_key(name: SchemaName) -> None:
    schema = document_schema(name)
    Draft202012Validator.check_schema(schema)
    keys = [
        (owner, key, told)
        for owner, part in schema["$defs"].items()
        for key, told in part.get("properties", {}).items()
    ]
    assert [(owner, key) for owner, key, told in keys if not told.get("description")] == []


def test_short_forms_are_accepted_as_the_reader_accepts_them() -> None:
    assert problems("job", SHORT_FORMS) == []
    assert parse_document("short.yaml", SHORT_FORMS.encode())


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_refused_as_the_reader_refuses_it(text: str) -> None:
    assert problems("job", text)
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert all(each.line and each.rule and each.remedy for each in caught.value.problems)


def read(text: str) -> None:
    """Read a document as what it says that it is."""
    content = text.encode()
    if read_pipeline("document.yaml", content) is not None:
        return
    if text.startswith("template:"):
        read_template(read_source("document.yaml", content))
    parse_document("document.yaml", content)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_the_schema(tmp_path_factory: pytest.TempPathFactory, name: SchemaName) -> None:
    house = House(tmp_path_factory.mktemp("house"))
    printed = [house.invoke("schema", "--format", name, *also).stdout for also in ((), ("--json",))]
    assert [json.loads(each) for each in printed] == [document_schema(name)] * 2
    assert printed[1].count("\n") == 1
