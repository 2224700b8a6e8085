"""Stacks: a job made of named, versioned steps; what they mean, and each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from llm_jobs.documents.choices import read_parameters
from llm_jobs.documents.content import shown_content
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ParsedTask, every_step
from llm_jobs.documents.parsing import parse_document
from llm_jobs.documents.stacks import StackText
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError, NotFound, Problem

STACK = """\
description: Sentiment, with a second look at what is unclear.
parameters:
  - {name: language, default: English}
  - {name: seed, type: integer, default: 1}
model: base
on_status: {empty: ask_again, truncated: {ask_again: {max_tokens: 2x}}}
steps:
  - name: sentiment
    text: "In ${language}: is {{ review }} positive?"
    parameters: {seed: "${seed}"}
  - name: second
    prompt: second_look
    version: ^1.0
    when: sentiment == 'unclear'
  - name: shown
    task: debug_log
    inputs: {text: "{{ sentiment }}"}
    needs: [sentiment]
"""
JOB = """\
job:
  name: reviews
  stack: sentiment
  stack_version: ^1.2
  input: {rows: [{id: 1, review: good}]}
"""


def parsed(job: str = JOB, *parameters: str, stack: str = STACK, **options: Any) -> ParsedDocument:
    asked: list[tuple[str, str | None]] = []

    def read(name: str, version: str | None) -> StackText:
        asked.append((name, version))
        if name not in ("sentiment", "sentiment_analysis_stack"):
            raise NotFound(f"no stack {name!r}; there are sentiment")
        return StackText(name=name, version="1.2.5", source=read_yaml("stacks/sentiment/1.2.5.yaml", stack))

    [document] = parse_document(
        "reviews.yaml", job.encode(), parameters=read_parameters(parameters), stacks=read, **options
    )
    assert asked
    return document


def prompts(document: ParsedDocument) -> dict[str, ParsedPrompt]:
    return {step.name: step for step in every_step(document.steps) if isinstance(step, ParsedPrompt)}


def problems_of(job: str = JOB, *parameters: str, stack: str = STACK, **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parsed(job, *parameters, stack=stack, **options)
    return caught.value.problems


def text(document: ParsedDocument) -> str:
    messages = prompts(document)["sentiment"].messages
    assert messages is not None
    return shown_content(messages[0].content)


def test_the_steps_of_the_stack_are_the_job_s() -> None:
    document = parsed()
    assert [step.name for step in document.steps] == ["sentiment", "second", "shown"]
    assert {each.model for each in prompts(document).values()} == {"base"}
    assert text(document) == "In English: is {{ review }} positive?"
    assert isinstance(document.steps[2], ParsedTask)


def test_conditions_come_with_the_steps() -> None:
    assert prompts(parsed())["second"].when == "sentiment == 'unclear'"


def test_the_job_says_what_its_stack_s_parameters_are() -> None:
    document = parsed(f"{JOB}  stack_parameters: {{language: German, seed: 4}}\n")
    assert text(document).startswith("In German:")
    assert prompts(document)["sentiment"].parameters == {"seed": 4}


def test_param_gives_a_stack_s_parameter_and_stands_over_the_job() -> None:
    job = f"{JOB}  stack_parameters: {{language: German}}\n"
    assert text(parsed(job, "language=French", "temperature=0")).startswith("In French:")


def test_what_the_job_says_stands_over_the_stack() -> None:
    document = parsed(f"{JOB}  models: {{a: 1, b: 2}}\n  on_status: {{empty: give_up}}\n")
    choice = prompts(document)["sentiment"].choice
    assert choice is not None
    assert [name for name, _ in choice.models] == ["a", "b"]
    rules = document.policy.on_status["sentiment"]
    assert rules["empty"] == ()
    assert rules["truncated"] != ()


def test_a_profile_chooses_another_version_and_changes_a_step() -> None:
    profile = (
        "{stack_version: ~1.1, temperature: 1, stack_parameters: {language: German}, steps: [{name: second, model: m}]}"
    )
    document = parsed(f"{JOB}  profiles: {{it: {profile}}}\n", profile="it")
    assert text(document).startswith("In German:")
    found = prompts(document)
    assert (found["sentiment"].model, found["second"].model) == ("base", "m")
    assert found["second"].parameters == {"temperature": 1}


@pytest.mark.parametrize("body", ["prompts: [{name: a, text: x, model: m}]", "phases: [{name: a, prompt: x}]"])
def test_a_stack_may_be_prompts_or_phases(body: str) -> None:
    assert list(prompts(parsed(stack=body))) == ["a"]


JOB_MISTAKES = [
    ("  stack: other\n", 3, "job.stack", "no stack 'other'"),
    ("  stack: 4\n", 3, "job.stack", "stack is no text"),
    ("  stack_version: [1]\n  stack: sentiment\n", 3, "job.stack_version", "stack_version is no text"),
    ("  stack_version: ^1\n", 1, "job.stack", "stack is missing"),
    ("  stack_parameters: {langage: x}\n  stack: sentiment\n", 3, "job.stack_parameters", "no parameter 'langage'"),
    ("  stack_parameters: [x]\n  stack: sentiment\n", 3, "job.stack_parameters", "is no mapping"),
    ("  stack: sentiment\n  prompts: [{name: a, text: x}]\n", 4, "job.prompts", "a stack and prompts"),
    ("  stack: sentiment\n  steps: [{name: a, text: x}]\n", 4, "job.steps", "a stack and steps"),
    ("  stack: sentiment\n  phases: [{name: a, prompt: x}]\n", 4, "job.phases", "a stack and phases"),
    ("  stak: sentiment\n", 3, "job.stak", "unknown key 'stak'"),
]


@pytest.mark.parametrize(("lines", "line", "key", "what"), JOB_MISTAKES)
def test_a_mistake_in_what_a_job_says_of_its_stack(lines: str, line: int, key: str, what: str) -> None:
    job = f"job:\n  name: reviews\n{lines}"
    problem = next(each for each in problems_of(job) if what in each.what)
    assert (problem.file, problem.line, problem.key) == ("reviews.yaml", line, key)


STACK_MISTAKES = [
    ("steps:", "stepps:", 7, "stepps", "unknown key 'stepps'"),
    ("model: base", "name: x", 5, "name", "unknown key 'name'"),
    ("type: integer", "type: int", 4, "parameters[1].type", "is not one of the values"),
    ("default: 1", "default: x", 4, "parameters[1].default", "is no integer"),
    (", default: English", "", 3, "parameters[0]", "the parameter language is not given"),
    ("${language}", "${lang}", 9, "steps[0].text", "neither a parameter of the stack nor"),
    ("task: debug_log", "tsk: debug_log", 16, "steps[2].tsk", "unknown key 'tsk'"),
    ("needs: [sentiment]", "needs: [sentimnt]", 18, "steps[2].needs[0]", "needs 'sentimnt', which is no step"),
    ("model: base", "model: 4", 5, "model", "should be text"),
    ("sentiment == 'unclear'", "sentiment == (", 14, "steps[1].when", ""),
]


@pytest.mark.parametrize(("old", "new", "line", "key", "what"), STACK_MISTAKES)
def test_a_mistake_in_a_stack_is_told_in_the_stack_s_file(old: str, new: str, line: int, key: str, what: str) -> None:
    assert old in STACK
    problem = next(each for each in problems_of(stack=STACK.replace(old, new, 1)) if what in each.what)
    assert (problem.file, problem.line, problem.key) == ("stacks/sentiment/1.2.5.yaml", line, key)


@pytest.mark.parametrize(
    ("stack", "what"),
    [
        ("description: x", "the stack asks nothing"),
        ("prompts: [{name: a}]\nsteps: [{name: b}]", "says what is asked 2 times"),
        ("[a]", "should be a mapping"),
    ],
)
def test_a_stack_says_once_what_is_asked(stack: str, what: str) -> None:
    [problem] = problems_of(stack=stack)
    assert what in problem.what


def test_the_reference_s_stack_based_job_runs_as_it_stands() -> None:
    job = """\
job:
  name: advanced_analysis
  stack: sentiment_analysis_stack
  stack_version: 1.0.0
"""
    assert [step.name for step in parsed(job).steps] == ["sentiment", "second", "shown"]
