"""A result as the table of another job: the rows that succeeded, without the facts of how they were answered."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.errors import ImmutableError
from llm_jobs.files import Draft
from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore
from llm_jobs.results.single import read_result


def write_as_table(store: ResultStore, path: str, target: Path) -> None:
    """Write the result `path` as a Parquet table at `target`, once: rows in order, `llm_…` columns left out. Streams.

    Where `target` is there already, it stays. Raises NotFound where there is no such result.
    """
    import pyarrow.compute as pc  # 0.04 s, which every run would take and few need

    reader = read_result(store, path)
    kept = [field for field in reader.schema if not field.name.startswith(columns.PREFIX)]
    schema = pa.schema(kept)
    with suppress(ImmutableError):
        draft = Draft(target)
        try:
            with pq.ParquetWriter(draft.path, schema, compression="zstd") as writer:
                for batch in reader:
                    succeeded = batch.filter(pc.equal(batch.column(columns.STATUS), "succeeded"))
                    writer.write_batch(succeeded.select(schema.names))
            draft.sync()
            draft.publish()
        finally:
            draft.discard()
