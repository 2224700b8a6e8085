"""Reading a raw answer: small steps that all providers take. Pure; what is not a whole answer is a TransientError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from llm_jobs.documents.identity import LARGEST_EXACT_INTEGER
from llm_jobs.errors import TransientError
from llm_jobs.providers.base import ReplyStatus
from llm_jobs.providers.failures import failure_in_answer


def whole_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Raises TransientError if it is none, a CallError if it reports an error."""
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise TransientError(f"the answer is not whole JSON ({len(raw):,} bytes; {error.msg})") from None
    if not isinstance(answer, dict):
        raise TransientError(f"the answer is JSON, but no object ({raw[:80]!r})")
    if answer.get("error"):
        raise failure_in_answer(answer["error"])
    return answer


def member(answer: Mapping[str, Any], *path: str | int) -> Any:
    """The part of an answer at `path`. Raises TransientError where there is none: the answer is not whole."""
    value: Any = answer
    try:
        for part in path:
            value = value[part]
    except (KeyError, IndexError, TypeError):
        where = ".".join(map(str, path))
        raise TransientError(f"the answer is not whole: it has no {where}") from None
    return value


def object_at(answer: Mapping[str, Any], *path: str | int) -> dict[str, Any]:
    """The object in an answer at `path`. Raises TransientError where there is none."""
    value = member(answer, *path)
    if not isinstance(value, dict):
        raise TransientError(f"the answer is not whole: its {'.'.join(map(str, path))} is no object")
    return value


def objects_at(answer: Mapping[str, Any], *path: str | int) -> list[dict[str, Any]]:
    """The list of objects in an answer at `path`. Raises TransientError where there is none."""
    values = member(answer, *path)
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise TransientError(f"the answer is not whole: its {'.'.join(map(str, path))} is no list of objects")
    return values


def count(holder: object, *path: str) -> int | None:
    """A number of tokens at `path`, None where it is not stated or cannot be one."""
    for part in path:
        if not isinstance(holder, dict):
            return None
        holder = holder.get(part)
    return number(holder)


def number(value: object) -> int | None:
    """`value` as a number of tokens, None where it cannot be one."""
    # JSON's integers are exactly `int`; a boolean is not.
    return value if type(value) is int and 0 <= value <= LARGEST_EXACT_INTEGER else None


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def compact(value: object) -> str:
    """`value` as JSON text, for an output that is no text (tool calls)."""
    return orjson.dumps(value).decode()


def status_by(status: ReplyStatus, output: object) -> ReplyStatus:
    """`empty` in place of a success without output."""
    return "empty" if status == "succeeded" and (output is None or output == "" or output == []) else status
