"""Rows of JSON Lines and of a JSON array of objects, and the JSON reader that both share. Streams.

Stricter than the standard library's reader: no member twice, no NaN, no infinity, no lone surrogate, because each of
them would silently become another value, or none, further on.
"""

from __future__ import annotations

import codecs
import json
import math
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import INPUT_ERROR
from llm_jobs.errors import DocumentError
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.text import BOM, BROKEN, LARGEST_ROW_BYTES, broken_bytes, note_bad_bytes, text_lines, too_large
from llm_jobs.sources.types import DeclaredTypes

CHUNK_BYTES = 1 << 18
SPACE = " \t\r\n"
LINE_RULE = "every line is one JSON object"
LINE_REMEDY = "write one object per line; an array of objects is format `json`"
ARRAY_RULE = "a JSON input is one array of objects"
ARRAY_REMEDY = "write [{…}, {…}]; one object per line is format `jsonl`"

Row = dict[str, JsonValue]
_BLANK = " \t\n\r"  # JSON's white space


def json_line_rows(stream: BinaryIO, types: DeclaredTypes, problems: Problems) -> Iterator[tuple[int, Row]]:
    """(line, row) for each line that is not blank. Raises DocumentError."""
    rows = 0
    for line, text in enumerate(text_lines(stream, problems), 1):
        if not text.strip():
            continue
        rows += 1
        row = _line(text, line, problems)
        if row is not None:
            types.apply(row, line)
        if (reason := problems.taken()) is not None:
            yield line, {INPUT_ERROR: reason}
        elif row is not None and not problems:
            yield line, row
    if not rows:
        problems.add("the file is empty", rule=LINE_RULE, remedy="write at least one row")
    problems.refuse()


def json_array_rows(stream: BinaryIO, types: DeclaredTypes, problems: Problems) -> Iterator[tuple[int, Row]]:
    """(line, row) for each object of the array. Raises DocumentError; the first syntax error ends the reading."""
    window = _Window(stream, problems)
    window.expect("[")
    if window.peek() != "]":
        for line, value in window.items():
            if isinstance(value, dict):
                types.apply(value, line)
            else:
                problems.add("the row is no object", line=line, value=value, rule=ARRAY_RULE, remedy=ARRAY_REMEDY)
            if (reason := problems.taken()) is not None:
                yield line, {INPUT_ERROR: reason}
            elif not problems:
                yield line, value  # type: ignore[misc]
    window.expect("]")
    if window.peek():
        raise window.broken("there is more after the array", ARRAY_RULE)
    problems.refuse()


def _line(text: str, line: int, problems: Problems) -> Row | None:
    try:
        row = _decoded(text)
        refuse_surrogates(row, text)
    except ValueError as error:
        what = (
            f"broken JSON: {error.msg} at column {error.colno}"
            if isinstance(error, json.JSONDecodeError)
            else str(error)
        )
        problems.add(what, line=line, value=text.rstrip(), rule=LINE_RULE, remedy=LINE_REMEDY)
    except RecursionError:
        problems.add("the JSON is nested too deeply", line=line, rule=LINE_RULE, remedy="flatten the row")
    else:
        if isinstance(row, dict):
            return row
        problems.add("the line is no object", line=line, value=row, rule=LINE_RULE, remedy=LINE_REMEDY)
    return None


def _decoded(text: str) -> JsonValue:
    """As `DECODER.decode`, without its two searches for white space, which take as long as a short line."""
    line = text.strip(_BLANK)
    try:
        value, end = DECODER.raw_decode(line)
    except ValueError:
        end = -1
    if end == len(line):
        return value  # type: ignore[no-any-return]
    return DECODER.decode(text)  # type: ignore[no-any-return] # which says where it is broken


def refuse_surrogates(value: JsonValue, text: str) -> None:
    """Raise ValueError if `value`, read from `text`, holds a lone surrogate, which no UTF-8 can."""
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("text with a lone surrogate (\\ud800 to \\udfff) has no UTF-8 form") from None


def _members(pairs: list[tuple[str, JsonValue]]) -> Row:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"member {twice!r} is written twice in one object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"number {text} is too large for 64 bits of floating point; write it as text")
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON; write null")


DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_refuse_constant)


class _Window:
    """The part of a JSON text that is read. Grows until the value at its start is whole."""

    def __init__(self, stream: BinaryIO, problems: Problems) -> None:
        self._stream = stream
        self._problems = problems
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False
        self._begun = False

    def peek(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in SPACE:
                    return character
                self._line += character == "\n"
                self._at += 1
            if not self._fill():
                return ""

    def expect(self, character: str) -> None:
        """Step over `character`, or raise DocumentError."""
        found = self.peek()
        if found == character:
            self._at += 1
        elif not found and not self._begun:
            raise self._problems.fatal("the file is empty", rule=ARRAY_RULE, remedy=ARRAY_REMEDY)
        else:
            raise self.broken(f"expected {character!r}, found {found or 'the end of the file'!r}", ARRAY_RULE)

    def items(self) -> Iterator[tuple[int, JsonValue]]:
        """(line, value) of each item up to the closing bracket."""
        while True:
            self.peek()
            yield self._line, self._value()
            if self.peek() != ",":
                return
            self._at += 1

    def broken(self, what: str, rule: str, *, at: int | None = None) -> DocumentError:
        """The error for text that is no JSON array."""
        at = self._at if at is None else at
        line = self._line + self._text.count("\n", self._at, at)
        return self._problems.fatal(
            f"broken JSON: {what}", line=line, value=self._text[at : at + 60], rule=rule, remedy=ARRAY_REMEDY
        )

    def _value(self) -> JsonValue:
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except ValueError as error:
                if self._fill():
                    continue
                at = error.pos if isinstance(error, json.JSONDecodeError) else self._at
                what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise self.broken(what, ARRAY_RULE, at=at) from None
            except RecursionError:
                raise self.broken("the row is nested too deeply", ARRAY_RULE) from None
            if end < len(self._text) or not self._fill():
                return self._accept(value, end)

    def _accept(self, value: JsonValue, end: int) -> JsonValue:
        text = self._text[self._at : end]
        try:
            refuse_surrogates(value, text)
        except ValueError as error:
            raise self.broken(str(error), ARRAY_RULE) from None
        self._line += text.count("\n")
        self._at = end
        return value

    def _fill(self) -> bool:
        """Read as much again as is held, so that a long row is tried a few times only. False at the end."""
        if self._ended:
            return False
        self._text, self._at = self._text[self._at :], 0
        if len(self._text) > LARGEST_ROW_BYTES:
            raise too_large(self._problems, self._line)
        self._text += self._read(max(CHUNK_BYTES, len(self._text)))
        return True

    def _read(self, size: int) -> str:
        try:
            chunk = self._stream.read(size)
        except BROKEN as error:
            raise broken_bytes(self._problems, self._line, error) from None
        first = b"" if self._begun else chunk
        self._ended = not chunk
        self._begun = self._begun or bool(chunk)
        try:
            return self._decoder.decode(chunk.removeprefix(BOM) if first else chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line = self._line + self._text.count("\n") + error.object[: error.start].count(b"\n")
            note_bad_bytes(self._problems, line, error, first_bytes=first)
            self._problems.refuse()
            raise
