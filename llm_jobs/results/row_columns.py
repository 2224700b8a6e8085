"""The columns that a step adds to its table: of prompts their outputs, of tasks what they declare.

The output of a task without a name of its own is the column of the step's name; each other is `step.output`, and in
templates a member of `step`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import CompoundStep, FilterStep, RowStep, TaskStep
from llm_jobs.results.declared import checked, compile_schema
from llm_jobs.results.outputs import Outputs

OWN = ""  # the output of a task that has the step's own name


class TaskColumns:
    """The columns of one task step."""

    def __init__(self, step: TaskStep) -> None:
        self._step = step.name
        self._nodes = {name: compile_schema(schema) for name, schema in step.outputs.items()}
        self.fields = tuple(pa.field(self._column(name), node.type) for name, node in self._nodes.items())
        self._has_members = any(name != OWN for name in self._nodes)

    def values(self, outputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What a row takes of the outputs. Raises ValueError for one that is not as declared."""
        columns: dict[str, JsonValue] = {}
        for name, node in self._nodes.items():
            value = outputs.get(name)
            columns[self._column(name)] = (
                None if value is None else checked(value, node, f"the output {name or 'text'}")
            )
        if self._has_members:
            columns[self._step] = dict(outputs)
        return columns

    def _column(self, output: str) -> str:
        return f"{self._step}.{output}" if output != OWN else self._step


def row_fields(steps: Iterable[RowStep]) -> list[pa.Field]:
    """The columns that `steps` add to their table, in order."""
    return [field for step in steps for field in _fields(step)]


def _fields(step: RowStep) -> list[pa.Field]:
    if isinstance(step, FilterStep):
        return []
    if isinstance(step, TaskStep):
        return list(TaskColumns(step).fields)
    if isinstance(step, CompoundStep):
        inner = row_fields(step.steps)
        if step.kind == "first":
            own = next((field.type for field in inner if field.name == step.steps[0].name), pa.string())
            return [*inner, pa.field(step.name, own)]
        return inner
    return list(Outputs(step, operation=step.operation).fields)
