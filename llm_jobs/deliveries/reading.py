"""Stored results, read in batches."""

from __future__ import annotations

from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

BATCH_ROWS = 16_384


def opened(result: BinaryIO) -> pq.ParquetFile:
    """A stored result, to be read in batches."""
    result.seek(0)
    return pq.ParquetFile(result)


def reader_of(file: pq.ParquetFile, *, rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
    """The rows of `file`, at most so many at once."""
    return pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=rows))
