"""What is said of a value of the wrong type or out of its limits: in the words of documents, not of the validator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WANTED: Mapping[str, str] = {
    "string_type": "text",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_TO_WRITE: Mapping[str, str] = {
    "text": "put the value in quotes",
    "a number": "write a number, without quotes",
    "a whole number": "write a whole number, without quotes",
    "true or false": "write true or false, without quotes",
    "a list": "write a list: one `- ` item per line",
    "a mapping": "write a mapping: `key: value` lines below it",
}
# By kind: what is wrong, with the limit, and the remedy.
_LIMITS: Mapping[str, tuple[str, str]] = {
    "too_short": ("should have at least {min_length} item", "add at least one item"),
    "too_long": ("should have at most {max_length} item", "remove what is too many"),
    "string_too_short": ("should have at least {min_length} character", "write at least one character"),
    "string_too_long": ("should have at most {max_length} characters", "shorten it"),
    "greater_than": ("should be greater than {gt}", "choose a larger value"),
    "greater_than_equal": ("should be greater than or equal to {ge}", "choose a larger value"),
    "less_than": ("should be less than {lt}", "choose a smaller value"),
    "less_than_equal": ("should be less than or equal to {le}", "choose a smaller value"),
}


def worded(kind: str, message: str, seen: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    """What is wrong (to follow the name of the key), the rule, the remedy. `kind`, `message` and `context`: the
    validator's; a rule of this project says its remedy in the message, after a semicolon."""
    if (wanted := _WANTED.get(kind)) is not None:
        write = _TO_WRITE[wanted]
        if seen is None:
            return f"has no value; it should be {wanted}", "a key has a value", f"{write}, or remove the key"
        if wanted == "text" and isinstance(seen, list | dict):
            write = "write one text"
        return f"should be {wanted}", "values are not converted from one type to another", write
    if (limit := _LIMITS.get(kind)) is not None:
        what, remedy = limit
        return what.format_map(context), "the value has limits", remedy
    what, _, remedy = message.removeprefix("Input ").removeprefix("Value error, ").partition("; ")
    return what, "what stands here has a form of its own", remedy or "correct the value"
