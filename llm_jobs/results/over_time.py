"""What was bought for a result, over time: latency and cost of its rows in slices of equal length.

Rows that were reused are left out: nothing was sent for them, and their answers' times are of other runs.
Memory: three numbers per row that was bought.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore

MOST_SLICES = 60
_READ = [columns.ANSWERED_AT, columns.LATENCY_S, columns.COST_USD, columns.REUSED]
_AGGREGATES = [
    (columns.LATENCY_S, "tdigest", pc.TDigestOptions(q=[0.5, 0.95])),
    (columns.COST_USD, "sum"),
    ("slice", "count"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """The rows that were answered in one slice of time."""

    start_s: float  # since 1970
    rows: int
    p50_s: float | None  # of their latencies; by t-digest (T. Dunning, O. Ertl, 2019), so approximate
    p95_s: float | None
    cost_usd: float | None


def over_time(store: ResultStore, path: str, *, most_slices: int = MOST_SLICES) -> list[Slice]:
    """The slices of the result `path`, oldest first, without a gap; none where everything was reused. Raises
    NotFound."""
    bought = _bought(store, path)
    if not bought.num_rows:
        return []
    at_us = bought.column(columns.ANSWERED_AT).cast(pa.int64())
    bounds = pc.min_max(at_us).as_py()
    start_us = bounds["min"]
    width_us = max(1, -(-(bounds["max"] - start_us + 1) // most_slices))
    numbered = bought.append_column("slice", pc.divide(pc.subtract(at_us, start_us), width_us))
    found = {row["slice"]: row for row in numbered.group_by("slice").aggregate(_AGGREGATES).to_pylist()}
    return [
        _slice(found.get(number, {}), start_s=(start_us + number * width_us) / 1e6) for number in range(max(found) + 1)
    ]


def _bought(store: ResultStore, path: str) -> pa.Table:
    schema = pa.schema([field for field in columns.FACTS if field.name in _READ])
    with store.open(path) as stream:
        batches = [
            batch.filter(
                pc.and_(pc.invert(batch.column(columns.REUSED)), pc.is_valid(batch.column(columns.ANSWERED_AT)))
            )
            for batch in pq.ParquetFile(stream).iter_batches(columns=_READ)
        ]
    return pa.Table.from_batches([batch.select(schema.names) for batch in batches], schema=schema)


def _slice(row: dict[str, Any], *, start_s: float) -> Slice:
    p50_s, p95_s = row.get(f"{columns.LATENCY_S}_tdigest", (None, None))
    rows, cost_usd = row.get("slice_count", 0), row.get(f"{columns.COST_USD}_sum")
    return Slice(start_s=start_s, rows=rows, p50_s=p50_s, p95_s=p95_s, cost_usd=cost_usd)
