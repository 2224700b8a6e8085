"""Rows of a result as a database takes them: plain Python values, in batches that are the same at each repetition."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.deliveries.subject import Subject
from llm_jobs.deliveries.tables import EPOCH, JOB, RESULT, ROW, Layout, kind_of

REPLACEMENT = "\ufffd"  # for NUL, which PostgreSQL has no place for
_ESCAPED_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")  # and no backslash that the text itself has before u0000
_READ_ROWS = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Rows that are delivered together. `number` from 0."""

    number: int
    first_row: int
    table: pa.Table


def batches_of(file: pq.ParquetFile, *, rows: int, but: Collection[int] = ()) -> Iterator[Batch]:
    """The rows of `file` in batches of `rows`, whatever its row groups are; the numbers in `but` are left out."""
    waiting: list[pa.RecordBatch] = []
    held = number = 0
    for batch in file.iter_batches(batch_size=min(rows, _READ_ROWS)):
        while batch.num_rows:
            part = batch.slice(0, rows - held)
            batch = batch.slice(part.num_rows)
            waiting.append(part)
            held += part.num_rows
            if held == rows:
                yield from _whole(waiting, number, rows, but)
                waiting, held, number = [], 0, number + 1
    if waiting:
        yield from _whole(waiting, number, rows, but)


def _whole(parts: list[pa.RecordBatch], number: int, rows: int, but: Collection[int]) -> Iterator[Batch]:
    if number not in but:
        yield Batch(number=number, first_row=number * rows, table=pa.Table.from_batches(parts))


def rows_of(
    batch: Batch, layout: Layout, subject: Subject, *, names: Collection[str], dialect: str
) -> list[dict[str, Any]]:
    """The rows of a batch by column, as far as the table has the column."""
    own: Mapping[str, Callable[[int], object]] = {
        JOB.name: lambda index: subject.job_hash,
        EPOCH.name: lambda index: subject.epoch_ns,
        ROW.name: lambda index: batch.first_row + index,
    }
    columns: dict[str, list[Any]] = {}
    for field in layout.fields:
        if field.name not in names:
            continue
        if layout.is_json and field.name == RESULT:
            columns[field.name] = batch.table.to_pylist()
        elif field.name in batch.table.schema.names:
            columns[field.name] = _values(batch.table.column(field.name), field, dialect)
        else:
            columns[field.name] = [own[field.name](index) for index in range(batch.table.num_rows)]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _values(column: pa.ChunkedArray, field: pa.Field, dialect: str) -> list[Any]:
    arrow = field.type
    if pa.types.is_dictionary(arrow):
        arrow = arrow.value_type
        column = column.cast(arrow)
    if pa.types.is_timestamp(arrow):
        column = column.cast(pa.timestamp("us", tz="UTC" if arrow.tz else None), safe=False)
    elif pa.types.is_time(arrow):
        column = column.cast(pa.time64("us"), safe=False)
    values: list[Any] = column.to_pylist()
    kind = kind_of(arrow)
    if dialect == "sqlite" and (kind == "time" or pa.types.is_decimal(arrow) or pa.types.is_uint64(arrow)):
        return [None if value is None else _text(value) for value in values]
    if kind == "text":
        return [_storable(value) for value in values]
    return values


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime | time) else f"{value}"


def _storable(value: object) -> object:
    """Text without NUL; what is neither text nor null as text (durations)."""
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    return text.replace("\0", REPLACEMENT) if "\0" in text else text


def to_json(value: object) -> str:
    """A nested value as JSON that every database takes: no NaN, no NUL."""
    text = orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()
    return _ESCAPED_NUL.sub(rf"\1{REPLACEMENT}", text) if "\\u0000" in text else text


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return None if isinstance(value, float) and not math.isfinite(value) else str(value)
