"""The steps of a graph that are no prompts, resolved: tasks to what the registry says of them, compounds step by step.

Everything that can be wrong with a step's place is found here, before anything is spent: a task that nobody
registered, an input that it lacks or does not know, steps that wait for each other.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from llm_jobs.documents.job import GraphStep, JsonValue, PromptStep, RequestStep, TaskStep
from llm_jobs.documents.parsed import ParsedDocument, ParsedPrompt, ParsedTask
from llm_jobs.errors import DocumentError
from llm_jobs.operations.services import Services
from llm_jobs.tasks.base import AnyTask, PromptTask, Surroundings, given_inputs, missing_inputs

# Inputs of a task that is a prompt which say how it is asked, and are no text in it.
_NUMBERS = ("temperature", "max_tokens")
_ASKED_WITH = ("model", *_NUMBERS, "parameters")


def is_graph(steps: Sequence[GraphStep]) -> bool:
    """Are these more than steps that ask a model, one after the other?"""
    return any(
        not isinstance(step, PromptStep | RequestStep)
        or (isinstance(step, PromptStep) and (step.needs, step.when) != (None, None))
        for step in steps
    )


def surroundings(services: Services) -> Surroundings:
    """What tasks may use."""
    settings = services.settings
    return Surroundings(
        scripts=settings.scripts,
        roots=(settings.home, settings.home.parent, *settings.allowed_roots),
        timeout_s=settings.script_timeout_s,
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
        model=model if isinstance(model, str) else None,
        messages=task.asked(texts),
        parameters={**parameters, **(stated if isinstance(stated, dict) else {})},
        operation=task.operation,
        needs=parsed.needs,
        when=parsed.when,
        at=parsed.at,
    )


def task_step(services: Services, document: ParsedDocument, parsed: ParsedTask) -> TaskStep:
    """A task that computes. Raises DocumentError."""
    task = _task(services, document, parsed)
    assert not isinstance(task, PromptTask)
    return TaskStep(
        name=parsed.name,
        task=task.name,
        version=task.version,
        inputs=given_inputs(task, parsed.inputs),
        outputs=task.outputs,
        digest=task.digest(parsed.inputs, surroundings(services)),
        recorded=task.recorded,
        needs=parsed.needs,
        when=parsed.when,
    )


def _task(services: Services, document: ParsedDocument, parsed: ParsedTask) -> AnyTask:
    task = services.tasks.get(parsed.task)
    known = [*task.inputs, *(_ASKED_WITH if isinstance(task, PromptTask) else ())]
    problems = [
        document.problem(
            (*parsed.at, "inputs"),
            f"task {task.name} lacks the input {name!r}",
            rule=f"its inputs: {', '.join(known)}",
            remedy=f"write `{name}:` under inputs",
        )
        for name in missing_inputs(task, parsed.inputs)
    ]
    for name in parsed.inputs:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            problems.append(
                document.problem(
                    (*parsed.at, "inputs", name),
                    f"task {task.name} has no input {name!r}",
                    rule=f"its inputs: {', '.join(known) or 'none'}",
                    remedy=f"did you mean {near[0]}?" if near else "leave it out",
                )
            )
    if problems:
        raise DocumentError(problems)
    return task
