"""A task's inputs as a document writes them, filled from a row.

A text that is one expression and nothing else (`{{ items }}`) gives that value as it is: a list, a number, null. Every
other text is a template, and gives a text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from llm_jobs.documents.expressions import compile_expression
from llm_jobs.documents.job import JsonValue
from llm_jobs.prompts.rendering import WHOLE_ROW, compile_value

Row = Mapping[str, JsonValue]
_ALONE = re.compile(r"\s*\{\{(?:(?!\{\{|\}\}).)*\}\}\s*", re.DOTALL)


def compile_inputs(inputs: Mapping[str, JsonValue], *, where: str) -> Callable[[Row], dict[str, JsonValue]]:
    """A function from a row to the inputs. Raises DocumentError for what is no template; it, RowError."""
    fills = {name: _compiled(value, f"{where}, input {name}") for name, value in inputs.items()}
    return lambda row: {name: fill(row) for name, fill in fills.items()}


def _compiled(value: JsonValue, where: str) -> Callable[[Row], JsonValue]:
    if isinstance(value, str) and _ALONE.fullmatch(value):
        expression = compile_expression(value.strip()[2:-2].strip(), where=where)
        if WHOLE_ROW in expression.names:
            return lambda row: expression.value({WHOLE_ROW: row, **row})  # type: ignore[return-value]
        return lambda row: expression.value(row)  # type: ignore[return-value]
    return compile_value(value, templated=True)
