"""A job's table as it is asked about: inline rows or a frozen input, in order, in batches, each row with every column.

The schema is what the result shows of the table. Of a batch file that is `custom_id`; the requests stay in the frozen
input, where `batches` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field

import pyarrow as pa

from llm_jobs.documents.job import Input
from llm_jobs.sources.digest import open_bytes
from llm_jobs.sources.freeze import FrozenInput
from llm_jobs.sources.parquet_rows import open_parquet, parquet_batches
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.rows import BATCH_ROWS, Row, batched
from llm_jobs.sources.shapes import TableShape
from llm_jobs.sources.types import DeclaredTypes


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows of a known number and schema, read again from the start by each call of `batches`."""

    source: Input
    rows: int
    schema: pa.Schema  # of the columns that the result shows
    path: str | None  # of the Parquet file; None: the rows are inline
    types: Mapping[str, str] = field(default_factory=dict)  # to which its rows are converted as they are read
    bad_rows: int = 0  # that could not be read; each is marked, and never asked
    bad_row: str | None = None  # why, of the first

    def batches(self, *, batch_rows: int = BATCH_ROWS) -> Iterator[list[Row]]:
        """The rows in order; what a row lacks is null. Memory: one batch of rows, one row group of the file."""
        if self.path is None:
            names = self.schema.names
            blank: Row = dict.fromkeys(names)
            yield from batched(({**blank, **row} for row in self.source.rows), batch_rows)
            return
        problems = Problems(self.path)
        declared = DeclaredTypes(self.types, problems)
        with closing(open_bytes(self.path)) as stream:
            yield from parquet_batches(open_parquet(stream, problems), declared, problems, batch_rows=batch_rows)


def open_table(source: Input, frozen: FrozenInput | None = None) -> Table:
    """The table of a job. `frozen` is what `freeze` returned, None for inline rows.

    Raises DocumentError when inline rows mix types in one column.
    """
    if source.kind != "inline":
        if frozen is None:
            raise ValueError("an input that is not inline is frozen before it is opened")
        return Table(
            source=source,
            rows=frozen.rows,
            schema=frozen.schema,
            path=frozen.path,
            types=frozen.types,
            bad_rows=frozen.bad_rows,
            bad_row=frozen.bad_row,
        )
    schema = inline_schema(source)
    return Table(source=source, rows=len(source.rows), schema=schema, path=None)


def inline_schema(source: Input) -> pa.Schema:
    """The schema of inline rows; without columns for the one empty row of a prompt without a table."""
    shape = TableShape()
    for number, row in enumerate(source.rows, 1):
        shape.see(row, number)
    if not shape.names:
        return pa.schema([])
    columns = shape.columns(Problems("input.rows"), types={})
    return pa.schema([pa.field(column.name, column.type) for column in columns])
