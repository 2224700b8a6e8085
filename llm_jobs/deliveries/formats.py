"""Writes a table to a stream as CSV, TSV, JSON, JSON Lines, Parquet or Markdown. Streams; text comes back as it was.

CSV: RFC 4180 quoting with a line feed at the end of lines; null is nothing, empty text is "" in quotes; true, false,
numbers as JSON writes them, lists and objects as JSON. TSV: the same with tabs. Times are ISO 8601. Markdown is for
people: it keeps no types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from typing import BinaryIO, Literal

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

TableFormat = Literal["csv", "tsv", "json", "jsonl", "parquet", "markdown"]
PAGE_ROWS = 1024
NEEDS_QUOTES = {separator: re.compile(rf'["{separator}\r\n]|^\s|\s$') for separator in (",", "\t")}


def write_table(batches: pa.RecordBatchReader, stream: BinaryIO, form: TableFormat) -> int:
    """Write all rows of `batches` in the format `form`; returns how many. Memory: one batch."""
    return WRITERS[form](batches, stream)


def _write_parquet(batches: pa.RecordBatchReader, stream: BinaryIO) -> int:
    rows = 0
    with pq.ParquetWriter(stream, batches.schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _write_csv(batches: pa.RecordBatchReader, stream: BinaryIO) -> int:
    return _write_separated(batches, stream, ",")


def _write_tsv(batches: pa.RecordBatchReader, stream: BinaryIO) -> int:
    return _write_separated(batches, stream, "\t")


def _write_separated(batches: pa.RecordBatchReader, stream: BinaryIO, separator: str) -> int:
    stream.write(_line(batches.schema.names, separator))
    return _write_each(batches, stream, lambda row: _line(row.values(), separator))


def _write_json_lines(batches: pa.RecordBatchReader, stream: BinaryIO) -> int:
    return _write_each(batches, stream, lambda row: _json(row) + b"\n")


def _write_json(batches: pa.RecordBatchReader, stream: BinaryIO) -> int:
    before = iter([b"\n"])
    stream.write(b"[")
    rows = _write_each(batches, stream, lambda row: next(before, b",\n") + _json(row))
    stream.write(b"\n]\n" if rows else b"]\n")
    return rows


def _write_markdown(batches: pa.RecordBatchReader, stream: BinaryIO) -> int:
    names = batches.schema.names
    stream.write(_markdown_line(names) + _markdown_line(["---"] * len(names)))
    return _write_each(batches, stream, lambda row: _markdown_line(row.values()))


WRITERS: Mapping[TableFormat, Callable[[pa.RecordBatchReader, BinaryIO], int]] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "json": _write_json,
    "jsonl": _write_json_lines,
    "parquet": _write_parquet,
    "markdown": _write_markdown,
}


def _write_each(batches: pa.RecordBatchReader, stream: BinaryIO, line: Callable[[Mapping[str, object]], bytes]) -> int:
    rows = 0
    for page in _pages(batches):
        stream.write(b"".join([line(row) for row in page]))
        rows += len(page)
    return rows


def _pages(batches: pa.RecordBatchReader) -> Iterator[list[dict[str, object]]]:
    for batch in batches:
        for start in range(0, batch.num_rows, PAGE_ROWS):
            yield batch.slice(start, PAGE_ROWS).to_pylist()


def _json(value: object) -> bytes:
    return orjson.dumps(value, default=_plain)


def _plain(value: object) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _text(value: object) -> str:
    """A value as one field of text."""
    if isinstance(value, str):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    return _plain(value) if isinstance(value, Decimal) else _json(value).decode()


def _line(values: Iterable[object], separator: str) -> bytes:
    needs_quotes = NEEDS_QUOTES[separator]
    return (separator.join([_field(value, needs_quotes) for value in values]) + "\n").encode()


def _field(value: object, needs_quotes: re.Pattern[str]) -> str:
    if value is None:
        return ""
    text = _text(value)
    if text and not needs_quotes.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _markdown_line(values: Iterable[object]) -> bytes:
    cells = ("" if value is None else _markdown_cell(_text(value)) for value in values)
    return f"| {' | '.join(cells)} |\n".encode()


def _markdown_cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return re.sub(r"\r\n|\r|\n", "<br>", escaped)
