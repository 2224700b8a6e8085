"""Matched rows of several results beside each other, and whether their answers differ. Streams, block by block.

Memory: one block, and a few row groups of each result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore
from llm_jobs.results.matching import NOWHERE, Matching
from llm_jobs.results.rows_at import Row, open_rows

BLOCK_ROWS = 1_024


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """One place: the number and the row of each result, None where it has no such row."""

    place: int
    numbers: Sequence[int | None]
    rows: Sequence[Row | None]


def beside(
    store: ResultStore,
    paths: Sequence[str],
    matching: Matching,
    *,
    names: Sequence[Sequence[str] | None],
    places: Sequence[int],
    at_once: int = BLOCK_ROWS,
) -> Iterator[Beside]:
    """The rows at `places`, in that order; of each result the columns `names`, all of them for None."""
    with ExitStack() as stack:
        opened = [stack.enter_context(open_rows(store, path, each)) for path, each in zip(paths, names, strict=True)]
        for start in range(0, len(places), at_once):
            block = places[start : start + at_once]
            numbers = [[_number(found[place]) for place in block] for found in matching.numbers]
            rows = [result.take(each) for result, each in zip(opened, numbers, strict=True)]
            for place, each, found in zip(block, zip(*numbers, strict=True), zip(*rows, strict=True), strict=True):
                yield Beside(place=place, numbers=each, rows=found)


def columns_compared(answers: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """For each result the names of the answers that are compared, in one order: those of the same name; where none has
    a name that all have, those in the same place."""
    common = [name for name in answers[0] if all(name in each for each in answers)]
    if common:
        return [common for _ in answers]
    shortest = min(map(len, answers))
    return [each[:shortest] for each in answers]


def differs(rows: Sequence[Row], compared: Sequence[Sequence[str]]) -> bool:
    """Have the rows other answers or other statuses?"""
    first, *others = [_said(row, names) for row, names in zip(rows, compared, strict=True)]
    return any(not _same(first, other) for other in others)


def _said(row: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    return [row[columns.STATUS], *(row[name] for name in names)]


def _same(first: Any, second: Any) -> bool:
    """Equality in which no number is no number: a list or mapping that holds one is equal to itself."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_same(first[name], second[name]) for name in first)
    return bool(first == second) or (first != first and second != second)


def _number(number: int) -> int | None:
    return None if number == NOWHERE else number
