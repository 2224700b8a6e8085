"""The schema of what a profile may hold: sections of a job in which nothing is needed and null takes a key away.

A profile is merged before the job is read, so a section of it may be a part of one. What keys mean together is judged
of the whole (`schema_rules`), and not here; lists are replaced, so what stands in them is whole.
"""

from __future__ import annotations

from typing import Any

from llm_jobs.documents.profiles import NOT_IN_PROFILES, SHORT
from llm_jobs.documents.schema_words import NULL, Schema

PARTIAL = "Partial."
_MERGED_LISTS = ("prompts", "steps", "phases")  # whose members change the step of the same name


def profile_schema(job: Schema) -> Schema:
    """The keys of a profile, of the finished schema of a job."""
    keys = {key: value for key, value in job["properties"].items() if key not in NOT_IN_PROFILES}
    short = {key: _SHORT_KEYS[key] for key in SHORT if key not in keys}
    properties = {**short, **{key: _member(key, value) for key, value in keys.items()}}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def partial(owner: str, part: Schema) -> Schema:
    """A section of which any key may be left out or taken away. `name` tells which step is changed."""
    properties = part.get("properties", {})
    kept = {key: value for key, value in part.items() if key not in ("required", "allOf", "properties")}
    return {**kept, "properties": {key: _member(key, value) for key, value in properties.items()}}


def _member(key: str, value: Schema) -> Schema:
    told: Schema = {name: value[name] for name in ("description", "default") if name in value}
    merged = _partly(value, lists=key in _MERGED_LISTS)
    inner = {name: each for name, each in merged.items() if name not in told}
    if NULL in inner.get("anyOf", ()):
        return {**told, **inner}
    return {**told, "anyOf": [*inner["anyOf"], NULL] if set(inner) == {"anyOf"} else [inner, NULL]}


def _partly(value: Any, *, lists: bool) -> Any:
    """References to sections as references to parts of them; those in lists stay, but for steps."""
    if isinstance(value, list):
        return [_partly(each, lists=lists) for each in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return {**value, "$ref": str(value["$ref"]).replace("#/$defs/", f"#/$defs/{PARTIAL}")}
    return {name: each if name == "items" and not lists else _partly(each, lists=lists) for name, each in value.items()}


_SHORT_KEYS: dict[str, Schema] = {
    "temperature": {"description": "Of every prompt.", "anyOf": [{"type": "number", "minimum": 0}, NULL]},
    "max_tokens": {"description": "Of every prompt.", "anyOf": [{"type": "integer", "minimum": 1}, NULL]},
    "parameters": {"description": "Of the request of every prompt.", "anyOf": [{"type": "object"}, NULL]},
    "batch_size": {"description": "The input's.", "anyOf": [{"type": "integer", "minimum": 1}, NULL]},
}
