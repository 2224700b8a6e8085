"""From the bytes of a document to plain JSON values that know the lines they stand on.

Invariant: what comes out is a JSON value that `identity.canonical_json` accepts, the same for YAML and for JSON, and
nothing in it was guessed: a repeated key, a second document, NaN, an integer that JSON cannot hold exactly, bytes that
are not UTF-8 and text that multiplies itself by aliases are refused, all at once, each with its line.

What the keys mean belongs to `models`; this module only asks whether the text is sound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import dumps

from llm_jobs.documents.encodings import other_kind
from llm_jobs.documents.identity import LARGEST_EXACT_INTEGER
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.origins import KeyPath as KeyPath
from llm_jobs.documents.origins import Origin, Place
from llm_jobs.errors import DocumentError, Problem

MAX_DEPTH = 100
SHOWN_VALUE_CHARS = 80
# Fields whose value is never repeated, not even in an error.
CREDENTIAL_KEYS = frozenset(
    {"access_token", "api_key", "apikey", "auth", "authorization", "password", "secret", "token", "x-api-key"}
)
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Lines:
    """The line (from 1) of one value, and of what it holds by key or index."""

    line: int
    children: Mapping[str | int, Lines]
    origin: Origin | None = None  # of this value and of what it holds, where it was composed from elsewhere
    text_line: int | None = None  # the line of a text's first line, where each line of the text has one of its own


NO_CHILDREN: Mapping[str | int, Lines] = {}


@dataclass(frozen=True, slots=True)
class Source:
    """A document's value, and where each part of it stands."""

    file: str
    value: JsonValue
    lines: Lines

    def line_of(self, path: KeyPath) -> int:
        """The line of the value at `path`, or of the nearest part above it that exists."""
        return self.place_of(path).line or 1

    def place_of(self, path: KeyPath, *, text_line: int | None = None) -> Place:
        """Where the value at `path` was written; of one that is not there, where the nearest part above it was.
        `text_line`: which line of the text there is meant, from 1."""
        here, origin, below_origin = self.lines, self.lines.origin, 0
        for depth, part in enumerate(path, start=1):
            below = here.children.get(part)
            if below is None:
                break
            here = below
            if here.origin is not None:
                origin, below_origin = here.origin, depth
        line = here.line if here.text_line is None or text_line is None else here.text_line + text_line - 1
        if origin is None:
            return Place(kind="document", file=self.file, line=line, path=path)
        return Place(
            kind=origin.kind,
            file=origin.file,
            line=line or None,
            path=(*origin.path, *path[below_origin:]),
            name=origin.name,
        )

    def problem(
        self,
        path: KeyPath,
        what: str,
        *,
        value: JsonValue | None = None,
        rule: str | None = None,
        remedy: str | None = None,
        text_line: int | None = None,
    ) -> Problem:
        """A Problem at `path`; in a text there, on its line `text_line`. A credential's value is left out."""
        shown = None if value is None or is_credential(path) else shown_value(value)
        place = self.place_of(path, text_line=text_line)
        return Problem(
            what=f"{place.name}: {what}" if place.kind == "option" else what,
            file=place.file,
            line=place.line,
            key=dotted(place.path) or None,
            value=shown,
            rule=rule,
            remedy=remedy,
        )


class Findings:
    """Gathers the problems of one text, so that all are reported at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def add(
        self,
        what: str,
        *,
        line: int,
        column: int | None = None,
        path: KeyPath = (),
        value: str | None = None,
        rule: str,
        remedy: str,
    ) -> None:
        shown = None if is_credential(path) else value
        self.problems.append(
            Problem(
                what=what,
                file=self.file,
                line=line,
                column=column,
                key=dotted(path) or None,
                value=shown,
                rule=rule,
                remedy=remedy,
            )
        )

    def refuse(self) -> None:
        """Raise DocumentError if anything was found."""
        if self.problems:
            raise DocumentError(sorted(self.problems, key=lambda problem: problem.line or 0))

    def repeated_key(self, path: KeyPath, *, line: int, first_line: int) -> None:
        self.add(
            f"the key {path[-1]!r} is written twice, first on line {first_line}",
            line=line,
            path=path,
            rule="a key stands once in its mapping",
            remedy="remove or rename one of the two",
        )

    def check_integer(self, value: int, path: KeyPath, line: int) -> None:
        if not -LARGEST_EXACT_INTEGER <= value <= LARGEST_EXACT_INTEGER:
            self.add(
                "the integer is too large to be exact",
                line=line,
                path=path,
                value=f"{value}"[:SHOWN_VALUE_CHARS] if abs(value) < 10**80 else None,
                rule="JSON numbers are exact within ±(2^53 - 1)",
                remedy="write it as text, in quotes",
            )

    def not_a_number(self, text: str, path: KeyPath, line: int) -> None:
        self.add(
            f"{text} is not a JSON number",
            line=line,
            path=path,
            rule="numbers are finite",
            remedy="leave the key out, write null, or put the word in quotes",
        )

    def too_deep(self, line: int) -> None:
        self.add(
            f"values are nested more than {MAX_DEPTH} deep",
            line=line,
            rule=f"at most {MAX_DEPTH} levels",
            remedy="write the document flatter",
        )


def is_credential(path: Sequence[str | int]) -> bool:
    """Whether a key on the way to this value is named like a credential."""
    return any(isinstance(part, str) and part.lower() in CREDENTIAL_KEYS for part in path)


def dotted(path: Sequence[str | int]) -> str:
    """A key path for a person: `job.prompts[0].model`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def shown_value(value: JsonValue) -> str:
    """`value` as an error shows it: JSON, cut short."""
    text = dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_VALUE_CHARS else text[: SHOWN_VALUE_CHARS - 1] + "…"


def decode(file: str, content: bytes, *, max_bytes: int) -> str:
    """`content` as text. Raises DocumentError if it is larger than `max_bytes`, or not UTF-8."""
    findings = Findings(file)
    if len(content) > max_bytes:
        findings.add(
            f"the document has {len(content):,} bytes",
            line=1,
            rule=f"at most {max_bytes:,} bytes are read",
            remedy="put the rows into a file of their own and name it under input.path",
        )
        findings.refuse()
    if (kind := other_kind(content)) is not None:
        findings.add(kind[0], line=1, rule="documents are text in UTF-8", remedy=kind[1])
        findings.refuse()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        findings.add(
            f"byte {content[error.start]:#04x} at offset {error.start} is not UTF-8",
            line=content.count(b"\n", 0, error.start) + 1,
            rule="documents are UTF-8",
            remedy="save the file as UTF-8",
        )
    raise DocumentError(findings.problems)
