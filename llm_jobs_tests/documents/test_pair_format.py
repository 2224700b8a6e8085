"""Format 1: what a pair means, and what each mistake in it is answered with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llm_jobs.documents.job import Policy
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ScriptRef
from llm_jobs.documents.parsing import parse_document
from llm_jobs.documents.steps import Message
from llm_jobs.errors import DocumentError, Problem

CONFIGURATION = {"LLM_name": "openai/gpt-4.1-mini", "seed": 7, "temperature": 0.5, "top_k": 40}


def parsed(document: Any, **options: Any) -> ParsedDocument:
    (found,) = parse_document("folder/my job.json", json.dumps(document, indent=1).encode(), **options)
    return found


def pair(prompt: Any, **configuration: Any) -> ParsedPrompt:
    return step_of(parsed({"configuration": {**CONFIGURATION, **configuration}, "prompt": prompt}))


def step_of(document: ParsedDocument) -> ParsedPrompt:
    (step,) = document.steps
    assert isinstance(step, ParsedPrompt)
    return step


def problems_of(document: Any, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parsed(document, **options)
    return caught.value.problems


def test_a_pair_is_one_row_and_its_text_is_literal() -> None:
    document = parsed({"configuration": CONFIGURATION, "prompt": "Say {{ it }}"})
    assert document.input.rows == ({},)
    assert (document.format, document.name, document.policy) == ("pair", "my job", Policy())
    assert document.steps == (
        ParsedPrompt(
            name="answer",
            model="openai/gpt-4.1-mini",
            messages=(Message(role="user", content="Say {{ it }}"),),
            parameters={"seed": 7, "temperature": 0.5, "top_k": 40},
            templated=False,
        ),
    )


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("base", "base"),
        ({"base": "b"}, "b"),
        ({"append": "a", "base": "b", "prepend": "p", "data": "d"}, "p\n\nb\n\nd\n\na"),
        ({"base": "b\n", "data": {"description": " d"}}, "b\n\n\n d"),
        ({"prepend": "", "base": "b", "append": None}, "b"),
    ],
)
def test_the_texts_are_joined_by_blank_lines(prompt: Any, text: str) -> None:
    assert pair(prompt).messages == (Message(role="user", content=text),)


def test_text_and_base_mean_the_same() -> None:
    assert pair("x") == pair({"base": "x"})


def test_a_pair_with_a_table_is_a_template() -> None:
    prompt = {"base": "Say {{ it }}", "data": {"description": "in {{ lang }}", "input": {"rows": [{"it": "x"}]}}}
    document = parsed({"configuration": CONFIGURATION, "prompt": prompt})
    assert step_of(document).templated
    assert step_of(document).messages == (Message(role="user", content="Say {{ it }}\n\nin {{ lang }}"),)
    assert document.input.rows == ({"it": "x"},)


def test_a_pair_with_input_given_beside_it_is_a_template() -> None:
    document = parsed({"configuration": CONFIGURATION, "prompt": "Say {{ it }}"}, input_override="a.csv")
    assert step_of(document).templated
    assert (document.input.path, document.input.format) == ("a.csv", "csv")


def test_a_prompt_may_be_a_script() -> None:
    step = pair({"script": "make.py", "arguments": ["--lang", "de"]})
    assert step.script == ScriptRef(script="make.py", arguments=("--lang", "de"))
    assert step.messages is None


@pytest.mark.parametrize("command", ["ask.py", {"script": "ask.py"}])
def test_a_command_is_a_script_with_or_without_arguments(command: Any) -> None:
    assert pair("x", command=command).command == ScriptRef(script="ask.py")


def test_the_configuration_keeps_what_is_no_parameter_out_of_the_request() -> None:
    document = parsed(
        {
            "configuration": {
                "model": "m",
                "api_key": "${MY_KEY}",
                "endpoint": "http://host/v1",
                "operation": "responses",
                "schema": {"type": "object"},
                "timeout": 5,
                "reasoning_effort": "low",
            },
            "prompt": "x",
        }
    )
    step = step_of(document)
    assert step.parameters == {"reasoning_effort": "low"}
    assert (step.api_key, step.endpoint, step.operation) == ("MY_KEY", "http://host/v1", "responses")
    assert step.schema == {"type": "object"}
    assert document.policy.timeout_s == 5


def test_param_and_model_are_stronger_than_the_document() -> None:
    documents = parse_document(
        "a.json",
        json.dumps({"configuration": CONFIGURATION, "prompt": "x"}).encode(),
        parameters={"top_k": 1, "max_tokens": 9},
        models=["a", "b"],
        epoch="e",
    )
    assert [step_of(document).model for document in documents] == ["a", "b"]
    assert step_of(documents[0]).parameters == {"seed": 7, "temperature": 0.5, "top_k": 1, "max_tokens": 9}
    assert documents[0].epoch == "e"


def test_a_model_given_beside_the_pair_is_enough() -> None:
    assert step_of(parsed({"configuration": {}, "prompt": "x"}, models=["a"])).model == "a"


@pytest.mark.parametrize(
    ("configuration", "prompt", "key", "what", "remedy"),
    [
        ({"LLM_nme": "x"}, "x", "configuration.LLM_nme", "no model is named", "rename 'LLM_nme' to 'LLM_name'"),
        ({}, "x", "configuration", "no model is named", "add LLM_name"),
        ({"LLM_name": "x", "model": "y"}, "x", "configuration.model", "named twice", "remove one"),
        ({"LLM_name": 1}, "x", "configuration.LLM_name", "should be text", "quotes"),
        (
            {"LLM_name": "x", "temperature": "0"},
            "x",
            "configuration.temperature",
            "should be a number",
            "without quotes",
        ),
        ({"LLM_name": "x", "api_key": "sk-1"}, "x", "configuration.api_key", "a credential stands", "${NAME}"),
        ({"LLM_name": "x", "Authorization": "y"}, "x", "configuration.Authorization", "a credential", "api_key"),
        ({"LLM_name": "x", "messages": []}, "x", "configuration.messages", "is not a parameter", "`prompt`"),
        ({"LLM_name": "x", "command": "../a.py"}, "x", "configuration.command", "not in the allowed", "put the script"),
        ({"LLM_name": "x", "command": "/bin/sh"}, "x", "configuration.command", "not in the allowed", "put the script"),
        (
            {"LLM_name": "x", "command": {"scrpt": "a", "script": "a"}},
            "x",
            "configuration.command.scrpt",
            "unknown key",
            "'script'",
        ),
        ({"LLM_name": "x", "endpoint": "host"}, "x", "configuration.endpoint", "not an http", "https://host/v1"),
        ({"LLM_name": "x", "seed": "${SEED}"}, "x", "configuration.seed", "not filled in here", "$${SEED}"),
        ({"LLM_name": "x"}, "", "prompt", "the prompt is empty", "write the text"),
        ({"LLM_name": "x"}, {}, "prompt", "the prompt is empty", "write the text"),
        ({"LLM_name": "x"}, 3, "prompt", "should be a mapping", "write a mapping"),
        ({"LLM_name": "x"}, {"bse": "x"}, "prompt.bse", "unknown key 'bse'", "did you mean 'base'?"),
        ({"LLM_name": "x"}, {"base": "x", "script": "a.py"}, "prompt", "beside the script", "remove one"),
        ({"LLM_name": "x"}, {"base": "x", "arguments": ["1"]}, "prompt.arguments", "without a script", "remove them"),
        ({"LLM_name": "x"}, {"script": "a.py", "arguments": [1]}, "prompt.arguments[0]", "should be text", "quotes"),
        ({"LLM_name": "x", "description": "${X}"}, "x", "configuration.description", "not filled in here", "$${X}"),
        ({"LLM_name": "x"}, {"data": {"description": "${X}"}}, "prompt.data.description", "not filled in", "$${X}"),
        ({"LLM_name": "x"}, "cost ${HOME}", "prompt", "not filled in here", "$${HOME}"),
        ({"LLM_name": "x"}, {"base": "x", "data": {"inpt": {}}}, "prompt.data.inpt", "unknown key", "'input'"),
        (
            {"LLM_name": "x"},
            {"base": "x", "data": {"input": {"rows": [{"answer": 1}]}}},
            "prompt.data.input.rows[0].answer",
            "has the name of a prompt",
            "rename",
        ),
    ],
)
def test_a_mistake_is_answered_with_line_key_and_remedy(
    configuration: Any, prompt: Any, key: str, what: str, remedy: str
) -> None:
    document = {"configuration": configuration, "prompt": prompt}
    (problem,) = problems_of(document)
    assert problem.key == key
    assert problem.line == line_of(document, key)
    assert what in problem.what
    assert problem.remedy is not None
    assert remedy in problem.remedy
    assert problem.rule
    assert "sk-1" not in str(problem)


def line_of(document: Any, key: str) -> int:
    """The line of the last part of `key` in the document as it was written, one member per line."""
    word = key.rsplit(".", 1)[-1].split("[", 1)[0]
    lines = json.dumps(document, indent=1).splitlines()
    line = next(number for number, text in enumerate(lines, 1) if f'"{word}":' in text)
    return line + 1 if key.endswith("]") else line


@pytest.mark.parametrize(
    ("document", "key", "remedy"),
    [
        ({"configuraton": {}, "prompt": "x"}, "configuraton", "did you mean 'configuration'?"),
        ({"configuration": {"LLM_name": "x"}}, "prompt", "add 'prompt'"),
        ({"configuration": {"LLM_name": "x"}, "promt": "x"}, "promt", "did you mean 'prompt'?"),
    ],
)
def test_a_misspelt_half_of_the_pair_is_found(document: Any, key: str, remedy: str) -> None:
    assert [problem.remedy for problem in problems_of(document) if problem.key == key] == [remedy]


def test_a_profile_is_refused() -> None:
    (problem,) = problems_of({"configuration": CONFIGURATION, "prompt": "x"}, profile="dev")
    assert problem.what == "--profile cannot be used here"
    assert problem.remedy
