"""The JSON Schema of documents beside the reader: it accepts every document there is, and sees what a schema can."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from llm_jobs.documents.parsing import detect, parse_document, read_source
from llm_jobs.documents.schema import NAMES, SchemaName, document_schema
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError
from llm_jobs_tests.docs.pages import PAGES, ROOT, blocks
from llm_jobs_tests.documents.test_sixty_mistakes import GOOD, JOB, MISTAKES, PROMPTS, ROWS, UNREADABLE, UNSEEN
from llm_jobs_tests.reference.stage import alternatives, block, inside_a_job, numbers, shown
from llm_jobs_tests.reference.test_graphs import flow_of_the_picture, the_pair

WHOLE = ("job:", "template:", "pipeline:")
SECTIONS = [text for number in (6, 7, 8, 9) for text in alternatives(block(number))]


@functools.cache
def validator(name: SchemaName) -> Draft202012Validator:
    return Draft202012Validator(document_schema(name))


def problems(name: SchemaName, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}"[:300] for error in validator(name).iter_errors(value)]


def named(file: str, text: str) -> tuple[SchemaName, Any]:
    """The kind of a document and its value; a line of a batch file for the whole."""
    content = text.encode()
    if any(line.startswith(WHOLE) for line in text.splitlines()):
        return "job", read_yaml(file, text).value
    found = detect(file, content)
    lines = file.endswith(".jsonl")
    return found, read_source(f"{file}.json", content.splitlines()[0] if lines else content).value


def shown_documents() -> Iterator[tuple[str, SchemaName, Any]]:
    """Every document that the pages, the examples and the reference show."""
    for page in PAGES:
        for each in blocks(page.read_text(encoding="utf-8")):
            is_job = each.language == "yaml" and any(line.startswith(WHOLE) for line in each.text.splitlines())
            if is_job or each.language in ("json", "jsonl"):
                yield f"{page.name}:{each.line}", *named(f"page.{each.language}", each.text)
    for path in sorted((ROOT / "examples").iterdir()):
        if path.suffix in (".yaml", ".json", ".jsonl"):
            yield path.name, *named(path.name, path.read_text(encoding="utf-8"))
    for number in numbers():
        if block(number).startswith(WHOLE):
            yield f"5-{number:02}", *named("block.yaml", block(number))
    for number, text in enumerate(SECTIONS):
        yield f"section {number}", *named("section.yaml", inside_a_job(text))
    for name in ("3-01", "3-02"):
        yield name, *named("block.json", shown(name))
    yield "1-01", *named("pair.json", the_pair())
    yield "2-01", "task_graph", flow_of_the_picture()


DOCUMENTS = list(shown_documents())


def test_documents_of_every_format_are_shown() -> None:
    assert {form for _, form, _ in DOCUMENTS} == set(NAMES)


@pytest.mark.parametrize(("form", "value"), [each[1:] for each in DOCUMENTS], ids=[each[0] for each in DOCUMENTS])
def test_what_is_shown_is_accepted(form: SchemaName, value: Any) -> None:
    assert problems(form, value) == []


@pytest.mark.parametrize("mistake", sorted(MISTAKES.keys() - UNREADABLE))
def test_a_mistake_is_refused_where_a_schema_can_see_it(mistake: str) -> None:
    found = problems("job", read_yaml("document.yaml", MISTAKES[mistake]).value)
    assert bool(found) == (mistake not in UNSEEN), found


def steps(*lines: str) -> str:
    return JOB + ROWS + "  steps:\n" + "".join(f"    - {line}\n" for line in lines)


TOGETHER = {
    "a task that is a prompt": steps("{name: a, task: text_summary, text: Hello}"),
    "a split with a condition": steps("{name: a, split: text, when: text}"),
    "a loop of nothing": steps("{name: a, text: Hello, loop: {at_most: 2}}"),
    "a split within a step": steps("{name: a, steps: [{name: b, split: text}]}"),
    "a reduce that computes nothing": steps("{name: a, reduce: {by: [text]}}"),
    "levels of nothing": steps("{name: a, reduce: {aggregate: {n: count}, max_input_tokens: 5}}"),
    "two ways to combine": steps("{name: a, text: Hi, reduce: {combine: {text: a, messages: []}}}"),
    "every model and one": steps("{name: a, text: Hello, model: m, for_each_model: [x, y]}"),
    "a text that is a file": steps("{name: a, messages: [{role: user, content: [{type: text, text: a, file: b}]}]}"),
    "an image of two places": steps("{name: a, messages: [{role: user, content: [{type: image, file: a, url: b}]}]}"),
    "a version of a text": JOB + ROWS + "  prompts: [{name: a, text: Hello, version: 1.0.0}]\n",
    "a temperature twice": JOB
    + ROWS
    + "  prompts: [{name: a, text: Hi, temperature: 1, parameters: {temperature: 0}}]\n",
    "models twice": JOB + ROWS + "  prompts: [{name: a, text: Hi, models: [x, y], model: z}]\n",
    "prompts and steps": GOOD + "  steps: [{name: a, text: Hello}]\n",
    "a phase that splits and asks": JOB + ROWS + "  phases: [{name: a, split_by: text, prompt: p}]\n",
    "a phase of nothing": JOB + ROWS + "  phases: [{name: a}]\n",
    "a version of no stack": GOOD + "  stack_version: 1.0.0\n",
    "types of rows in line": JOB + PROMPTS + "  input: {rows: [{text: a}], types: {text: text}}\n",
    "a file of a database": JOB + PROMPTS + "  input: {source: database, path: a.csv}\n",
    "a body of a GET": JOB + PROMPTS + "  input: {endpoint: 'https://a.example/b', body: {}}\n",
    "a table of a file": GOOD + "  output: {path: a.csv, table: b}\n",
    "columns of a file": GOOD + "  output: {path: a.csv, format: columns}\n",
    "a key of an append": GOOD + "  output: {destination: database, table: a, key: [id]}\n",
    "a fallback of another strategy": GOOD + "  error_handling: {on_output_error: {fallback: {path: a.csv}}}\n",
    "a value of another strategy": GOOD + "  error_handling: {on_prompt_failure: {strategy: skip, value: x}}\n",
    "more than all": GOOD + "  error_handling: {failure_threshold: 1.5}\n",
    "two rules in one": GOOD + "  on_status: {empty: {give_up: {}, repair: {}}}\n",
    "a window without an end": GOOD + "  conditions: [{type: time_window, start: '09:00'}]\n",
    "a path of a webhook": GOOD + "  triggers: [{type: webhook, endpoint: /a, path: b}]\n",
    "a log of no file": GOOD + "  logging: {destination: stdout, path: a.log}\n",
    "a channel of mail": GOOD
    + "  alerts: [{condition: error_rate > 0, action: email, recipients: [a@b.c], channel: d}]\n",
    "a partial wait for nothing": GOOD + "  on_partial: run\n",
    "a wrong value in a profile": GOOD + "  profiles: {fast: {execution: {concurrency: many}}}\n",
    "a name in a profile": GOOD + "  profiles: {fast: {name: other}}\n",
    "an unknown key of a template's job": "template: {name: t, job: {name: a, promts: []}}\n",
}


@pytest.mark.parametrize("mistake", TOGETHER)
def test_keys_that_do_not_go_together_are_refused_as_the_reader_refuses_them(mistake: str) -> None:
    text = TOGETHER[mistake]
    assert problems("job", read_yaml("document.yaml", text).value)
    with pytest.raises(DocumentError):
        parse_document("document.yaml", text.encode())


PROFILES = """
    quick: {model: b, execution: {concurrency: 2}, input: {rows: [{text: b}]}, output: null}
    later: {schedule: {timezone: UTC}, prompts: [{name: said, max_tokens: 5}], batch_size: 9, temperature: 0.5}
    other: {on_status: {empty: give_up}, parameters: {seed: 1}, error_handling: {failure_threshold: 5%}}
"""


def test_a_profile_may_hold_parts_of_sections_and_take_keys_away() -> None:
    text = GOOD + "  schedule: {cron: '0 9 * * mon-fri'}\n  output: {path: a.csv}\n  profiles:" + PROFILES
    assert problems("job", read_yaml("document.yaml", text).value) == []
    for profile in (None, "quick", "later", "other"):
        assert parse_document("document.yaml", text.encode(), profile=profile)


OTHERS: list[tuple[SchemaName, str]] = [
    ("pair", '{"configuration": {"LLM_name": "a", "model": "b"}, "prompt": "x"}'),
    ("pair", '{"configuration": {"LLM_name": "a"}, "prompt": {"base": "x", "script": "a.py"}}'),
    ("pair", '{"configuration": {"LLM_name": "a"}, "prompt": {"base": "x", "arguments": ["b"]}}'),
    ("pipeline", '{"nodes": []}'),
    ("pipeline", '{"nodes": [{"node_id": "a"}]}'),
    ("pipeline", '{"nodes": [{"node_id": "a", "task_name": "b"}], "edge": []}'),
    ("task_graph", '{"tasks": [{"id": "a"}]}'),
    ("task_graph", '{"tasks": [{"id": "a", "type": "b"}], "nodes": [{"id": "a", "type": "b"}]}'),
    ("task_graph", '{"tasks": [{"id": "a", "type": "text_summary"}], "steps": [{"name": "a", "text": "b"}]}'),
    ("task_graph", '{"tasks": [{"id": "a", "type": "b"}], "priority": "warm"}'),
    ("task_graph", '{"tasks": [{"id": "a", "type": "text_summary"}], "prompts": [{"name": "a", "text": "b"}]}'),
    ("task_graph", '{"tasks": [{"id": "a", "type": "b"}], "dataflows": [{"sourceTaskId": "a"}]}'),
    ("task_message", '{"model": "m", "prompt": "x", "messages": [{"role": "user", "content": "x"}]}'),
    ("task_message", '{"model": "m", "prompt": "x", "payload": {"text": "y"}}'),
    ("task_message", '{"model": "m", "prompt": ""}'),
    ("task_message", '[{"model": "m", "prompt": "x", "promt": "x"}]'),
    ("task_message", '{"task_type": "text_summary", "type": "prompt", "payload": {"text": "x"}}'),
    ("batch", '{"custom_id": "a", "method": "GET", "url": "/v1/responses", "body": {"model": "m"}}'),
    ("batch", '{"custom_id": "a", "method": "POST", "url": "/v1/images", "body": {"model": "m"}}'),
]


@pytest.mark.parametrize(("name", "text"), OTHERS, ids=[text[:60] for _, text in OTHERS])
def test_a_mistake_in_another_format_is_refused_as_the_reader_refuses_it(name: SchemaName, text: str) -> None:
    file = "document.jsonl" if name == "batch" else "document.json"
    assert problems(name, read_source("document.json", text.encode()).value)
    with pytest.raises(DocumentError):
        parse_document(file, text.encode())
