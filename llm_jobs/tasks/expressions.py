"""An expression over the row as a column: `value: price * 1.19`."""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.tasks.base import OWN, Schema, Surroundings, Task, Values

TYPES = ("any", "string", "integer", "number", "boolean", "array", "object")


class ExpressionTask(Task):
    """The expression becomes a template that is nothing else, and so gives its value as it is.

    `type` is the column's: without it numbers are text there, for what an expression comes to is not known before.
    """

    name = "expression"
    category = "data"
    description = "What an expression over the row comes to, as a column."
    inputs = {"value": {}, "type": {"enum": list(TYPES), "default": "any"}}
    outputs = {OWN: {}}
    example = {"value": 3, "type": "integer"}
    fixed = frozenset({"type"})

    def run(self, inputs: Values, surroundings: Surroundings) -> Values:
        return {OWN: inputs["value"]}

    def written(self, inputs: Values) -> Values:
        value = inputs.get("value")
        if not isinstance(value, str) or value.strip().startswith("{{"):
            return inputs
        if "}}" in value or "{{" in value:
            raise ValueError("an expression is written without {{ and }}; put a space between two braces")
        return {**inputs, "value": f"{{{{ {value.strip()} }}}}"}

    def declared(self, fixed: Values) -> Mapping[str, Schema]:
        return {OWN: typed(fixed["type"])}


def typed(said: JsonValue) -> Schema:
    """The schema of what a document calls `number`, or declares as JSON Schema."""
    if isinstance(said, dict):
        return said
    return {} if said in ("any", None) else {"type": said}
