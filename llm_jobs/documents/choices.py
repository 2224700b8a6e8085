"""What is said beside a document, on the command line or in Python, and what it may touch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from llm_jobs.documents.identity import canonical_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import (
    ParsedCompound,
    ParsedDocument,
    ParsedPrompt,
    ParsedRequests,
    ParsedStep,
    ParsedTask,
)
from llm_jobs.documents.stacks import StackReader
from llm_jobs.documents.text import shown_value
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DocumentError, Problem

# Parameters of requests that may be given for every prompt, whether the document states them or not.
REQUEST_PARAMETERS = frozenset(
    {
        "dimensions",
        "frequency_penalty",
        "logprobs",
        "max_completion_tokens",
        "max_output_tokens",
        "max_tokens",
        "min_p",
        "num_ctx",
        "num_predict",
        "presence_penalty",
        "reasoning_effort",
        "repeat_penalty",
        "seed",
        "stop",
        "temperature",
        "thinking",
        "top_k",
        "top_logprobs",
        "top_p",
        "verbosity",
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """`--profile`, `--param`, `--input`, `--epoch`, `--model`, `--name`, and where `${NAME}` and stacks are found."""

    profile: str | None = None
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    input_override: str | None = None
    epoch: str | None = None
    models: tuple[str, ...] = ()
    job_name: str | None = None  # of the job that a template makes
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict)
    stacks: StackReader | None = field(default=None, compare=False)


def read_parameters(assignments: Iterable[str]) -> dict[str, JsonValue]:
    """`k=v` texts as values: what is JSON is read as JSON (`0.5`, `true`, `["a"]`), anything else is text.

    Raises DocumentError for a text without `=` and for a name given twice.
    """
    values: dict[str, JsonValue] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip() or name.strip() in values:
            what = "is given twice" if name.strip() in values else "is not of the form name=value"
            raise DocumentError([_bad_option("--param", assignment, what, "write --param temperature=0.5")])
        values[name.strip()] = _parameter_value(text)
    return values


def _parameter_value(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
        canonical_json(value)
    except (ValueError, RecursionError):
        return text
    return value


def overridden(declared: Mapping[str, JsonValue], parameters: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """One prompt's parameters after `--param`: request parameters reach every prompt, any other name only the prompts
    that declare it."""
    applied = {name: value for name, value in parameters.items() if name in REQUEST_PARAMETERS or name in declared}
    return {**declared, **applied}


def unknown_parameters(file: str, declared: Iterable[str], parameters: Mapping[str, JsonValue]) -> list[Problem]:
    """A Problem for each `--param` that no prompt declares and that is no request parameter."""
    known = sorted({*declared, *REQUEST_PARAMETERS})
    return [
        Problem(
            what=f"--param {name} names nothing in this document",
            file=file,
            key=name,
            value=shown_value(value),
            rule=f"known here: {', '.join(known)}",
            remedy="use --model"
            if name == "model"
            else did_you_mean(name, known, otherwise="declare it under the prompt's `parameters`"),
        )
        for name, value in parameters.items()
        if name not in known
    ]


def not_for(file: str, format_name: str, choices: Choices, options: Sequence[str]) -> list[Problem]:
    """A Problem for each of `options` (profile, parameters, input) that is given and that the format does not take."""
    given = {
        "profile": choices.profile,
        "parameters": choices.parameters or None,
        "input": choices.input_override,
    }
    flags = {"profile": "--profile", "parameters": "--param", "input": "--input"}
    return [
        Problem(
            what=f"{flags[option]} cannot be used here",
            file=file,
            rule=f"a {format_name} holds nothing that it could change",
            remedy=f"leave {flags[option]} out, or write a YAML job",
        )
        for option in options
        if given[option] is not None
    ]


def _bad_option(option: str, value: str, what: str, remedy: str) -> Problem:
    return Problem(what=f"{option} {value!r} {what}", rule=f"{option} has a fixed form", remedy=remedy)


def per_model(document: ParsedDocument, models: Sequence[str]) -> list[ParsedDocument]:
    """One document for each of `models`, asked of every prompt; the document itself where none is given."""
    return [replace(document, steps=tuple(_asked_of(step, model) for step in document.steps)) for model in models] or [
        document
    ]


def _asked_of(step: ParsedStep, model: str) -> ParsedStep:
    """`step` with one model in the place of all that it names."""
    if isinstance(step, ParsedPrompt):
        return replace(step, model=model, choice=None)
    if isinstance(step, ParsedTask):  # a model that the inputs name is what the task is about
        return replace(step, model=model, choice=None)
    if isinstance(step, ParsedCompound):
        return replace(step, steps=tuple(_asked_of(inner, model) for inner in step.steps))
    return replace(step, model=model) if isinstance(step, ParsedRequests) else step
