"""Where `${NAME}` of a template or a stack is filled with the value of a parameter.

Text that is `${NAME}` and nothing else takes the parameter's value with its type; within other text a value is written
out. In SQL (`query`, `check`) only names and numbers are written, so that no value can become a statement. A value is
never read again: a `${` in it stays text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.parameters import Bound, written
from llm_jobs.documents.parts import Part
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.documents.validation import did_you_mean

SQL_KEYS = frozenset({"query", "check"})
SQL_SECTIONS = frozenset({"input", "conditions"})
_REFERENCE = re.compile(r"\$?\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*){0,3}")
_MANY = 100  # items, of which it pays to look first whether any has a reference
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


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
        text = written(value)
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
        if not _NUMBER.fullmatch(written(value)) and not _IDENTIFIER.fullmatch(written(value)):
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


def escaped(value: JsonValue) -> JsonValue:
    """The same value, as a document writes it: its `${NAME}` are text and no references."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda match: f"${match[0]}", value)
    if isinstance(value, list):
        return [escaped(item) for item in value]
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return value
