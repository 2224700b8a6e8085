"""JSON values as YAML that reads back as the same values, here and by the scalar rules of YAML 1.1 and 1.2.

What looks like anything but text is quoted; text of several lines stands as a block. A comment may follow a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from json import dumps

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.text import KeyPath

Comment = Callable[[KeyPath], str | None]

_INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./@+()=?!;,-]*(?: [A-Za-z0-9_./@+()=?!;,-]+)*")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})
# What YAML does not print, and what turns the direction of a text on a screen.
_UNPRINTED_SIGNS = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff"
_BLOCK_LINE = re.compile(f"[^\x00-\x1f\ud800-\udfff{_UNPRINTED_SIGNS}]*")
_UNPRINTED = re.compile(f"[{_UNPRINTED_SIGNS}]")


def write_yaml(value: JsonValue, *, comment: Comment | None = None) -> str:
    """The text of `value`, ending in a line break. `comment`: what to say after the value at a key path."""
    lines = _lines(value, (), comment or (lambda path: None))
    return "".join(f"{line}\n" if line.strip(" ") else "\n" for line in lines)


def _lines(value: JsonValue, path: KeyPath, comment: Comment) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _member(f"{_scalar(key)}:", item, (*path, key), comment)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _item(item, (*path, index), comment)
    else:
        yield _scalar(value) + _told(path, comment)


def _member(head: str, value: JsonValue, path: KeyPath, comment: Comment) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from (_INDENT + line for line in _lines(value, path, comment))
    elif isinstance(value, str) and _is_block(value):
        yield f"{head} {'|' if value.endswith(chr(10)) else '|-'}{_told(path, comment)}"
        yield from (_INDENT + line for line in value.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(value)}{_told(path, comment)}"


def _item(value: JsonValue, path: KeyPath, comment: Comment) -> Iterator[str]:
    is_row = len(path) > 1 and path[-2] == "rows"
    if isinstance(value, dict | list) and value and not is_row:
        first, *rest = _lines(value, path, comment)
        yield f"- {first}"
        yield from (_INDENT + line for line in rest)
    elif is_row:
        yield f"- {_json(value)}"
    else:
        yield from _member("-", value, path, comment)


def _told(path: KeyPath, comment: Comment) -> str:
    text = comment(path)
    return f"  # {text}" if text else ""


def _scalar(value: JsonValue) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return _json(value)


def _json(value: JsonValue) -> str:
    """JSON, which YAML reads too, without the signs that YAML does not print."""
    return _UNPRINTED.sub(lambda match: f"\\u{ord(match[0]):04x}", dumps(value, ensure_ascii=False))


def _is_block(text: str) -> bool:
    body = text.removesuffix("\n")
    lines = body.split("\n")
    return (
        "\n" in text
        and bool(lines[0])
        and bool(lines[-1])
        and not lines[0].startswith((" ", "\t"))
        and all(_BLOCK_LINE.fullmatch(line) and (not line or line.strip()) for line in lines)
    )
