"""Declared column types: from the values of a file to the type that the document states, or a problem.

Without a declaration nothing is converted: a CSV column is text, `007` stays `007`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Mapping

import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.sources.problems import Problems

INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
LARGEST_INT64 = 2**63 - 1
BOOLEANS = {"true": True, "false": False}

Converter = Callable[[JsonValue], JsonValue]


def to_int64(value: JsonValue) -> JsonValue:
    """An integer of 64 bits, also from its decimal text. Raises ValueError."""
    if type(value) is str and INTEGER.fullmatch(value):
        value = int(value)
    if type(value) is int and -LARGEST_INT64 - 1 <= value <= LARGEST_INT64:
        return value
    raise ValueError("an integer of 64 bits")


def to_float64(value: JsonValue) -> JsonValue:
    """A finite number, also from its decimal text; integers only where they are exact. Raises ValueError."""
    if type(value) is str and NUMBER.fullmatch(value):
        value = float(value)
    if type(value) is int and abs(value) <= LARGEST_INT64 and int(float(value)) == value:
        value = float(value)
    if type(value) is float and math.isfinite(value):
        return value
    raise ValueError("a number that 64 bits of floating point hold exactly, not NaN or infinite")


def to_bool(value: JsonValue) -> JsonValue:
    """true or false, also as text in any case. Raises ValueError."""
    if type(value) is bool:
        return value
    if type(value) is str and value.lower() in BOOLEANS:
        return BOOLEANS[value.lower()]
    raise ValueError("true or false")


def to_string(value: JsonValue) -> JsonValue:
    """Text as it is, anything else as its JSON text."""
    return value if type(value) is str else json.dumps(value, ensure_ascii=False)


CONVERTERS: Mapping[str, Converter] = {"integer": to_int64, "number": to_float64, "boolean": to_bool, "text": to_string}
ARROW_TYPES: Mapping[str, pa.DataType] = {
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
}


class DeclaredTypes:
    """The `types` of an input, ready to be applied to its rows."""

    def __init__(self, types: Mapping[str, str], problems: Problems) -> None:
        """Raises DocumentError for a type that is not known."""
        for name, kind in types.items():
            if kind not in CONVERTERS:
                problems.add(
                    "unknown column type",
                    key=name,
                    value=kind,
                    rule=f"types are {', '.join(CONVERTERS)}",
                    remedy="use one",
                )
        problems.refuse()
        self.types = dict(types)
        self._converters = [(name, kind, CONVERTERS[kind]) for name, kind in types.items()]
        self._problems = problems

    def apply(self, row: dict[str, JsonValue], line: int) -> None:
        """Convert the declared columns of `row` in place. null stays null; empty text is null unless text is wanted."""
        for name, kind, convert in self._converters:
            value = row.get(name)
            if value is None:
                continue
            if value == "" and kind != "text":
                row[name] = None
                continue
            try:
                row[name] = convert(value)
            except ValueError as error:
                self._note(name, kind, value, line, str(error))

    def check_columns(self, columns: Collection[str]) -> None:
        """Raises DocumentError for a declaration of a column that the table lacks."""
        for name in self.types:
            if name not in columns:
                self._problems.add(
                    "a type is declared for a column that is not there",
                    key=name,
                    rule=f"the columns are {', '.join(columns)}",
                    remedy="correct the name under `types`",
                )
        self._problems.refuse()

    def _note(self, name: str, kind: str, value: JsonValue, line: int, rule: str) -> None:
        self._problems.add(
            f"the value is not of the declared type {kind}",
            line=line,
            key=name,
            value=value,
            rule=f"{kind} is {rule}",
            remedy=f"correct the value, or declare `types: {{{name}: text}}`",
        )
