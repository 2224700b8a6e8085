"""Stacks: a named, versioned list of steps that a job is made of, with parameters of its own.

    job: {name: reviews, stack: sentiment, stack_version: ^1.2, stack_parameters: {language: German}}

A stack's text holds `prompts`, `steps` or `phases` as a job does, and what it says of models and rules for all of them;
what the job says stands over it. Reading texts is `prompts.stacks`'.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from llm_jobs.documents.asked import LISTS
from llm_jobs.documents.checks import Checks
from llm_jobs.documents.filling import Filling
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.parameters import ParameterModel, bind, refuse_unknown
from llm_jobs.documents.parts import Part, part_of
from llm_jobs.documents.profiles import STACK_KEYS
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import Source
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.documents.variables import Variables, is_read_by_name

_MODELS = ("model", "models", "fallback")
BODY = (*_MODELS, "on_status", *LISTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class StackText:
    """One version of a stack, as it was written."""

    name: str
    version: str
    source: Source
    digest: str = ""  # of what it says


# The stack of a name that a version or a range (None: the latest) allows. Raises NotFound or DocumentError.
StackReader = Callable[[str, str | None], StackText]


class StackModel(Model):
    """What a stack's file holds. The steps are validated where they become a job's."""

    description: str | None = None
    parameters: list[ParameterModel] = Field(default_factory=list)
    model: Any = None
    models: Any = None
    fallback: Any = None
    on_status: Any = None
    prompts: list[Any] | None = Field(default=None, min_length=1)
    steps: list[Any] | None = Field(default=None, min_length=1)
    phases: list[Any] | None = Field(default=None, min_length=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stacked:
    """A job with its stack's steps, and the names of the options that the stack took as its parameters."""

    job: Part
    taken: frozenset[str]


def read_stack(source: Source) -> StackModel:
    """What a stack says of itself. Raises DocumentError."""
    model, problems = validate(StackModel, source, source.value)
    raise_if_any(problems)
    assert model is not None
    checks = Checks(source)
    written = [key for key in LISTS if getattr(model, key) is not None]
    if len(written) != 1:
        checks.refuse(
            (written[1],) if written else (),
            f"the stack says what is asked {len(written)} times" if written else "the stack asks nothing",
            rule="one of prompts, steps and phases",
            remedy="keep one of them" if written else "write `prompts:` with at least one prompt",
        )
    raise_if_any(checks.problems)
    return model


def with_stack(
    job: Part, text: StackText, options: Mapping[str, JsonValue], variables: Variables, checks: Checks
) -> Stacked:
    """The job with the steps of the stack. `options`: what `--param` says; a parameter of the stack is taken from it
    before `stack_parameters`. Raises DocumentError for a stack that cannot be used."""
    model = read_stack(text.source)
    declared = [parameter.name for parameter in model.parameters]
    stated = job.get("stack_parameters")
    given = _stated(stated, checks)
    refuse_unknown(given, declared, checks, ("job", "stack_parameters"))
    taken = {name: value for name, value in options.items() if name in declared}
    inner = Checks(text.source)
    filling = Filling(
        source=text.source,
        values=bind(model.parameters, {**given, **taken}, inner, ("parameters",)),
        checks=inner,
        kept=variables.may_stand,
        raw=is_read_by_name,
        of="the stack",
    )
    raise_if_any(inner.problems)
    body = _body(text, filling)
    raise_if_any(inner.problems)
    return Stacked(job=_over(body, job.without(*STACK_KEYS)), taken=frozenset(taken))


def _over(body: Part, job: Part) -> Part:
    """The job with what the stack says and it does not. One that names a model names all of them."""
    if any(job.get(key) is not None for key in _MODELS):
        body = body.without(*_MODELS)
    added: dict[str | int, Part] = {}
    for key, part in body.entries():
        here = job.get(key)
        added[key] = part if here is None else _rules_over(part, here)
    return job.replaced(added)


def _rules_over(stack: Part, job: Part) -> Part:
    """The job's rules, and those of the stack for what the job has none for."""
    missing: dict[str | int, Part] = {status: rule for status, rule in stack.entries() if job.get(status) is None}
    return job.replaced(missing) if missing and isinstance(job.value, dict) else job


def _body(text: StackText, filling: Filling) -> Part:
    whole = part_of(text.source)
    origin = Origin(kind="stack", file=text.source.file, path=(), name=f"{text.name}@{text.version}")
    body = whole.without(*[key for key, _ in whole.entries() if key not in BODY]).from_(origin)
    return filling.fill(body, at=(), becomes=("job",))


def _stated(parameters: Part | None, checks: Checks) -> dict[str, JsonValue]:
    if parameters is None:
        return {}
    if isinstance(parameters.value, dict):
        return dict(parameters.value)
    checks.refuse(
        ("job", "stack_parameters"),
        "stack_parameters is no mapping",
        rule="each parameter of the stack by its name",
        remedy="write `stack_parameters: {name: value}`",
    )
    return {}


def check_single(job: Part, checks: Checks) -> None:
    """Refuse steps beside a stack."""
    for key in LISTS:
        if job.get(key) is not None:
            checks.refuse(
                ("job", key),
                f"the job has a stack and {key}",
                rule="a stack is all of a job's steps",
                remedy=f"remove `{key}` or `stack`; a profile changes single steps of a stack",
            )
