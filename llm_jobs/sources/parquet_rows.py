"""Rows of a Parquet file as JSON values, in batches: a user's own file, or an input that was frozen here.

Dates, times and timestamps become ISO 8601 text, decimals their digits; NaN is null, which is how pandas writes it.
Bytes, durations, infinities and timestamps finer than a microsecond are refused with a remedy. In a frozen input the
columns marked as JSON text are parsed back to what they were.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.types import ARROW_TYPES, DeclaredTypes

JSON_MARK = {b"llm_jobs.json": b"1"}
SHOWN_SCHEMA = b"llm_jobs.shown"

Row = dict[str, JsonValue]
Convert = Callable[[Any], JsonValue]


def open_parquet(stream: BinaryIO, problems: Problems) -> pq.ParquetFile:
    """The file behind `stream`. Raises DocumentError when it is no Parquet file."""
    try:
        return pq.ParquetFile(stream)
    except (pa.ArrowInvalid, OSError) as error:
        raise problems.fatal(
            f"the file is no Parquet file: {error}",
            rule="the format is `parquet`",
            remedy="check the file, or state its format",
        ) from None


def shown_schema(file: pq.ParquetFile, types: Mapping[str, str]) -> pa.Schema:
    """The types that the result shows for the columns of the table."""
    schema = file.schema_arrow
    if SHOWN_SCHEMA in (schema.metadata or {}):
        return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(schema.metadata[SHOWN_SCHEMA])))
    return pa.schema(
        [pa.field(f.name, ARROW_TYPES[types[f.name]] if f.name in types else _shown(f.type)) for f in schema]
    )


def encode_shown_schema(schema: pa.Schema) -> dict[bytes, bytes]:
    """The metadata of a frozen input from which `shown_schema` reads `schema`."""
    return {SHOWN_SCHEMA: base64.b64encode(schema.serialize().to_pybytes())}


def parquet_batches(
    file: pq.ParquetFile, declared: DeclaredTypes, problems: Problems, *, batch_rows: int
) -> Iterator[list[Row]]:
    """The rows in order, at most `batch_rows` at a time. Raises DocumentError for values that JSON does not have."""
    schema = file.schema_arrow
    converters = _converters(schema, problems)
    declared.check_columns(schema.names)
    names = schema.names
    done = 0
    for batch in file.iter_batches(batch_size=batch_rows):
        columns = [_values(batch.column(i), convert, problems, names[i]) for i, convert in enumerate(converters)]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        if declared.types:
            for number, row in enumerate(rows, done + 1):
                declared.apply(row, number)
            problems.refuse()
        done += len(rows)
        yield rows


def _shown(kind: pa.DataType) -> pa.DataType:
    """A scalar's own type; what is nested shows its JSON values."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_float16(kind):
        return pa.float32()
    if not pa.types.is_nested(kind):
        return kind
    return pa.string() if _holds_map(kind) else json_type(kind)


def _holds_map(kind: pa.DataType) -> bool:
    """Objects of unknown members have no type but their JSON text, and that for the whole column."""
    return pa.types.is_map(kind) or any(_holds_map(kind.field(index).type) for index in range(kind.num_fields))


def json_type(kind: pa.DataType) -> pa.DataType:
    """`kind` with every value that JSON does not have as text."""
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return pa.string()
    if pa.types.is_dictionary(kind):
        return json_type(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, json_type(field.type)) for field in kind])
    if pa.types.is_nested(kind):
        return pa.list_(json_type(kind.value_type))
    return kind


def _converters(schema: pa.Schema, problems: Problems) -> list[Convert | None]:
    converters = []
    for index, field in enumerate(schema):
        if field.name in schema.names[:index]:
            problems.add("a column is named twice", key=field.name, rule="column names are unique", remedy="rename one")
        marked = field.metadata is not None and JSON_MARK.items() <= field.metadata.items()
        try:
            converters.append(_parse if marked else _converter(field.type))
        except TypeError as error:
            problems.add(
                f"the column is of type {error}", key=field.name, rule="rows hold what JSON can say", remedy=REMEDIES
            )
    if not converters:
        problems.add("the file has no columns", rule="a table has at least one", remedy="write one")
    problems.refuse()
    return converters


REMEDIES = "write bytes as base64 text or a path, and durations as a number of seconds"


def _converter(kind: pa.DataType) -> Convert | None:
    """How values of `kind`, as pyarrow gives them, become JSON values; None: they are. Raises TypeError."""
    types = pa.types
    if types.is_dictionary(kind):
        return _converter(kind.value_type)
    if types.is_floating(kind):
        return _number
    if types.is_date(kind) or types.is_time(kind) or types.is_timestamp(kind):
        return _iso
    if types.is_decimal(kind):
        return _digits
    if types.is_map(kind) and types.is_string(kind.key_type):
        return _object(_converter(kind.item_type))
    if types.is_struct(kind):
        return _members({field.name: _converter(field.type) for field in kind})
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or types.is_list_view(kind):
        return _items(_converter(kind.value_type))
    if kind in PLAIN_TYPES or types.is_integer(kind):
        return None
    raise TypeError(str(kind))


PLAIN_TYPES = (pa.null(), pa.bool_(), pa.string(), pa.large_string(), pa.string_view())


def _parse(value: str | None) -> JsonValue:
    return None if value is None else json.loads(value)


def _number(value: float | None) -> JsonValue:
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        raise ValueError("an infinite number; JSON has none")
    return value


def _iso(value: Any) -> JsonValue:
    return None if value is None else str(value.isoformat())


def _digits(value: Decimal | None) -> JsonValue:
    return None if value is None else format(value, "f")


def _items(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda values: None if values is None else [convert(value) for value in values]


def _members(converters: Mapping[str, Convert | None]) -> Convert | None:
    changed = {name: convert for name, convert in converters.items() if convert is not None}
    if not changed:
        return None
    return lambda value: (
        None
        if value is None
        else {name: changed[name](member) if name in changed else member for name, member in value.items()}
    )


def _object(convert: Convert | None) -> Convert:
    return lambda pairs: None if pairs is None else {key: convert(item) if convert else item for key, item in pairs}


def _values(column: pa.Array, convert: Convert | None, problems: Problems, name: str) -> list[JsonValue]:
    try:
        values = _in_microseconds(column).to_pylist()
        return values if convert is None else [convert(value) for value in values]
    except (ValueError, OverflowError) as error:
        raise _refused(problems, name, error) from None


def _in_microseconds(column: pa.Array) -> pa.Array:
    """Times that Python can hold: nanoseconds only where nothing is lost (ArrowInvalid, a ValueError, otherwise)."""
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return column.cast(pa.timestamp("us", tz=kind.tz))
    return column.cast(pa.time64("us")) if kind == pa.time64("ns") else column


def _refused(problems: Problems, name: str, error: Exception) -> DocumentError:
    return problems.fatal(
        f"a value cannot be used: {error}",
        key=name,
        rule="rows hold finite numbers, and times of years 1 to 9999 to the microsecond",
        remedy="convert the column before, for example to text",
    )
