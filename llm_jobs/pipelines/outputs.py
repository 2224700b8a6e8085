"""What flows between tasks: which outputs a task has, by the names that graphs call them, and what takes which.

The one output of a task without a name of its own is called as its kind is: a text is `text` or `answer`, a list of
numbers `vector`; `output` is the name of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.tasks.base import OWN, AnyTask, Schema

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "string": ("output", "text", "answer", "message", "model"),
    "vector": ("output", "vector", "embedding"),
    "array": ("output", "items", "texts", "paragraphs"),
}
_ANY_NAMES = ("output", "text", "answer", "message", "vector", "value", "result", "items", "model")


def reference(column: str) -> str:
    """The template that is a column's value."""
    return f"{{{{ {column} }}}}" if _NAME.fullmatch(column) else f"{{{{ row[{json.dumps(column)}] }}}}"


def output_names(task: AnyTask) -> list[str]:
    """The outputs of a task; the one without a name as `output`."""
    return [name or "output" for name in task.outputs]


def output_of(task: AnyTask, name: str) -> str | None:
    """The output that `name` means, as the task declares it; None where it means none."""
    if name in task.outputs:
        return name
    return OWN if OWN in task.outputs and name in _names_of(task.outputs[OWN]) else None


def _names_of(schema: Schema) -> tuple[str, ...]:
    kind = kind_of(schema)
    items = schema.get("items")
    if kind == "array" and isinstance(items, dict) and kind_of(items) in ("number", "integer"):
        kind = "vector"
    return _OWN_NAMES.get(kind or "", _ANY_NAMES)


def kind_of(schema: Schema) -> str | None:
    """The type that a schema states, if it states one."""
    kind: JsonValue = schema.get("type")
    return kind if isinstance(kind, str) else None


def is_split(given: Schema, taken: Schema) -> bool:
    """Whether a list flows into an input for one of its items."""
    return kind_of(given) == "array" and kind_of(taken) not in (None, "array")


def fits(given: Schema, taken: Schema, *, as_text: bool) -> bool:
    """Whether a value of one schema can be an input of another. `as_text`: the input is printed into a prompt."""
    source, target = kind_of(given), kind_of(taken)
    if source is None or target is None or source == target or (source, target) == ("integer", "number"):
        return True
    return as_text and target == "string"
