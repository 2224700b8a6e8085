"""The steps of a graph that are no prompts, resolved: tasks to what the registry says of them, compounds step by step.

Everything that can be wrong with a step's place is found here, before anything is spent: a task that nobody
registered, an input that it lacks or does not know, steps that wait for each other.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ParsedTask
from llm_jobs.documents.steps import GraphStep, PromptStep, RequestStep, TaskStep
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.operations.services import Services
from llm_jobs.providers.answers import compact
from llm_jobs.results.schemas import compile_check
from llm_jobs.tasks.base import AnyTask, PromptTask, Schema, Task, Values, given_inputs, missing_inputs
from llm_jobs.tasks.filling import written_problem

# Inputs of a task that is a prompt which say how it is asked, and are no text in it.
_NUMBERS = ("temperature", "max_tokens")
RECORDED = "recorded"  # the input by which a user has a task's answers kept
_ASKED_WITH = ("model", *_NUMBERS, "parameters")


def is_graph(steps: Sequence[GraphStep]) -> bool:
    """Are these more than steps that ask a model, one after the other?"""
    return any(
        not isinstance(step, PromptStep | RequestStep)
        or (isinstance(step, PromptStep) and (step.needs, step.when) != (None, None))
        for step in steps
    )


def as_prompt(services: Services, document: ParsedDocument, parsed: ParsedTask) -> ParsedPrompt | None:
    """A task that is a prompt under another name, as that prompt; None for one that computes."""
    task = _task(services, document, parsed)
    if not isinstance(task, PromptTask):
        return None
    inputs = given_inputs(task, parsed.inputs)
    model = inputs.get("model")
    parameters: dict[str, JsonValue] = {name: inputs[name] for name in _NUMBERS if name in inputs}
    stated = inputs.get("parameters")
    texts = {name: value for name, value in inputs.items() if name not in _ASKED_WITH}
    return ParsedPrompt(
        name=parsed.name,
        model=model if isinstance(model, str) else parsed.model,
        choice=None if isinstance(model, str) else parsed.choice,
        messages=task.asked(texts),
        parameters={**parameters, **(stated if isinstance(stated, dict) else {})},
        operation=task.operation,
        needs=parsed.needs,
        when=parsed.when,
        at=parsed.at,
    )


def task_step(services: Services, document: ParsedDocument, parsed: ParsedTask) -> TaskStep:
    """A task that computes. Raises DocumentError, and SetupError for what it lacks on this machine."""
    task = _task(services, document, parsed)
    assert isinstance(task, Task)
    around = services.surroundings
    try:
        written = task.written(parsed.inputs)
        fixed = {name: value for name, value in given_inputs(task, written).items() if name in task.fixed}
        _check(document, parsed, task, {**written, **fixed}, task.inputs)
        more = task.more_inputs(fixed, around)
        outputs = task.declared(fixed)
        for schema in outputs.values():
            compile_check(schema)
    except ValueError as error:
        raise DocumentError([_misfit(document, parsed, str(error))]) from None
    if more is not None:
        _check_names(document, parsed, written, [*task.inputs, *more], task.name)
    inputs = given_inputs(task, written, more)
    recorded = fixed.pop(RECORDED, task.recorded)
    return TaskStep(
        name=parsed.name,
        task=task.name,
        version=task.version,
        inputs={name: value for name, value in inputs.items() if name not in task.fixed},
        outputs=outputs,
        fixed=fixed,
        digest=task.digest(fixed, around),
        recorded=bool(recorded),
        needs=parsed.needs,
        when=parsed.when,
    )


def _task(services: Services, document: ParsedDocument, parsed: ParsedTask) -> AnyTask:
    task = services.tasks.get(parsed.task)
    known = [*task.inputs, *(_ASKED_WITH if isinstance(task, PromptTask) else ())]
    if isinstance(task, PromptTask):
        _check_names(document, parsed, parsed.inputs, known, task.name)
    problems = [
        document.problem(
            (*parsed.at, "inputs"),
            f"task {task.name} lacks the input {name!r}",
            rule=f"its inputs: {', '.join(known)}",
            remedy=f"write `{name}:` under inputs",
        )
        for name in missing_inputs(task, parsed.inputs)
    ]
    if problems:
        raise DocumentError(problems)
    return task


def _check_names(
    document: ParsedDocument, parsed: ParsedTask, written: Values, known: Sequence[str], task: str
) -> None:
    problems = []
    for name in written:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            problem = document.problem(
                (*parsed.at, "inputs", name),
                f"task {task} has no input {name!r}",
                rule=f"its inputs: {', '.join(known) or 'none'}",
                remedy=f"did you mean {near[0]}?" if near else "leave it out",
            )
            problems.append(problem)
    if problems:
        raise DocumentError(problems)


def _check(
    document: ParsedDocument, parsed: ParsedTask, task: Task, inputs: Values, schemas: Mapping[str, Schema]
) -> None:
    """Raise DocumentError for inputs that hold for every row and are not as the task declares them."""
    problems = []
    for name, value in inputs.items():
        what = written_problem(value, schemas.get(name, {}), fixed=name in task.fixed)
        if what is not None:
            problem = document.problem(
                (*parsed.at, "inputs", name),
                f"the input {name!r} of task {task.name}: {what}",
                rule=f"its schema is {compact(dict(schemas[name]))}",
                remedy="correct it",
            )
            problems.append(problem)
    if problems:
        raise DocumentError(problems)


def _misfit(document: ParsedDocument, parsed: ParsedTask, what: str) -> Problem:
    return document.problem(
        (*parsed.at, "inputs"),
        f"step {parsed.name}: {what}",
        rule=f"`llm-jobs tasks {parsed.task}` prints what the task takes",
        remedy="correct it",
    )
