"""Writes the Parquet file of a frozen input as its rows pass by: zstd, groups of 16k rows or 32 MiB. Streams."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.arrays import array_of
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import INPUT_ERROR
from llm_jobs.sources.parquet_rows import JSON_MARK, encode_shown_schema
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.shapes import Column

ROW_GROUP_ROWS = 16_384
ROW_GROUP_BYTES = 32 * 1024 * 1024
CONVERT_ROWS = 512

# Of the file: how many rows are marked, and the first reason.
BAD_ROWS = "llm_jobs.bad_rows"
BAD_ROW = "llm_jobs.bad_row"
MARK_COLUMN = Column(name=INPUT_ERROR, type=pa.string())

Row = dict[str, JsonValue]


class FrozenWriter:
    """A frozen input under way at `path`."""

    def __init__(self, path: Path, columns: Sequence[Column], shown: pa.Schema) -> None:
        self._columns = columns
        fields = [_stored(column) for column in columns]
        self._schema = pa.schema(fields, metadata=encode_shown_schema(shown))
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._marks = MARK_COLUMN in columns
        self._bad_rows = 0
        self._first_reason: str | None = None
        self._rows: list[Row] = []
        self._batches: list[pa.RecordBatch] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._convert()
                self._write_group()
                if self._first_reason is not None:
                    self._writer.add_key_value_metadata({BAD_ROWS: str(self._bad_rows), BAD_ROW: self._first_reason})
        finally:
            self._writer.close()

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Give every row on after noting it for the file."""
        for row in rows:
            if self._marks and (reason := row.get(INPUT_ERROR)) is not None:
                self._bad_rows += 1
                self._first_reason = self._first_reason or str(reason)
            self._rows.append(row)
            if len(self._rows) == CONVERT_ROWS:
                self._convert()
            yield row

    def _convert(self) -> None:
        arrays = [
            array_of(_values(self._rows, column), field.type)
            for column, field in zip(self._columns, self._schema, strict=True)
        ]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._rows = []
        rows = sum(batch.num_rows for batch in self._batches)
        if rows >= ROW_GROUP_ROWS or sum(batch.nbytes for batch in self._batches) >= ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches, self._schema), row_group_size=ROW_GROUP_ROWS)
        self._batches = []


def refuse_mark(names: Iterable[str], problems: Problems) -> None:
    """Raise DocumentError where a column of the user's has the name of the mark."""
    if INPUT_ERROR in names:
        raise problems.fatal(
            f"the column {INPUT_ERROR} would hide one of the result's own",
            key=INPUT_ERROR,
            rule="columns that begin with llm_ hold the facts of each answer",
            remedy="rename it",
        )


def _stored(column: Column) -> pa.Field:
    if column.as_json:
        return pa.field(column.name, pa.string(), metadata=JSON_MARK)
    return pa.field(column.name, column.type)


def _values(rows: Sequence[Row], column: Column) -> list[JsonValue]:
    name = column.name
    values = [row.get(name) for row in rows]
    return [None if value is None else json_text(value) for value in values] if column.as_json else values


def json_text(value: JsonValue) -> str:
    """JSON text that is read back as the same value, members in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
