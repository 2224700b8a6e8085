"""Words that rules of a JSON Schema are made of: which keys stand there, and what follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

Schema = dict[str, Any]
NULL: Schema = {"type": "null"}


def present(*keys: str) -> Schema:
    """The keys stand there, null or not."""
    return {"required": list(keys)}


def said(*keys: str) -> Schema:
    """The keys stand there and are not null."""
    return {"required": list(keys), "properties": {key: {"not": NULL} for key in keys}}


def filled(*keys: str) -> Schema:
    """The keys stand there, with lists that are not empty."""
    return {"required": list(keys), "properties": {key: {"type": "array", "minItems": 1} for key in keys}}


def equal(key: str, *values: str) -> Schema:
    """The key stands there with one of the values."""
    return {"required": [key], "properties": {key: {"enum": list(values)}}}


def value(key: str, schema: Schema) -> Schema:
    """The value of the key, where it stands there."""
    return {"properties": {key: schema}}


def only(keys: Iterable[str]) -> Schema:
    """No other keys."""
    return {"propertyNames": {"enum": sorted(keys)}}


def never(schema: Schema) -> Schema:
    return {"not": schema}


def either(*schemas: Schema) -> Schema:
    return {"anyOf": list(schemas)}


def where(condition: Schema, then: Schema, otherwise: Schema | None = None) -> Schema:
    """What holds where the condition does, and where it does not."""
    return {"if": condition, "then": then, **({} if otherwise is None else {"else": otherwise})}


def exactly_one(keys: Sequence[str]) -> Schema:
    """One of the keys is said, and no second."""
    return {"oneOf": [said(key) for key in keys]}


def at_most_one(keys: Sequence[str]) -> list[Schema]:
    """No two of the keys are said."""
    return [never(said(*pair)) for pair in combinations(keys, 2)]
