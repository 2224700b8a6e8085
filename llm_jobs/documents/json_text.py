"""JSON with line numbers, which the standard library's parser does not keep. Some 15 MB/s.

A syntax error ends the reading; what is sound JSON and refused all the same is gathered with it. An error shows one
character of the text and no more: what stands there may be a key.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from json.decoder import scanstring  # type: ignore[attr-defined]  # public, missing in the stubs
from typing import Any, NoReturn

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.text import MAX_DEPTH, NO_CHILDREN, Findings, KeyPath, Lines, Source
from llm_jobs.errors import DocumentError

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Mapping[str, JsonValue] = {"null": None, "true": True, "false": False}
_REMEDIES: Mapping[str, str] = {
    "": "close what is open: a quote, a bracket or a brace",
    "'": "write double quotes",
    "}": "remove the comma before it, or write what is missing",
    "]": "remove the comma before it, or write what is missing",
    "#": "JSON has no comments: remove it, or name the file .yaml",
    "/": "JSON has no comments: remove it",
}
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(file: str, text: str) -> Source:
    """The JSON value in `text`. Raises DocumentError with every problem found (after a syntax error: up to it)."""
    scanner = _Scanner(file, text)
    value, lines = scanner.read()
    scanner.findings.refuse()
    return Source(file, value, lines)


def read_line(line: str) -> JsonValue:
    """One line of a JSONL file, fast. Raises ValueError for what `read_json` refuses, without saying where."""
    value: JsonValue = json.loads(line, object_pairs_hook=_members, parse_constant=_no_number)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is written twice")
    return members


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")


class _Scanner:
    """One pass over a text: values with their lines, and the findings on the way."""

    def __init__(self, file: str, text: str) -> None:
        self.text = text
        self.findings = Findings(file)
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def read(self) -> tuple[JsonValue, Lines]:
        at = self._skip(0)
        value, lines, at = self._value(at, ())
        at = self._skip(at)
        if at != len(self.text):
            self._stop("text after the end of the value", at)
        return value, lines

    def _line(self, at: int) -> int:
        return bisect_right(self._starts, at)

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self.text, at)
        assert match is not None
        return match.end()

    def _stop(self, what: str, at: int) -> NoReturn:
        line = self._line(min(at, len(self.text)))
        sign = self.text[at : at + 1]
        self.findings.add(
            what,
            line=line,
            column=at - self._starts[line - 1] + 1,
            value=sign or "end of the file",
            rule="the document is JSON (RFC 8259), or YAML in a file without .json",
            remedy=_REMEDIES.get(sign, "correct the syntax here or just before"),
        )
        raise DocumentError(self.findings.problems)

    def _value(self, at: int, path: KeyPath) -> tuple[JsonValue, Lines, int]:
        line = self._line(at)
        if len(path) > MAX_DEPTH:
            self.findings.too_deep(line)
            raise DocumentError(self.findings.problems)
        first = self.text[at : at + 1]
        if first == "{":
            return self._mapping(at, path, line)
        if first == "[":
            return self._list(at, path, line)
        leaf = Lines(line, NO_CHILDREN)
        if first == '"':
            string, at = self._string(at, path)
            return string, leaf, at
        for word, value in _WORDS.items():
            if self.text.startswith(word, at):
                return value, leaf, at + len(word)
        number, at = self._number(at, path, line)
        return number, leaf, at

    def _mapping(self, at: int, path: KeyPath, line: int) -> tuple[JsonValue, Lines, int]:
        members: dict[str, JsonValue] = {}
        children: dict[str | int, Lines] = {}
        at = self._skip(at + 1)
        while self.text[at : at + 1] != "}":
            if members:
                at = self._after_comma(at, "}")
            at, key, key_line = self._key(at, path)
            value, below, at = self._value(at, (*path, key))
            if key in members:
                self.findings.repeated_key((*path, key), line=key_line, first_line=children[key].line)
            members[key], children[key] = value, Lines(key_line, below.children)
            at = self._skip(at)
        return members, Lines(line, children), at + 1

    def _key(self, at: int, path: KeyPath) -> tuple[int, str, int]:
        if self.text[at : at + 1] != '"':
            self._stop("a key in double quotes is expected", at)
        line = self._line(at)
        key, at = self._string(at, path)
        at = self._skip(at)
        if self.text[at : at + 1] != ":":
            self._stop("a colon is expected after the key", at)
        return self._skip(at + 1), key, line

    def _list(self, at: int, path: KeyPath, line: int) -> tuple[JsonValue, Lines, int]:
        items: list[JsonValue] = []
        children: dict[str | int, Lines] = {}
        at = self._skip(at + 1)
        while self.text[at : at + 1] != "]":
            if items:
                at = self._after_comma(at, "]")
            value, children[len(items)], at = self._value(at, (*path, len(items)))
            items.append(value)
            at = self._skip(at)
        return items, Lines(line, children), at + 1

    def _after_comma(self, at: int, end: str) -> int:
        if self.text[at : at + 1] != ",":
            self._stop(f"a comma or {end} is expected", at)
        return self._skip(at + 1)

    def _string(self, at: int, path: KeyPath) -> tuple[str, int]:
        try:
            string, end = scanstring(self.text, at + 1, True)
        except json.JSONDecodeError as error:
            self._stop(f"{error.msg[0].lower()}{error.msg[1:]}".removesuffix(" at"), error.pos)
        if _SURROGATE.search(string):
            self.findings.add(
                "a lone surrogate",
                line=self._line(at),
                path=path,
                rule="text has a UTF-8 form",
                remedy="write the character itself, or both halves of the pair",
            )
        return string, end

    def _number(self, at: int, path: KeyPath, line: int) -> tuple[int | float, int]:
        for word in _NO_NUMBERS:
            if self.text.startswith(word, at):
                self.findings.not_a_number(word, path, line)
                return 0, at + len(word)
        match = _NUMBER.match(self.text, at)
        if match is None:
            self._stop("a value is expected", at)
        return number_of(match, self.findings, path, line), match.end()


def number_of(match: re.Match[str], findings: Findings, path: KeyPath, line: int) -> int | float:
    """The number of a match whose groups are integer digits, fraction and exponent."""
    if match[2] is None and match[3] is None:
        if len(match[0]) > 40:  # beyond exact anyway; converting thousands of digits is slow or refused
            findings.check_integer(10**40, path, line)
            return 0
        value = int(match[0])
        findings.check_integer(value, path, line)
        return value
    number = float(match[0])
    if number in (float("inf"), float("-inf")):
        findings.not_a_number(match[0], path, line)
        return 0
    return number
