"""Several Parquet files as one: the schemas are made one, or the file that has another is named. Streams.

A column that a file lacks is null there. What is one type in one file and another in the next is refused, for a value
would have to become another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.errors import DocumentError
from llm_jobs.sources.digest import open_bytes
from llm_jobs.sources.parquet_rows import open_parquet
from llm_jobs.sources.problems import Problems

BATCH_ROWS = 16_384


def write_parquet_files(urls: Sequence[str], path: Path) -> None:
    """Write the rows of all files, in their order, as one file. Raises DocumentError."""
    schema = _one_schema(urls)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for url in urls:
            with open_bytes(url) as stream:
                for batch in open_parquet(stream, Problems(url)).iter_batches(batch_size=BATCH_ROWS):
                    writer.write_batch(_fitted(batch, schema))


def _one_schema(urls: Sequence[str]) -> pa.Schema:
    joined: pa.Schema | None = None
    for url in urls:
        with open_bytes(url) as stream:
            schema = open_parquet(stream, Problems(url)).schema_arrow.remove_metadata()
        try:
            joined = schema if joined is None else pa.unify_schemas([joined, schema])
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise _other_types(url, urls[0], error) from None
    assert joined is not None
    return joined


def _other_types(url: str, first: str, error: Exception) -> DocumentError:
    return Problems(url).fatal(
        f"the file has other types than those before it: {error}",
        rule=f"files that are one table have one type per column, beginning with {first}",
        remedy="write the column with one type, or make the pattern narrower",
    )


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns in the order of `schema`, missing ones null."""
    names = set(batch.schema.names)
    arrays = [
        batch.column(field.name).cast(field.type) if field.name in names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
