"""YAML with line numbers, by the scalar rules of YAML 1.2: `NO`, `on`, `12:30` and `007` are text.

Values are built from the parser's events and not by PyYAML's constructor: depth stays bounded, aliases are counted
before they are expanded, and no tag can make an object. The event parser of libyaml does not recurse.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from llm_jobs.documents.json_text import number_of
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.text import MAX_DEPTH, NO_CHILDREN, Findings, KeyPath, Lines, Source
from llm_jobs.errors import DocumentError

MAX_ALIASED_VALUES = 100_000

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NUMBER = re.compile(r"([-+]?(?:0|[1-9][0-9]*|(?=\.[0-9])))(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in ("str", "int", "float", "bool", "null", "map", "seq")}

_Built = tuple[JsonValue, Lines, int]  # the value, its lines, and how many values it is made of


def read_yaml(file: str, text: str) -> Source:
    """The one YAML document in `text`. Raises DocumentError with every problem found (after a syntax error: it)."""
    builder = _Builder(file)
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, None)
        _add_syntax_error(builder.findings, str(error.problem), text, line, column)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        _add_syntax_error(builder.findings, f"character {error.character!r}: {error.reason}", text, line, None)
    builder.findings.refuse()
    if builder.root is None:
        builder.findings.add("the document is empty", line=1, rule="a document holds a job", remedy="write one")
        builder.findings.refuse()
    assert builder.root is not None
    return Source(file, builder.root[0], builder.root[1])


def _add_syntax_error(findings: Findings, what: str, text: str, line: int, column: int | None) -> None:
    what, remedy = _explained(what, text.splitlines()[line - 1 : line], column)
    findings.add(f"not YAML: {what}", line=line, column=column, rule="the document is YAML 1.2 or JSON", remedy=remedy)


def _explained(what: str, lines: list[str], column: int | None) -> tuple[str, str]:
    """The parser's message and a remedy, made plainer where the text tells what was meant."""
    sign = lines[0][column - 1 : column] if lines and column else ""
    if sign == "\t":
        return "a tab stands where the line is indented", "write spaces"
    if what.startswith("found character that cannot start any token"):
        return f"a value cannot begin with {sign!r}", "put the value in quotes"
    if what.startswith("mapping values are not allowed"):
        return (
            "a second colon in one line, or a line that is indented too far",
            "put a text that holds `: ` in quotes; indent the line as those beside it",
        )
    return what, "correct the syntax here or just before: look at indentation, colons and quotes"


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    line: int
    value: dict[str, JsonValue] | list[JsonValue]
    anchor: str | None
    children: dict[str | int, Lines] = field(default_factory=dict)
    key: str | None = None
    key_line: int = 0
    size: int = 1


class _Builder:
    """Takes events one by one and holds what is built so far."""

    def __init__(self, file: str) -> None:
        self.findings = Findings(file)
        self.root: _Built | None = None
        self._open: list[_Open] = []
        self._anchors: dict[str, _Built] = {}
        self._aliased = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event, line)
            text_line = line + 1 if event.style == "|" else None
            self._place((value, Lines(line, NO_CHILDREN, text_line=text_line), 1), event.anchor, line)
        elif isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._start(event, line)
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            done = self._open.pop()
            self._place((done.value, Lines(done.line, done.children), done.size), done.anchor, done.line)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(str(event.anchor), line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._start_document(line)

    def _start_document(self, line: int) -> None:
        self._documents += 1
        if self._documents == 2:
            self.findings.add(
                "a second YAML document starts here",
                line=line,
                rule="a file holds one document",
                remedy="put each document into a file of its own",
            )

    def _start(self, event: Any, line: int) -> None:
        if len(self._open) >= MAX_DEPTH:
            self.findings.too_deep(line)
            raise DocumentError(self.findings.problems)
        self._check_tag(event.tag, line)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if self._open and isinstance(self._open[-1].value, dict) and self._open[-1].key is None:
            self._refuse_key(line)
        self._open.append(_Open(line=line, value={} if is_mapping else [], anchor=event.anchor))

    def _refuse_key(self, line: int) -> None:
        self.findings.add(
            "a mapping or a list stands as a key",
            line=line,
            path=self._path(),
            rule="keys are text",
            remedy="write a word as the key; put `{{ … }}` in quotes",
        )
        raise DocumentError(self.findings.problems)

    def _alias(self, anchor: str, line: int) -> None:
        built = self._anchors.get(anchor)
        if built is None:
            self.findings.add(
                f"the alias *{anchor} stands inside its own value, or nothing is named so",
                line=line,
                path=self._path(),
                rule="an alias repeats a value that is complete",
                remedy=f"write &{anchor} before a value above this line",
            )
            raise DocumentError(self.findings.problems)
        self._aliased += built[2]
        if self._aliased > MAX_ALIASED_VALUES:
            self.findings.add(
                f"aliases expand to more than {MAX_ALIASED_VALUES:,} values",
                line=line,
                path=self._path(),
                rule=f"at most {MAX_ALIASED_VALUES:,} values come from aliases",
                remedy="write the values out, or put the rows into a file",
            )
            raise DocumentError(self.findings.problems)
        self._place(built, None, line)

    def _place(self, built: _Built, anchor: str | None, line: int) -> None:
        """Put a complete value where it belongs: key, member, item or root."""
        if anchor is not None:
            self._anchors[anchor] = built
        if not self._open:
            self.root = built if self.root is None else self.root
            return
        here = self._open[-1]
        here.size += built[2]
        if isinstance(here.value, list):
            here.children[len(here.value)] = built[1]
            here.value.append(built[0])
        elif here.key is None:
            here.key, here.key_line = self._key(built[0], line), line
        else:
            here.value[here.key] = built[0]
            here.children[here.key] = Lines(here.key_line, built[1].children, text_line=built[1].text_line)
            here.key = None

    def _key(self, value: JsonValue, line: int) -> str:
        here = self._open[-1]
        if not isinstance(value, str) or value == "<<":
            self.findings.add(
                "merge keys are not read" if value == "<<" else "a key is not text",
                line=line,
                path=self._path(),
                value=str(value),
                rule="keys are text, each written out (YAML 1.2)",
                remedy="repeat the keys here" if value == "<<" else "put it in quotes",
            )
            value = str(value)
        if value in here.children:
            path = (*self._path(), value)
            self.findings.repeated_key(path, line=line, first_line=here.children[value].line)
        return value

    def _path(self) -> KeyPath:
        return tuple(self._path_parts())

    def _path_parts(self) -> Iterator[str | int]:
        for here in self._open:
            if isinstance(here.value, list):
                yield len(here.value)
            elif here.key is not None:
                yield here.key

    def _check_tag(self, tag: str | None, line: int) -> None:
        if tag not in (None, "!", *_TAGS):
            self.findings.add(
                f"the tag {tag} is not read",
                line=line,
                path=self._path(),
                rule="values are those of JSON",
                remedy="remove the tag",
            )

    def _scalar(self, event: Any, line: int) -> JsonValue:
        self._check_tag(event.tag, line)
        text: str = event.value
        kind = _TAGS.get(event.tag)
        if kind == "str" or not (event.implicit[0] or kind):
            return text
        value = self._plain(text, line)
        if kind == "float" and isinstance(value, int):
            return float(value)
        if kind is not None and type(value).__name__.replace("NoneType", "null") != kind:
            self.findings.add(
                f"the value is not of the type !!{kind}",
                line=line,
                path=self._path(),
                rule="a tag states the type that the value has",
                remedy="remove the tag",
            )
        return value

    def _plain(self, text: str, line: int) -> JsonValue:
        """A scalar without quotes."""
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        number = _NUMBER.fullmatch(text) if text[0] in "-+.0123456789" else None
        if number is not None:
            return number_of(number, self.findings, self._path(), line)
        if _NO_NUMBER.fullmatch(text):
            self.findings.not_a_number(text, self._path(), line)
            return 0
        return text
