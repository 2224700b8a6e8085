"""A result in figures: how many rows of each status, what they cost and took, and which to look at first.

Reads the facts alone, never the rows' own columns. Memory: some 50 bytes per row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_jobs.arrays import scalar_of
from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore

SUCCEEDED = "succeeded"
_NAMED = [columns.STATUS, columns.MODEL, columns.MODEL_ANSWERED]
_COUNTED = [columns.PROMPT_TOKENS, columns.COMPLETION_TOKENS, columns.COST_USD, columns.LATENCY_S]


class Survey:
    """The facts of one result, and sums over them. A sum of nothing known is None, never 0."""

    def __init__(self, facts: pa.Table) -> None:
        self._facts = facts
        self.rows: int = facts.num_rows

    def statuses(self) -> dict[str, int]:
        """Rows by status: what failed first, the most of it first; what succeeded last."""
        counts = self._counts(columns.STATUS)
        return dict(sorted(counts.items(), key=lambda each: (each[0] == SUCCEEDED, -each[1], each[0])))

    def models(self) -> dict[str, int]:
        """Rows by the model that was asked last, the most first."""
        return dict(sorted(self._counts(columns.MODEL).items(), key=lambda each: (-each[1], each[0])))

    def numbers(self, status: str, most: int) -> list[int]:
        """The numbers, from 0, of the first rows with `status`."""
        return [int(number) for number in self._with_status(status).slice(0, most).to_pylist()]

    def total(self, name: str) -> Any:
        """The sum of a column of facts."""
        return pc.sum(self._column(name)).as_py()

    def unknown(self, name: str) -> int:
        """In how many rows the fact is not known."""
        return int(self._column(name).null_count)

    def quantiles(self, name: str, shares: Sequence[float]) -> list[float] | None:
        """The values below which those shares of the known ones lie, interpolated; None where none is known."""
        values = pc.quantile(self._column(name), q=list(shares)).to_pylist()
        return None if not values or values[0] is None else [float(value) for value in values]

    def histogram(self, name: str, *, width: float, buckets: int) -> list[int]:
        """How many known values lie in each bucket from 0 on; the last one has what lies beyond, too."""
        known = self._column(name).drop_null().cast(pa.float64())
        places = pc.floor(pc.divide(known, scalar_of(width, pa.float64())))
        places = pc.min_element_wise(places, scalar_of(float(buckets - 1), pa.float64()))
        counts = {int(each["values"]): each["counts"] for each in pc.value_counts(places).to_pylist()}
        return [counts.get(place, 0) for place in range(buckets)]

    def statuses_by_place(self, slices: int) -> dict[str, list[int]]:
        """Rows by status in consecutive slices of `slice_rows(slices)` rows; the last one may be shorter."""
        width = self.slice_rows(slices)
        divisor = scalar_of(width, pa.int64())
        found: dict[str, list[int]] = {}
        for status in self.statuses():
            places = pc.divide(self._with_status(status).cast(pa.int64()), divisor)
            counts = {each["values"]: each["counts"] for each in pc.value_counts(places).to_pylist()}
            found[status] = [counts.get(place, 0) for place in range(math.ceil(self.rows / width))]
        return found

    def totals_by_place(self, name: str, slice_rows: int) -> list[float | None]:
        """The sum of a column in consecutive slices of so many rows."""
        column = self._column(name)
        return [pc.sum(column.slice(start, slice_rows)).as_py() for start in range(0, self.rows, slice_rows)]

    def slice_rows(self, slices: int) -> int:
        return max(1, math.ceil(self.rows / slices))

    def _with_status(self, status: str) -> Any:
        return pc.indices_nonzero(pc.equal(self._column(columns.STATUS), scalar_of(status, pa.string())))

    def _counts(self, name: str) -> dict[str, int]:
        pairs = pc.value_counts(self._column(name).drop_null()).to_pylist()
        return {str(each["values"]): each["counts"] for each in pairs}

    def _column(self, name: str) -> Any:
        return self._facts.column(name).combine_chunks()


def survey(store: ResultStore, path: str) -> Survey:
    """The facts of the result `path`. Raises NotFound."""
    with store.open(path) as stream:
        facts = pq.ParquetFile(stream, read_dictionary=_NAMED).read(columns=[*_NAMED, *_COUNTED])
    return Survey(facts.unify_dictionaries())
