"""What a step's answers become: one text column, typed columns where a JSON Schema is declared, or a vector.

Types come from the declaration alone, never from answers. A schema of an object with properties makes a column per
property; any other schema types the one column that has the step's name.
"""

from __future__ import annotations

import json
import re

import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import Operation, PromptStep, Step
from llm_jobs.results.declared import checked, compile_schema
from llm_jobs.results.schemas import compile_check

_FENCED = re.compile(r"\s*```[A-Za-z]*\n(.*?)\n?```\s*", re.DOTALL)
VECTOR = pa.list_(pa.float64())  # JSON numbers come back as they were


class Outputs:
    """The output columns of one step, compiled once. `operation` says what the lines of a batch file ask for."""

    def __init__(self, step: Step, *, operation: Operation | None = None) -> None:
        """Raises ValueError for what is no JSON Schema, or refers to nothing."""
        self._name = step.name
        self._is_vector = is_vector = (operation or _operation(step)) == "embeddings"
        declared = step.schema if isinstance(step, PromptStep) and not is_vector else None
        self._node = None if declared is None else compile_schema(declared)
        self._check = None if declared is None else compile_check(declared)
        self._may_be_fenced = isinstance(step, PromptStep) and not step.native
        self.is_spread = self._node is not None and self._node.members is not None
        self.fields = self._fields(is_vector)

    def values(self, output: JsonValue) -> dict[str, JsonValue]:
        """The columns of one output, as a `Reply` holds it. Raises ValueError where it is not what was declared."""
        if self._node is None:
            if self._is_vector and not _is_vector(output):
                raise ValueError("the answer is not one vector; ask about one text per row")
            return {self._name: output}
        parsed = _parsed(_unfenced(output) if self._may_be_fenced else output)
        if self._check is not None:
            self._check(parsed)
        value = checked(parsed, self._node)
        if not self.is_spread:
            return {self._name: value}
        return value if isinstance(value, dict) else {field.name: None for field in self.fields}

    def stand_in(self, value: JsonValue) -> dict[str, JsonValue]:
        """The columns of what a document states in an answer's place; null is null in each. Raises ValueError for what
        could not be an answer."""
        if value is None:
            return dict.fromkeys(field.name for field in self.fields)
        if self._node is None and not self._is_vector and not isinstance(value, str):
            raise ValueError(f"the answer to {self._name} is text")
        return self.values(value)

    def _fields(self, is_vector: bool) -> tuple[pa.Field, ...]:
        if self._node is not None and self._node.members is not None:
            return tuple(pa.field(name, member.type) for name, member in self._node.members.items())
        kind = self._node.type if self._node is not None else pa.string()
        return (pa.field(self._name, VECTOR if is_vector else kind),)


def _is_vector(output: JsonValue) -> bool:
    return isinstance(output, list) and all(isinstance(number, int | float) for number in output)


def output_fields(step: Step) -> list[pa.Field]:
    """The output columns of a step."""
    return list(Outputs(step).fields)


def _operation(step: Step) -> Operation:
    if isinstance(step, PromptStep) or step.endpoint is None:
        return step.operation
    return "embeddings" if step.endpoint.path.endswith(("/embeddings", "/embed")) else step.operation


def _unfenced(output: JsonValue) -> JsonValue:
    """The text within the one block of code that it consists of: how models write JSON that nothing forces them to."""
    found = _FENCED.fullmatch(output) if isinstance(output, str) else None
    return output if found is None else found[1]


def _parsed(output: JsonValue) -> JsonValue:
    if not isinstance(output, str):
        return output
    try:
        return json.loads(output, parse_constant=_refuse)  # type: ignore[no-any-return]
    except ValueError as error:
        raise ValueError(f"the answer is no JSON: {error}") from None


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no JSON number")
