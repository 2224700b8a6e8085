"""A task's inputs as a document writes them, filled from a row and checked against what the task declares.

A text that is one expression and nothing else (`{{ items }}`) gives that value as it is: a list, a number, null. Every
other text is a template, and gives a text; so does every text where the task declares a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from llm_jobs.documents.expressions import Expression, compile_expression
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import RowError
from llm_jobs.prompts.rendering import WHOLE_ROW, compile_value
from llm_jobs.results.schemas import Check, compile_check
from llm_jobs.tasks.base import Schema

Row = Mapping[str, JsonValue]
_JSON = (str, int, float, list, tuple, Mapping, type(None))
_ALONE = re.compile(r"\s*\{\{(?:(?!\{\{|\}\}).)*\}\}\s*", re.DOTALL)


def compile_inputs(
    inputs: Mapping[str, JsonValue], *, where: str, schemas: Mapping[str, Schema]
) -> Callable[[Row], dict[str, JsonValue]]:
    """A function from a row to the inputs. Raises DocumentError for what is no template; it, RowError."""
    fills = {name: _compiled(value, f"{where}, input {name}", schemas.get(name, {})) for name, value in inputs.items()}
    checks = {name: check_of(schemas[name]) for name in inputs if schemas.get(name)}

    def fill(row: Row) -> dict[str, JsonValue]:
        filled = {name: fill(row) for name, fill in fills.items()}
        for name, check in checks.items():
            try:
                check(filled[name])
            except ValueError as error:
                raise RowError(f"{where}, input {name}: {_told(error)}") from None
        return filled

    return fill


def written_problem(value: JsonValue, schema: Schema, *, fixed: bool) -> str | None:
    """What is wrong with an input that is the same for all rows, told before any is read; None where nothing is."""
    templated = not fixed and isinstance(value, str) and any(mark in value for mark in ("{{", "{%", "{#"))
    if not schema or templated:
        return None
    try:
        check_of(schema)(value)
    except ValueError as error:
        return _told(error)
    return None


def check_of(schema: Schema) -> Check:
    """The check of one input; a text is told at once."""
    return _is_text if dict(schema) == {"type": "string"} else compile_check(schema)


def _is_text(value: object) -> None:
    if type(value) is not str:
        raise ValueError(f"it is {type(value).__name__}, and no text")


def _told(error: ValueError) -> str:
    return str(error).replace("the answer: ", "").replace("the answer", "it")


def _value(expression: Expression, row: Mapping[str, object], where: str) -> JsonValue:
    value = expression.value(row)
    if not isinstance(value, _JSON):
        raise RowError(
            f"{where}: {expression.text!r} comes to a {type(value).__name__}, which is no value; is a method called?"
        )
    return value  # type: ignore[return-value]


def _compiled(value: JsonValue, where: str, schema: Schema) -> Callable[[Row], JsonValue]:
    if isinstance(value, str) and _ALONE.fullmatch(value) and schema.get("type") != "string":
        text = value.strip()[2:-2].strip()
        expression = compile_expression(text, where=where)
        if WHOLE_ROW in expression.names:
            return lambda row: _value(expression, {WHOLE_ROW: row, **row}, where)
        return lambda row: _value(expression, row, where)
    return compile_value(value, templated=True)
