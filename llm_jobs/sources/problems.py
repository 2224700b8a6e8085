"""Collects what is wrong with one input file, so that a user sees it all at once.

Reading goes on after a problem only to find further ones: once one is known, no row of the file is used. Where a job
tolerates such rows, each is marked with its reason instead.
"""

from __future__ import annotations

from llm_jobs.errors import DocumentError, Problem

MOST_PROBLEMS = 20
MOST_VALUE_CHARACTERS = 80


class Problems:
    """The problems of one file. `add` raises DocumentError with all of them when there are `MOST_PROBLEMS`."""

    def __init__(self, file: str, *, is_tolerant: bool = False) -> None:
        """`is_tolerant`: a problem of one row is that row's, which `taken` tells; the others are read and used."""
        self.file = file
        self.is_tolerant = is_tolerant
        self._found: list[Problem] = []

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
        shown = None if value is None else shortened(value)
        self._found.append(
            Problem(what=what, file=self.file, line=line, key=key, value=shown, rule=rule, remedy=remedy)
        )
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
        shown = None if value is None else shortened(value)
        last = Problem(what=what, file=self.file, line=line, key=key, value=shown, rule=rule, remedy=remedy)
        return DocumentError([*self._found, last])


def shortened(value: object) -> str:
    """`value` as one short line."""
    text = repr(value)
    return text if len(text) <= MOST_VALUE_CHARACTERS else text[: MOST_VALUE_CHARACTERS - 1] + "…"
