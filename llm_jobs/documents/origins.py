"""Where a part of a document comes from: its own text, a profile, a template, a stack, the command line.

Invariant: what is composed of several texts knows, part by part, the text and the key path at which each was written,
so that an error points there and `explain` tells it. Values are not here: an origin never holds one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# document:  the text of the document itself.
# template:  the text of the template that the document is or was made of.
# parameter: a parameter of the template or stack: given, or its default.
# profile:   the chosen profile.
# stack:     a stack's text.
# option:    what was said beside the document: --param, --model, --input, --epoch, --name.
# library:   a prompt of the library.
# variable:  an environment variable.
# default:   nobody said it.
OriginKind = Literal[
    "document", "template", "parameter", "profile", "stack", "option", "library", "variable", "default"
]
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a part was written. `path` is its key path in `file`; `name` is that of the profile, the parameters, the
    stack (`NAME@VERSION`), the option or the variables."""

    kind: OriginKind
    file: str
    path: KeyPath
    name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one value stands: in which file, on which line (from 1; None where it stands in no text), at which key
    path of that file."""

    kind: OriginKind
    file: str
    line: int | None
    path: KeyPath
    name: str | None = None

    def told(self, *, here: str) -> str:
        """For a person: `line 12`, `profile production, line 20`, `stack grading@1.2.0, 1.2.0.yaml:4`. `here`: the
        document, whose name is not repeated."""
        where = (
            None if self.line is None else (f"line {self.line}" if self.file == here else f"{self.file}:{self.line}")
        )
        if self.kind == "option":
            return self.name or ""
        if self.kind == "default":
            return f"default {self.name}" if self.name else "default"
        what = None if self.kind == "document" else f"{self.kind} {self.name}"
        return ", ".join(part for part in (what, where) if part)
