"""Writes a result as a stream: rows in, zstd Parquet in groups of 16k rows out, digested while it is written.

Nothing is seen under the result's name before `close`. Memory: one group, of at most 16k rows or some 32 MiB.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import time
from itertools import islice
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.arrays import array_of
from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore

ROW_GROUP_ROWS = 16_384
ROW_GROUP_BYTES = 32 * 1024 * 1024
CONVERT_ROWS = 512  # held as dictionaries before they become Arrow, which is some ten times smaller
UNIQUE_COLUMNS = frozenset({columns.CALL_HASH, columns.ANSWERED_AT, columns.LATENCY_S})


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A file of record. `path` is relative to the store; `sha256` is that of its bytes, in hexadecimal."""

    path: str
    sha256: str
    size_bytes: int
    rows: int


class ResultWriter:
    """A result under way. As a context manager it aborts unless it was closed."""

    def __init__(self, store: ResultStore, path: str, schema: pa.Schema) -> None:
        """Begin the result `path`. Raises ImmutableError if the store has it already."""
        self._store = store
        self._path = path
        self._schema = schema
        self._draft = store.draft(path)
        self._sink = _DigestingSink(self._draft.path.open("wb"))
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            schema,
            compression="zstd",
            use_dictionary=[name for name in schema.names if name not in UNIQUE_COLUMNS],
        )
        self._rows: list[Mapping[str, object]] = []
        self._batches: list[pa.RecordBatch] = []
        self._held_rows, self._held_bytes = 0, 0  # of these
        self._written = 0

    def write(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add completed rows, in input order. A column that a row lacks is null; what is no column is left out.

        Times are datetimes or integers of microseconds since 1970 (UTC). A value that is no text in a text column is
        written as its JSON text. Raises ValueError naming the column whose type a value does not have.
        """
        remaining = iter(rows)
        while turn := list(islice(remaining, CONVERT_ROWS - len(self._rows))):
            self._rows += turn
            if len(self._rows) == CONVERT_ROWS:
                self._convert()

    def close(self) -> StoredFile:
        """Finish the file and give it its name in the store. Raises ImmutableError if another writer was first."""
        try:
            self._convert()
            self._write_group()
            self._writer.close()
            self._sink.close()
            self._store.keep(self._draft, self._path)
        finally:
            self.abort()
        digest = self._sink.digest.hexdigest()
        return StoredFile(path=self._path, sha256=digest, size_bytes=self._sink.size_bytes, rows=self._written)

    def abort(self) -> None:
        """Leave nothing. Does nothing after `close`."""
        self._draft.discard()
        self._rows, self._batches = [], []
        if not self._sink.closed:
            self._writer.close()
            self._sink.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _convert(self) -> None:
        arrays = [
            column_array([row.get(name) for row in self._rows], field)
            for name, field in zip(self._schema.names, self._schema, strict=True)
        ]
        self._rows = []
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._batches.append(batch)
        self._held_rows += batch.num_rows
        self._held_bytes += batch.nbytes
        if self._held_rows >= ROW_GROUP_ROWS or self._held_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches, self._schema)
            self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            self._written += table.num_rows
            self._batches = []
            self._held_rows, self._held_bytes = 0, 0


def column_array(values: list[object], field: pa.Field) -> pa.Array:
    """`values` as an array of the field's type; ISO 8601 text becomes the time it says, digits the decimal.

    Raises ValueError naming the column.
    """
    kind = field.type
    try:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _text_array(values, kind)
        if (pa.types.is_temporal(kind) or pa.types.is_decimal(kind)) and any(type(value) is str for value in values):
            return _from_text(values, kind)
        return array_of(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise ValueError(f"column {field.name} is {kind}, and a value of it is not: {error}") from None


def _text_array(values: list[object], kind: pa.DataType) -> pa.Array:
    try:
        return array_of(values, kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return array_of([_as_text(value) for value in values], kind)


def _as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _from_text(values: list[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_time(kind):  # Arrow does not parse times of day
        return pa.array([None if value is None else time.fromisoformat(str(value)) for value in values], type=kind)
    text = array_of(values, pa.string())
    if pa.types.is_timestamp(kind):
        return text.cast(pa.timestamp("us", tz=kind.tz)).cast(kind)
    return text.cast(kind)


class _DigestingSink(io.RawIOBase):
    """A file that is written from front to back, with the digest of what was written."""

    def __init__(self, inner: io.BufferedIOBase) -> None:
        self._inner = inner
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes | memoryview) -> int:  # type: ignore[override]
        self.digest.update(chunk)
        self._inner.write(chunk)
        self.size_bytes += len(chunk)
        return len(chunk)

    def flush(self) -> None:
        if not self._inner.closed:
            self._inner.flush()

    def close(self) -> None:
        super().close()
        self._inner.close()
