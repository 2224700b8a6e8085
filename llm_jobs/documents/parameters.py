"""Typed parameters of templates and stacks: what is declared, and what is given for it. Filling in is `filling`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import dumps
from typing import Any, Literal

from pydantic import Field

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import KeyPath
from llm_jobs.documents.validation import did_you_mean

ParameterType = Literal["string", "integer", "number", "boolean", "list"]

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class ParameterModel(Model):
    """One parameter. Without a default it is required, unless it says `required: false`: then it is null."""

    name: str
    type: ParameterType = "string"
    required: bool | None = None
    default: Any = None
    description: str | None = None
    choices: list[Any] | None = Field(default=None, min_length=1)


@dataclass(frozen=True, slots=True)
class Bound:
    """What a parameter came to. `is_default`: nobody gave it."""

    value: JsonValue
    is_default: bool = False


def bind(
    declared: Sequence[ParameterModel], given: Mapping[str, JsonValue], checks: Checks, at: KeyPath
) -> dict[str, Bound]:
    """The value of each declared parameter. `at`: where they are declared. A given name that is not declared is the
    caller's to judge."""
    bound: dict[str, Bound] = {}
    for index, parameter in enumerate(declared):
        here = (*at, index)
        _check_declared(parameter, [each.name for each in declared[:index]], checks, here)
        if parameter.name in given:
            bound[parameter.name] = Bound(_given(parameter, given[parameter.name], checks, here))
        elif parameter.required or (parameter.required is None and "default" not in parameter.model_fields_set):
            checks.refuse(
                here,
                f"the parameter {parameter.name} is not given",
                rule=f"it is required, a {parameter.type}"
                + (f": {parameter.description}" if parameter.description else ""),
                remedy=f"give --param {parameter.name}=…",
            )
        else:
            bound[parameter.name] = Bound(parameter.default, is_default=True)
    return bound


def refuse_unknown(given: Mapping[str, JsonValue], declared: Sequence[str], checks: Checks, at: KeyPath) -> None:
    """Refuse what is given for a parameter that nobody declared."""
    for name in given:
        if name not in declared:
            checks.refuse(
                at,
                f"there is no parameter {name!r}",
                rule=f"parameters here: {', '.join(declared) or 'none'}",
                remedy=did_you_mean(name, declared, otherwise="leave it out, or declare it"),
            )


def _check_declared(parameter: ParameterModel, before: Sequence[str], checks: Checks, at: KeyPath) -> None:
    if parameter.name in before or not _NAME.fullmatch(parameter.name) or parameter.name == "job_name":
        checks.refuse(
            (*at, "name"),
            "the parameter cannot be named so" if parameter.name not in before else "the parameter is declared twice",
            value=parameter.name,
            rule="a name is letters, digits and _, and stands once; job_name is the name that the new job is given",
            remedy="rename it",
        )
    if "default" not in parameter.model_fields_set:
        return
    if parameter.required:
        checks.refuse(
            (*at, "default"),
            "a required parameter has a default",
            rule="a default is for a parameter that may be left out",
            remedy="remove `required: true` or the default",
        )
    if parameter.default is not None and (what := _misfit(parameter, parameter.default)):
        checks.refuse((*at, "default"), f"the default {what}", rule=_rule(parameter), remedy="correct the default")


def _given(parameter: ParameterModel, value: JsonValue, checks: Checks, at: KeyPath) -> JsonValue:
    if parameter.type == "string" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)  # of `--param year=2026`, which reads as a number
    if what := _misfit(parameter, value):
        checks.refuse(
            at,
            f"the parameter {parameter.name} {what}",
            value=value,
            rule=_rule(parameter),
            remedy=_remedy(parameter),
        )
    return value


def _misfit(parameter: ParameterModel, value: JsonValue) -> str | None:
    kinds = _KINDS[parameter.type]
    if not isinstance(value, kinds) or (isinstance(value, bool) and parameter.type != "boolean"):
        return f"is no {parameter.type}"
    if parameter.choices is not None and value not in parameter.choices:
        return "is none of its choices"
    return None


def _rule(parameter: ParameterModel) -> str:
    if parameter.choices is not None:
        return f"one of: {', '.join(written(choice) for choice in parameter.choices)}"
    return f"it is a {parameter.type}"


def _remedy(parameter: ParameterModel) -> str:
    forms = {"string": "'\"text\"'", "integer": "7", "number": "0.5", "boolean": "true", "list": '\'["a", "b"]\''}
    if parameter.choices is not None:
        return "choose one of these"
    return f"write it as in --param {parameter.name}={forms[parameter.type]}"


def written(value: JsonValue) -> str:
    """A value as it stands within a text: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else dumps(value, ensure_ascii=False)
