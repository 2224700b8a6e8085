"""Typed parameters of templates and stacks: what is declared, what is given for it, and where `${NAME}` is filled.

Text that is `${NAME}` and nothing else takes the parameter's value with its type; within other text a value is written
out. In SQL (`query`, `check`) only names and numbers are written, so that no value can become a statement. A value is
never read again: a `${` in it stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from json import dumps
from typing import Any, Literal

from pydantic import Field

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.parts import Part
from llm_jobs.documents.strict import Model
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.documents.validation import did_you_mean

ParameterType = Literal["string", "integer", "number", "boolean", "list"]
SQL_KEYS = frozenset({"query", "check"})
SQL_SECTIONS = frozenset({"input", "conditions"})

_KINDS: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
}
_REFERENCE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,3}")
_MANY = 100  # items, of which it pays to look first whether any has a reference
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


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
        return f"one of: {', '.join(_written(choice) for choice in parameter.choices)}"
    return f"it is a {parameter.type}"


def _remedy(parameter: ParameterModel) -> str:
    forms = {"string": "'\"text\"'", "integer": "7", "number": "0.5", "boolean": "true", "list": '\'["a", "b"]\''}
    if parameter.choices is not None:
        return "choose one of these"
    return f"write it as in --param {parameter.name}={forms[parameter.type]}"


@dataclass(kw_only=True)
class Filling:
    """Fills parameters into one text. `kept`: whether `${NAME}`, which is no parameter, may stay where it stands."""

    source: Source
    values: Mapping[str, Bound]
    checks: Checks
    kept: Callable[[KeyPath, str], bool]
    raw: Callable[[KeyPath], bool]  # where a reference to a variable is read by its name: nothing is escaped
    of: str  # "the template" or "the stack", for errors
    used: set[str] = field(default_factory=set)

    def fill(self, part: Part, *, at: KeyPath, becomes: KeyPath) -> Part:
        """`part`, which stands at `at` of the text and will stand at `becomes` of the document, filled in."""
        value = part.value
        if isinstance(value, str):
            return self._text(part, value, at, becomes) if "${" in value else part
        if isinstance(value, list) and len(value) > _MANY and not _mentions(value):
            return part
        changes: dict[str | int, Part] = {}
        for key, below in part.members():
            if isinstance(key, str):
                self._check_key(key, (*at, key))
            changed = self.fill(below, at=(*at, key), becomes=(*becomes, key))
            if changed is not below:
                changes[key] = changed
        return part.replaced(changes) if changes else part

    def _check_key(self, key: str, at: KeyPath) -> None:
        names = [name for name in _REFERENCE.findall(key) if name in self.values]
        if names:
            self.checks.refuse(
                at,
                f"${{{names[0]}}} stands in a key",
                rule="parameters are filled into values",
                remedy="write the key out",
            )

    def _text(self, part: Part, text: str, at: KeyPath, becomes: KeyPath) -> Part:
        used: list[str] = []
        whole = _REFERENCE.fullmatch(text)
        if whole is not None and whole[1] in self.values and not text.startswith("$$"):
            value = self.values[whole[1]].value
            used.append(whole[1])
            if self._is_sql(at):
                self._check_sql(whole, value, at)
            filled = value if self.raw(becomes) else escaped(value)
        else:
            filled = _REFERENCE.sub(lambda match: self._written(match, used, at, becomes), text)
        if not used:
            return part
        self.used.update(used)
        origin = Origin(kind="parameter", file=self.source.file, path=at, name=", ".join(map(self._told, used)))
        return part.holding(filled).from_(origin)

    def _told(self, name: str) -> str:
        return f"{name} (its default)" if self.values[name].is_default else name

    def _written(self, match: re.Match[str], used: list[str], at: KeyPath, becomes: KeyPath) -> str:
        name = match[1]
        if match[0].startswith("$$"):
            return match[0]
        if name not in self.values:
            self._check_other(name, at, becomes)
            return match[0]
        used.append(name)
        value = self.values[name].value
        if self._is_sql(at):
            self._check_sql(match, value, at)
        elif value is None or isinstance(value, list | dict):
            self.checks.refuse(
                at,
                f"${{{name}}} is {'null' if value is None else 'a list'} and stands within a text",
                rule="a list or null is a value of its own",
                remedy=f"write ${{{name}}} alone, or give the parameter a value",
            )
        text = _written(value)
        return text if self.raw(becomes) else str(escaped(text))

    def _check_other(self, name: str, at: KeyPath, becomes: KeyPath) -> None:
        if not self.kept(becomes, name):
            known = ["job_name", *(each for each in self.values if each != "job_name")]
            self.checks.refuse(
                at,
                f"${{{name}}} is neither a parameter of {self.of} nor a variable that is allowed",
                rule=f"parameters here: {', '.join(known)}; variables are listed in LLM_JOBS_DOCUMENT_VARIABLES",
                remedy=did_you_mean(name, known, otherwise=f"declare it, or write $${{{name}}} for the text itself"),
            )

    @staticmethod
    def _is_sql(at: KeyPath) -> bool:
        return at[-1] in SQL_KEYS and not SQL_SECTIONS.isdisjoint(at)

    def _check_sql(self, match: re.Match[str], value: JsonValue, at: KeyPath) -> None:
        if not _NUMBER.fullmatch(_written(value)) and not _IDENTIFIER.fullmatch(_written(value)):
            self.checks.refuse(
                at,
                f"the value of ${{{match[1]}}} cannot stand in SQL",
                value=value,
                rule="a parameter in SQL is a name (schema.table) or a number without a sign, and can be nothing else",
                remedy="give such a value, or write the query itself into the template",
            )


def _mentions(value: JsonValue) -> bool:
    """Whether a reference may stand anywhere in it, in a key or a value."""
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any("${" in key or _mentions(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_mentions, value))


def _written(value: JsonValue) -> str:
    return value if isinstance(value, str) else dumps(value, ensure_ascii=False)


def escaped(value: JsonValue) -> JsonValue:
    """The same value, as a document writes it: its `${NAME}` are text and no references."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: f"${match[0]}", value)
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return value
