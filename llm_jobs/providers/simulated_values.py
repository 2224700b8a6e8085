"""A value that conforms to a JSON Schema, for answers of no model. Deterministic from the random source given.

Covers what structured answers use: types, enum, const, objects, arrays, bounds, formats, combinations, local
references. A `pattern` is met only by the simple ones (a literal or a character class with a count).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from random import Random
from typing import Any

from llm_jobs.documents.json_value import JsonValue

_DEPTH = 12  # a recursive schema ends here with its shortest value
_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "simulated@example.com",
    "hostname": "simulated.example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/simulated",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_CLASS = re.compile(r"\^?\[([^\]^]+)\](?:\{(\d+)(?:,\d*)?\}|\+|\*)?\$?")


def conforming(schema: Mapping[str, JsonValue] | bool, random: Random) -> JsonValue:
    """A value that `schema` allows."""
    return _Maker(schema, random).value(schema, 0)


class _Maker:
    def __init__(self, root: Any, random: Random) -> None:
        self._root = root
        self._random = random

    def value(self, schema: Any, depth: int) -> JsonValue:
        if not isinstance(schema, Mapping):
            return "simulated"
        schema = self._merged(schema, depth)
        if "const" in schema:
            return schema["const"]  # type: ignore[no-any-return]
        if schema.get("enum"):
            return self._choice(schema["enum"])  # type: ignore[no-any-return]
        kind = self._kind(schema, depth)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind in ("integer", "number"):
            return self._number(schema, whole=kind == "integer")
        return self._random.random() < 0.5 if kind == "boolean" else None

    def _merged(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """References followed, one branch of a choice taken, all parts of a conjunction put together."""
        merged = dict(schema)
        for _ in range(_DEPTH):
            reference, branches = merged.pop("$ref", None), merged.pop("anyOf", None) or merged.pop("oneOf", None)
            parts = merged.pop("allOf", [])
            if isinstance(reference, str):
                parts = [*parts, self._referred(reference)]
            if branches:
                parts = [*parts, min(branches, key=_size) if depth >= _DEPTH else self._choice(branches)]
            if not parts:
                break
            for part in parts:
                merged = _both(merged, part if isinstance(part, Mapping) else {})
        return merged

    def _referred(self, reference: str) -> Any:
        here = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                here = here.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(here, Mapping) else {}
        return here

    def _kind(self, schema: Mapping[str, Any], depth: int) -> str:
        kinds = schema.get("type")
        if isinstance(kinds, list):
            return "null" if depth >= _DEPTH and "null" in kinds else str(self._choice(kinds))
        if kinds is not None:
            return str(kinds)
        if "properties" in schema or "required" in schema:
            return "object"
        return "array" if "items" in schema else "string"

    def _object(self, schema: Mapping[str, Any], depth: int) -> JsonValue:
        properties, required = schema.get("properties", {}), schema.get("required", [])
        names = [name for name in properties if depth < _DEPTH or name in required]
        value = {name: self.value(properties[name], depth + 1) for name in names}
        beyond = schema.get("additionalProperties", True)
        for name in required:
            value.setdefault(name, self.value(beyond, depth + 1))
        return value

    def _array(self, schema: Mapping[str, Any], depth: int) -> JsonValue:
        fixed = [self.value(part, depth + 1) for part in schema.get("prefixItems", [])]
        least = schema.get("minItems", 0)
        most = schema.get("maxItems", max(least, 3))
        size = least if depth >= _DEPTH else max(least, min(most, 1 + self._below(2)))
        unique: list[JsonValue] = fixed[: max(size, least)] if len(fixed) > size else fixed
        tries = 0
        while len(unique) < size and tries < 1000:
            tries += 1
            item = self.value(schema.get("items", True), depth + 1)
            if not schema.get("uniqueItems") or item not in unique:
                unique.append(item)
        return unique

    def _string(self, schema: Mapping[str, Any]) -> str:
        if schema.get("format") in _FORMATS:
            return str(_FORMATS[schema["format"]])
        if "pattern" in schema:
            return _matching(schema["pattern"])
        text = f"simulated {self._below(10_000):04}"
        least, most = schema.get("minLength", 0), schema.get("maxLength", 200)
        return str((text + "." * max(0, least - len(text)))[:most])

    def _number(self, schema: Mapping[str, Any], *, whole: bool) -> int | float:
        step = schema.get("multipleOf") or (1 if whole else 0.01)
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        if low is None:
            low = 0 if high is None or high >= 0 else high - 100 * step
        first = math.ceil(low / step) + (1 if _reached(math.ceil(low / step) * step, schema, "exclusiveMinimum") else 0)
        last = first + 100 if high is None else math.floor(high / step)
        if high is not None and _reached(last * step, schema, "exclusiveMaximum"):
            last -= 1
        if last < first:
            middle: float = (low + high) / 2 if high is not None else low
            return middle
        chosen = (first + self._below(last - first + 1)) * step
        if whole:
            return int(chosen)
        rounded = round(float(chosen), 10)
        return rounded if (high is None or rounded <= high) and rounded >= low else float(chosen)

    def _choice(self, options: list[Any]) -> Any:
        return options[self._below(len(options))]

    def _below(self, count: int) -> int:
        return int(self._random.random() * count)


def _both(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**second, **first}
    if "properties" in first and "properties" in second:
        merged["properties"] = {**second["properties"], **first["properties"]}
    if "required" in first and "required" in second:
        merged["required"] = list(dict.fromkeys([*first["required"], *second["required"]]))
    return merged


def _size(schema: Any) -> int:
    return len(repr(schema))


def _reached(value: float, schema: Mapping[str, Any], bound: str) -> bool:
    return bound in schema and value == schema[bound]


def _matching(pattern: str) -> str:
    """Text that a simple pattern matches; a word where the pattern is not simple."""
    parts = _CLASS.fullmatch(pattern)
    if parts:
        return parts[1][0] * int(parts[2] or 1) if parts[1][0] != "\\" else "0" * int(parts[2] or 1)
    digits = re.sub(r"\\d(?:\{(\d+)(?:,\d*)?\}|\+|\*)?", lambda found: "0" * int(found[1] or 1), pattern)
    plain = digits.removeprefix("^").removesuffix("$").replace("\\", "")
    return plain if re.search(pattern, plain) else "simulated"
