"""What is told of a stored table: its columns, and how many rows each step failed. Streams: one batch of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from llm_jobs.results.base import ResultStore

STATUS = "llm_status"
SUCCEEDED = "succeeded"


def column_types(store: ResultStore, path: str) -> dict[str, str]:
    """The columns of a table with their Arrow types. Raises NotFound."""
    with store.open(path) as stream:
        return {column.name: str(column.type) for column in pq.read_schema(stream)}


def unanswered_rows(store: ResultStore, path: str, columns: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """By step, the rows that did not succeed and lack one of its `columns`. Raises NotFound."""
    counts = dict.fromkeys(columns, 0)
    with store.open(path) as stream:
        file = pq.ParquetFile(stream)
        present = set(file.schema_arrow.names)
        wanted = sorted({name for names in columns.values() for name in names if name in present})
        for batch in file.iter_batches(columns=[*wanted, STATUS]):
            failed = pc.not_equal(batch.column(STATUS), SUCCEEDED)
            for step, names in columns.items():
                counts[step] += _lacking(batch, failed, [name for name in names if name in present])
    return counts


def _lacking(batch: pa.RecordBatch, failed: pa.Array, names: Sequence[str]) -> int:
    if not names:
        return 0
    lacks = batch.column(names[0]).is_null()
    for name in names[1:]:
        lacks = pc.or_(lacks, batch.column(name).is_null())
    return int(pc.sum(pc.and_(failed, lacks)).as_py() or 0)
