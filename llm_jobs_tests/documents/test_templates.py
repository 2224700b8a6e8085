"""What a template's parameters make of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.choices import read_parameters
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt
from llm_jobs.documents.parsing import parse_document, stated_name
from llm_jobs_tests.reference.stage import block

TEMPLATE = """\
template:
  name: labels
  parameters:
    - {name: language, choices: [English, German]}
    - {name: temperature, type: number, default: 0}
    - {name: samples, type: integer, default: 1}
    - {name: strict, type: boolean, required: false}
    - {name: stops, type: list, default: []}
  job:
    name: ${job_name}
    sample: ${samples}
    input: {rows: [{id: 1, text: good}]}
    prompts:
      - name: label
        model: simulated
        text: "Label in ${language}, at ${temperature}: {{ text }}"
        temperature: ${temperature}
        parameters: {stop: "${stops}", tone: dry, note: "$${HOME} stays"}
"""


def made(*parameters: str, text: str = TEMPLATE, **options: Any) -> ParsedDocument:
    [document] = parse_document("labels.yaml", text.encode(), parameters=read_parameters(parameters), **options)
    return document


def prompt(document: ParsedDocument) -> ParsedPrompt:
    [step] = document.steps
    assert isinstance(step, ParsedPrompt)
    return step


def test_parameters_are_filled_with_their_types() -> None:
    document = made("language=German", "temperature=0.5", "samples=3", 'stops=["END"]', job_name="mine")
    assert (document.name, document.sample) == ("mine", 3)
    step = prompt(document)
    assert step.messages is not None
    assert step.messages[0].content == "Label in German, at 0.5: {{ text }}"
    assert step.parameters == {"temperature": 0.5, "stop": ["END"], "tone": "dry", "note": "${HOME} stays"}


def test_defaults_stand_where_nothing_is_given_and_the_job_is_named_as_the_template() -> None:
    document = made("language=English")
    assert (document.name, document.sample) == ("labels", 1)
    assert prompt(document).parameters["stop"] == []


def test_a_parameter_that_is_not_required_and_has_no_default_is_null() -> None:
    text = TEMPLATE.replace("note:", "strict: '${strict}', note:")
    assert prompt(made("language=English", text=text)).parameters["strict"] is None


def test_a_long_table_is_filled_where_a_row_says_so() -> None:
    rows = ", ".join(["{id: 1, text: good}"] * 200)
    plain = made("language=English", text=TEMPLATE.replace("{id: 1, text: good}", rows))
    filled = made(
        "language=English", text=TEMPLATE.replace("{id: 1, text: good}", f'{rows}, {{text: "${{language}}"}}')
    )
    assert [row["text"] for row in filled.input.rows] == [*(row["text"] for row in plain.input.rows), "English"]


def test_what_is_no_parameter_of_the_template_is_one_of_the_request() -> None:
    step = prompt(made("language=English", "max_tokens=9", "tone=warm"))
    assert (step.parameters["max_tokens"], step.parameters["tone"]) == (9, "warm")


def test_a_number_given_for_text_is_text() -> None:
    text = TEMPLATE.replace("name: language, choices: [English, German]", "name: language")
    assert "Label in 2026, at" in str(prompt(made("language=2026", text=text)).messages)


def test_a_name_that_is_given_is_the_job_s_even_where_the_template_names_its_jobs_itself() -> None:
    assert made("language=English", "job_name=other", text=TEMPLATE.replace("${job_name}", "fixed")).name == "other"


def test_a_variable_that_documents_may_use_is_filled_where_it_may_be() -> None:
    text = TEMPLATE.replace("model: simulated", "model: simulated/${SIZE}")
    environment = {"LLM_JOBS_DOCUMENT_VARIABLES": "SIZE", "SIZE": "large"}
    assert prompt(made("language=English", text=text, environment=environment)).model == "simulated/large"


def test_a_credential_stays_the_name_of_its_variable() -> None:
    text = TEMPLATE.replace("temperature: ${temperature}", "api_key: ${LABELS_API_KEY}")
    assert prompt(made("language=English", text=text)).api_key == "LABELS_API_KEY"


PIECES = st.lists(st.sampled_from(["${A}", "${language}", "$", "{", "}", "A", "$${B}", "\n", "'", " "]), max_size=6)


@given(PIECES.map("".join))
def test_a_value_is_never_read_again(value: str) -> None:
    text = TEMPLATE.replace("name: language, choices: [English, German]", "name: language")
    text = text.replace("dry", '"${language}"')
    environment = {"LLM_JOBS_DOCUMENT_VARIABLES": "A,B", "A": "leaked", "B": "leaked"}
    given: dict[str, JsonValue] = {"language": value, "stops": [value]}
    [document] = parse_document("t.yaml", text.encode(), parameters=given, environment=environment)
    step = prompt(document)
    assert step.messages is not None
    assert step.messages[0].content == f"Label in {value}, at 0: {{{{ text }}}}"
    assert (step.parameters["tone"], step.parameters["stop"]) == (value, [value])


@pytest.mark.parametrize("value", ["reviews", "public.reviews", "_r1", "42", "0.5"])
def test_a_name_or_a_number_may_stand_in_sql(value: str) -> None:
    text = TEMPLATE.replace("rows: [{id: 1, text: good}]", 'source: database, query: "SELECT * FROM ${language}"')
    text = text.replace("name: language, choices: [English, German]", "name: language")
    document = made(f'language="{value}"', text=text)
    assert f"SELECT * FROM {value}" in repr(document.input)


def test_a_template_is_named_by_what_it_says() -> None:
    assert stated_name("x.yaml", TEMPLATE.encode()) == "labels"


def test_the_reference_s_template_runs_as_it_stands() -> None:
    document = made("input_table=reviews", "model_name=gpt-4", text=block(24), job_name="review_analysis")
    assert (document.name, prompt(document).model) == ("review_analysis", "gpt-4")
