"""A declared JSON Schema as Arrow types, and answers as their columns hold them. Pure.

Read of the schema: type, properties, required, additionalProperties: false, items, enum, const, `$ref` within it, and
null as a second type or alternative. What Arrow has no type for (an object of unknown members, several types at once,
a schema that contains itself) is text: its JSON, or the text itself where it is text. Whether an answer is what the
whole schema says is told by `schemas`; what is checked here is what a column needs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue

Schema = Mapping[str, Any]
MOST_LEVELS = 32
LARGEST_INT64 = 2**63 - 1
SCALARS = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64(), "boolean": pa.bool_()}
PYTHON_TYPES: Mapping[str, type] = {"string": str, "boolean": bool, "array": list, "object": dict}
JSON_TYPES: Mapping[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """One place of a schema. `kind` is None where a value of any type may stand."""

    kind: str | None
    type: pa.DataType
    nullable: bool
    choices: tuple[JsonValue, ...] | None = None
    members: Mapping[str, Node] | None = None  # of an object with properties
    required: frozenset[str] = frozenset()
    closed: bool = False  # no other members
    items: Node | None = None


def compile_schema(schema: Schema) -> Node:
    """The schema, ready to check answers. Raises ValueError for a `$ref` that leads nowhere in it."""
    return _node(schema, schema, 0)


def checked(value: JsonValue, node: Node, where: str = "the answer") -> JsonValue:
    """`value` as its column holds it. Raises ValueError, saying where, if it is not as declared."""
    if node.choices is not None and not _is_chosen(value, node.choices):
        raise ValueError(f"{where} is {_short(value)}, declared are {_short(list(node.choices))}")
    if value is None:
        if node.nullable:
            return None
        raise ValueError(f"{where} is null, declared is {node.kind}")
    if node.kind is not None and not _is_kind(value, node.kind):
        raise ValueError(f"{where} is {_short(value)}, declared is {node.kind}")
    if node.members is not None:
        return _checked_object(value, node, where)  # type: ignore[arg-type]
    if node.items is not None and pa.types.is_list(node.type):
        items = node.items
        return [checked(item, items, f"{where}[{index}]") for index, item in enumerate(value)]  # type: ignore[arg-type]
    if node.kind == "integer":
        return int(value)  # type: ignore[arg-type]
    if node.kind == "number":
        return float(value)  # type: ignore[arg-type]
    if pa.types.is_string(node.type) and not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return value


def _checked_object(value: dict[str, JsonValue], node: Node, where: str) -> dict[str, JsonValue]:
    members = node.members or {}
    if missing := node.required - value.keys():
        raise ValueError(f"{where} lacks {', '.join(sorted(missing))}")
    if node.closed and (unknown := value.keys() - members.keys()):
        raise ValueError(f"{where} has members that are not declared: {', '.join(sorted(unknown))}")
    return {
        name: checked(value[name], member, f"{where}.{name}") if name in value else None
        for name, member in members.items()
    }


def _node(schema: Schema, root: Schema, level: int) -> Node:
    schema, nullable = _resolve(schema, root)
    kind, null_type = _kind(schema)
    nullable = nullable or null_type
    choices = _choices(schema)
    if choices is not None and kind is None:
        kind, nullable = _kind_of_choices(choices), nullable or None in choices
    if kind == "object" and schema.get("properties") and level < MOST_LEVELS:
        return _object(schema, root, level, nullable)
    if kind == "array" and isinstance(schema.get("items"), Mapping) and level < MOST_LEVELS:
        items = _node(schema["items"], root, level + 1)
        return Node(kind=kind, type=pa.list_(items.type), nullable=nullable, choices=choices, items=items)
    unknown = kind is None and choices is None
    return Node(kind=kind, type=SCALARS.get(kind or "", pa.string()), nullable=nullable or unknown, choices=choices)


def _object(schema: Schema, root: Schema, level: int, nullable: bool) -> Node:
    members = {name: _node(member, root, level + 1) for name, member in schema["properties"].items()}
    return Node(
        kind="object",
        type=pa.struct([pa.field(name, member.type) for name, member in members.items()]),
        nullable=nullable,
        members=members,
        required=frozenset(schema.get("required", ())) & members.keys(),
        closed=schema.get("additionalProperties") is False,
    )


def _resolve(schema: Any, root: Schema) -> tuple[Schema, bool]:
    """The schema behind references and alternatives with null, and whether null was among them."""
    nullable = False
    for _ in range(MOST_LEVELS):
        if not isinstance(schema, Mapping):
            return {}, True
        alternatives = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
        if "$ref" in schema:
            schema = _target(str(schema["$ref"]), root)
        elif alternatives:
            others = [one for one in alternatives if one != {"type": "null"}]
            nullable = nullable or len(others) < len(alternatives)
            if len(others) != 1:
                return {}, True
            schema = others[0]
        else:
            return schema, nullable
    return {}, True


def _target(reference: str, root: Schema) -> Any:
    found: Any = root
    for part in reference.removeprefix("#").split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if not reference.startswith("#") or not isinstance(found, Mapping) or name not in found:
            raise ValueError(f"$ref {reference} leads nowhere in the schema")
        found = found[name]
    return found


def _kind(schema: Schema) -> tuple[str | None, bool]:
    """The one type of a schema, null apart; None for several types or none."""
    stated = schema.get("type")
    kinds = [stated] if isinstance(stated, str) else list(stated or ())
    others = [kind for kind in kinds if kind != "null"]
    if not others and "properties" in schema:
        others = ["object"]
    return (others[0] if len(others) == 1 else None), "null" in kinds


def _choices(schema: Schema) -> tuple[JsonValue, ...] | None:
    if "const" in schema:
        return (schema["const"],)
    return tuple(schema["enum"]) if "enum" in schema else None


def _kind_of_choices(choices: tuple[JsonValue, ...]) -> str | None:
    kinds = {JSON_TYPES.get(type(choice)) for choice in choices if choice is not None}
    return kinds.pop() if len(kinds) == 1 else None


def _is_chosen(value: JsonValue, choices: tuple[JsonValue, ...]) -> bool:
    """JSON's equality: 1 and 1.0 are equal, 1 and true are not."""
    return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in choices)


def _is_kind(value: JsonValue, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return whole and abs(value) <= LARGEST_INT64  # type: ignore[arg-type]
    if kind == "number":
        return isinstance(value, int | float)
    return isinstance(value, PYTHON_TYPES.get(kind, object))


def _short(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
