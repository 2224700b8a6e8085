"""Collects what is wrong with one input file, so that a user sees it all at once.

Reading goes on after a problem only to find further ones: once one is known, no row of the file is used. Where a job
tolerates such rows, each is marked with its reason instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_jobs.errors import DocumentError, Problem

MOST_PROBLEMS = 20
MOST_VALUE_CHARACTERS = 80
PART_LINES = 1 << 40  # line numbers of one file among several: its place times this, and its own line


class Problems:
    """The problems of one file. `add` raises DocumentError with all of them when there are `MOST_PROBLEMS`."""

    def __init__(self, file: str, *, is_tolerant: bool = False) -> None:
        """`is_tolerant`: a problem of one row is that row's, which `taken` tells; the others are read and used."""
        self.file = file
        self.is_tolerant = is_tolerant
        self._parts: Sequence[str] = ()
        self._part = 0
        self._found: list[Problem] = []

    def of_part(self, parts: Sequence[str], part: int) -> None:
        """From now on, lines are those of the file `parts[part]`, or numbered over all files by `PART_LINES`."""
        self._parts, self._part = parts, part

    def place(self, line: int) -> str:
        """A line for a person; with its file, where there are several."""
        file, own = self._located(line)
        return f"line {own}" if len(self._parts) < 2 else f"{file}, line {own}"

    def _located(self, line: int | None) -> tuple[str, int | None]:
        if line is None or not self._parts:
            return (self._parts[self._part] if self._parts else self.file), line
        part, own = divmod(line, PART_LINES)
        return self._parts[part or self._part], own

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(
        self,
        what: str,
        *,
        rule: str,
        remedy: str,
        line: int | None = None,
        key: str | None = None,
        value: object = None,
    ) -> None:
        """Note one problem. `value` is what was seen, shortened."""
        self._found.append(self._problem(what, line=line, key=key, value=value, rule=rule, remedy=remedy))
        if len(self._found) >= MOST_PROBLEMS:
            self.refuse()

    def taken(self) -> str | None:
        """Why the row that was just read cannot be used; None where it can, and always where nothing is tolerated."""
        if not self.is_tolerant or not self._found:
            return None
        found, self._found = self._found, []
        return "; ".join(str(problem) for problem in found)

    def refuse(self) -> None:
        """Raise DocumentError if anything was found."""
        if self._found:
            raise DocumentError(self._found)

    def fatal(
        self,
        what: str,
        *,
        rule: str,
        remedy: str,
        line: int | None = None,
        key: str | None = None,
        value: object = None,
    ) -> DocumentError:
        """The error to raise where reading cannot go on: everything found so far and this."""
        last = self._problem(what, line=line, key=key, value=value, rule=rule, remedy=remedy)
        return DocumentError([*self._found, last])

    def _problem(
        self, what: str, *, rule: str, remedy: str, line: int | None, key: str | None, value: object
    ) -> Problem:
        file, own = self._located(line)
        shown = None if value is None else shortened(value)
        return Problem(what=what, file=file, line=own, key=key, value=shown, rule=rule, remedy=remedy)


def shortened(value: object) -> str:
    """`value` as one short line."""
    text = repr(value)
    return text if len(text) <= MOST_VALUE_CHARACTERS else text[: MOST_VALUE_CHARACTERS - 1] + "…"
