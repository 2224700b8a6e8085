"""Rows of a stored result by their numbers, in any order: what pages and comparisons show of it.

Quick where the numbers grow, as they mostly do: the row groups that were read last are kept. Memory: GROUPS_KEPT of
them, of at most 16k rows or some 32 MiB each.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.arrays import array_of
from llm_jobs.results.base import ResultStore

GROUPS_KEPT = 2
Row = Mapping[str, Any]


class RowsAt:
    """An open result; `names` are the columns that are read, all where it says nothing."""

    def __init__(self, file: pq.ParquetFile, names: Sequence[str] | None = None) -> None:
        self._file = file
        self._names = list(names) if names is not None else list(file.schema_arrow.names)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
        self._starts = [0, *accumulate(sizes)]
        self._kept: dict[int, pa.Table] = {}

    def take(self, numbers: Sequence[int | None]) -> list[Row | None]:
        """The rows `numbers`, counted from 0, in that order; None for None. Times are ISO 8601 text in UTC."""
        by_group: dict[int, list[int]] = {}
        for place, number in enumerate(numbers):
            if number is not None:
                by_group.setdefault(self._group_of(number), []).append(place)
        found: list[Row | None] = [None] * len(numbers)
        for group, places in sorted(by_group.items()):
            start = self._starts[group]
            within = [number - start for place in places if (number := numbers[place]) is not None]
            rows = plain_rows(self._read(group).take(array_of(within, pa.int64())))
            for place, row in zip(places, rows, strict=True):
                found[place] = row
        return found

    def _group_of(self, number: int) -> int:
        return bisect_right(self._starts, number) - 1

    def _read(self, group: int) -> pa.Table:
        if group not in self._kept:
            while len(self._kept) >= GROUPS_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[group] = self._file.read_row_group(group, columns=self._names)
        return self._kept[group]


@contextmanager
def open_rows(store: ResultStore, path: str, names: Sequence[str] | None = None) -> Iterator[RowsAt]:
    """The result `path`, open for reading. Raises NotFound."""
    with store.open(path) as stream:
        yield RowsAt(pq.ParquetFile(stream), names)


def plain_rows(table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """Rows as dictionaries. Times become text in Arrow: as Python values they would import pandas, and mean the same
    to a reader."""
    columns = {name: _plain(column).to_pylist() for name, column in zip(table.schema.names, table.columns, strict=True)}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    return column.cast(pa.string()) if pa.types.is_timestamp(column.type) else column
