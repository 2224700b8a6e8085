"""Reads one result as it was written, and shows completed rows under the schema of a result to be. Streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.results.base import ResultStore
from llm_jobs.results.writing import column_array

BATCH_ROWS = 16_384


def read_result(store: ResultStore, path: str, *, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
    """The rows and columns of the result `path`, in order. Memory: one row group and one batch. Raises NotFound."""
    with store.open(path) as stream:
        schema = pq.read_schema(stream)
    return pa.RecordBatchReader.from_batches(schema, _batches(store, path, batch_rows))


def batches_of(rows: Iterable[Sequence[Mapping[str, object]]], schema: pa.Schema) -> pa.RecordBatchReader:
    """Rows in lists of some hundreds, as `completed` rows are made, as record batches of `schema`. Streams.

    A column that a row lacks is null; what is no column is left out.
    """
    return pa.RecordBatchReader.from_batches(schema, (_batch(each, schema) for each in rows if each))


def _batches(store: ResultStore, path: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
    with store.open(path) as stream:
        yield from pq.ParquetFile(stream).iter_batches(batch_size=batch_rows)


def _batch(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [column_array([row.get(field.name) for row in rows], field) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
