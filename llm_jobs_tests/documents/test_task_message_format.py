"""Messages of a task queue: what they ask, which are one job, and each mistake in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_jobs.documents.formats import task_message
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ParsedTask
from llm_jobs.documents.parsing import detect, parse_document
from llm_jobs.errors import DocumentError

HELLO: dict[str, Any] = {"id": "t1", "model": "m", "prompt": "Say {{ hello }}."}
SUMMARY: dict[str, Any] = {"task_type": "TextSummary", "model": "m", "payload": {"text": "long"}}


def parsed(value: Any, *, name: str = "queue.json", **choices: Any) -> list[ParsedDocument]:
    return parse_document(name, json.dumps(value).encode(), **choices)


def prompt_of(document: ParsedDocument) -> ParsedPrompt:
    [step] = document.steps
    assert isinstance(step, ParsedPrompt)
    return step


def test_a_message_is_a_job_of_one_row_in_which_its_prompt_is_no_template() -> None:
    [document] = parsed({**HELLO, "priority": "hot", "labels": {"team": "a"}, "status": "received", "answer": None})
    step = prompt_of(document)
    assert (document.format, document.name, document.policy.priority) == ("task_message", "queue", "hot")
    assert document.input.rows == ({"id": "t1", "prompt": "Say {{ hello }}."},)
    assert (step.name, step.model, step.messages and step.messages[0].content) == ("answer", "m", "{{ prompt }}")
    assert detect("queue.json", json.dumps(HELLO).encode()) == "task_message"


def test_messages_that_ask_alike_are_one_job_and_others_are_jobs_of_their_own() -> None:
    listed = [HELLO, {**HELLO, "id": "t2", "prompt": "b"}, {**HELLO, "temperature": 0.5}, {**HELLO, "priority": "hot"}]
    documents = parsed(listed)
    assert [(document.name, len(document.input.rows)) for document in documents] == [
        ("queue-1", 2),
        ("queue-2", 1),
        ("queue-3", 1),
    ]
    assert dict(prompt_of(documents[1]).parameters) == {"temperature": 0.5}


def test_lines_are_a_list_and_their_mistakes_have_their_lines() -> None:
    lines = "\n".join(json.dumps({**HELLO, "id": f"t{number}"}) for number in range(3))
    [document] = parse_document("queue.jsonl", lines.encode())
    assert len(document.input.rows) == 3
    assert detect("queue.jsonl", lines.encode()) == "task_message"
    for wrong, what in (('{"id": 1', "JSON"), ('{"prompt": "x", "modl": "m"}', "modl")):
        with pytest.raises(DocumentError, match=what) as caught:
            parse_document("queue.jsonl", f"{lines}\n\n{wrong}".encode())
        assert [problem.line for problem in caught.value.problems] == [5]


def test_models_by_weight_are_a_choice_and_a_model_of_the_command_line_stands_over_them() -> None:
    weighted = {"prompt": "x", "models": {"a": 3, "b": 1}}
    choice = prompt_of(parsed(weighted)[0]).choice
    assert choice is not None
    assert (choice.kind, choice.models) == ("weighted", (("a", 3), ("b", 1)))
    assert [prompt_of(each).model for each in parsed(weighted, models=["c", "d"])] == ["c", "d"]


def test_messages_with_roles_keep_them() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "{{"}]
    [document] = parsed({"model": "m", "messages": messages})
    assert [(each.role, each.content) for each in prompt_of(document).messages or ()] == [
        ("system", "{{ messages[0] }}"),
        ("user", "{{ messages[1] }}"),
    ]
    assert document.input.rows == ({"messages": ["Be brief.", "{{"]},)


def test_a_message_of_a_type_is_that_task_with_its_payload() -> None:
    [document] = parsed({"type": "TextSummary", "model": "m", "inputs": {"text": "long"}, "prompt": "p"})
    [step] = document.steps
    assert isinstance(step, ParsedTask)
    assert (step.task, step.model) == ("TextSummary", "m")
    assert step.inputs == {"prompt": "{{ prompt }}", "text": "{{ text }}"}
    assert document.input.rows == ({"prompt": "p", "text": "long"},)


MISTAKES: list[tuple[Any, str, str]] = [
    ({**HELLO, "priority": "warm"}, "priority is not one of the values", "choose"),
    ({**HELLO, "promt": "x"}, "unknown key 'promt'", "did you mean 'prompt'?"),
    ({**HELLO, "prompt": 7}, "prompt should be text", "quotes"),
    ({**HELLO, "prompt": ""}, "at least 1 character", "write"),
    ({**HELLO, "messages": [{"role": "user", "content": "x"}]}, "the message asks twice", "keep one"),
    ({**HELLO, "payload": {"text": "x"}}, "a payload beside a prompt", "task_type"),
    ({"task_type": "chat", "model": "m"}, "the message asks nothing", "write `prompt`"),
    ({"task_type": "chat", "prompt": "x"}, "no model is named", "write `model`"),
    ({**HELLO, "models": {"a": 1}}, "the model is said twice", "remove"),
    ({**HELLO, "temperature": -1}, "temperature should be greater", "larger"),
    ({**HELLO, "parameters": {"api_key": "x"}}, "api_key is a credential", "remove it"),
    ({**HELLO, "status": "done"}, "status is not one of", "choose"),
    ({**SUMMARY, "payload": {"llm_x": 1}}, "would hide one of the result's own", "rename"),
    ([HELLO, 7], "should be a mapping", "mapping"),
]


@pytest.mark.parametrize(("value", "what", "remedy"), MISTAKES, ids=[what[:40] for _, what, _ in MISTAKES])
def test_a_mistake_is_refused_with_its_line(value: Any, what: str, remedy: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parsed(value)
    found = [problem for problem in caught.value.problems if what in problem.what]
    assert found, caught.value.problems
    assert found[0].line is not None
    assert remedy in (found[0].remedy or "")


def test_a_mistake_in_a_later_message_is_told_where_it_stands() -> None:
    with pytest.raises(DocumentError) as caught:
        parsed([HELLO, {**HELLO, "parameters": {"api_key": "x"}}])
    assert [problem.key for problem in caught.value.problems] == ["[1].parameters.api_key"]


def test_a_profile_or_another_table_cannot_be_chosen() -> None:
    with pytest.raises(DocumentError, match="--profile"):
        parsed(HELLO, profile="p")
    assert not task_message.is_message({"configuration": {}, "prompt": "x", "model": "m"})
