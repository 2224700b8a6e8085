"""The table that a result goes into: its columns from the result's schema, and whether a table that is there fits.

A table that is made has `llm_job` and `llm_row` (the row's place in the result, from 0) before the result's own
columns: the primary key of an append is the job, the result's epoch and the row, that of an upsert its key. A table
that was there before needs the columns of the input and of the answers; of the facts it takes those that it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOUBLE_PRECISION, JSONB
from sqlalchemy.sql import quoted_name

from llm_jobs.documents.destinations import DatabaseOutput
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DeliveryRefused

FACT_PREFIX = "llm_"
JOB = pa.field("llm_job", pa.string())
EPOCH = pa.field("llm_epoch", pa.int64())
ROW = pa.field("llm_row", pa.int64())
RESULT = "result"
LONGEST_NAME = {"postgresql": 63}  # bytes; what is longer would be cut short without a word

_ACCEPTS = {  # by the kind of a value, the kinds of columns that take it without loss
    "text": ("text", "json", "other"),
    "integer": ("integer", "number", "other"),
    "number": ("number", "other"),
    "boolean": ("boolean", "other"),
    "time": ("time", "other"),
    "json": ("json", "other"),
    "bytes": ("bytes", "other"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What is written: the fields in their order, and the columns that tell rows apart. `is_json`: one column holds
    whole rows."""

    fields: tuple[pa.Field, ...]
    key: tuple[str, ...]
    is_json: bool = False

    @property
    def names(self) -> list[str]:
        return [field.name for field in self.fields]


def layout_of(schema: pa.Schema, output: DatabaseOutput) -> Layout:
    """The columns that a result wants. Raises DeliveryRefused where it lacks a column of the key, or one of the key has
    the name of the column that holds whole rows."""
    for name in output.key:
        if name not in schema.names:
            near = did_you_mean(name, schema.names, otherwise=f"its columns: {', '.join(schema.names)}")
            raise DeliveryRefused(f"the result has no column {name!r} of the key of table {output.table}; {near}")
    keys = tuple(schema.field(name) for name in output.key)
    is_json = output.format == "json"
    if is_json and RESULT in output.key:
        raise DeliveryRefused(
            f"the column {RESULT} of table {output.table} holds whole rows and cannot be its key; rename the step, or "
            "write `format: columns`"
        )
    if is_json:
        fields = (JOB, EPOCH, ROW, *keys, pa.field(RESULT, pa.struct([])))
    else:
        own = [field for field in (JOB, EPOCH, ROW) if field.name not in schema.names]
        fields = (*own, *schema)
    key = output.key if output.mode == "upsert" else (JOB.name, EPOCH.name, ROW.name)
    return Layout(fields=fields, key=key, is_json=is_json)


def new_table(layout: Layout, output: DatabaseOutput, dialect: str) -> sa.Table:
    """The table as it is made. Raises DeliveryRefused for a name that the database would cut short."""
    most = LONGEST_NAME.get(dialect)
    for name in layout.names:
        if most is not None and len(name.encode()) > most:
            raise DeliveryRefused(
                f"the column {name!r} has {len(name.encode())} bytes, and {dialect} takes {most}; rename it, or write "
                "`format: json`"
            )
    return _table(output, [_column(field, dialect, is_key=field.name in layout.key) for field in layout.fields])


def fitting_table(layout: Layout, output: DatabaseOutput, connection: sa.Connection) -> sa.Table:
    """The table that is there, with those columns of the result that it has. Raises DeliveryRefused if it does not
    fit, with all that is wrong."""
    inspector = sa.inspect(connection)
    schema, _, name = output.table.rpartition(".")
    there = {column["name"]: column for column in inspector.get_columns(name, schema=schema or None)}
    dialect = connection.dialect.name
    kept = [field for field in layout.fields if field.name in there]
    problems = [
        *_missing(layout, output, there),
        *_unfilled(layout, there),
        *(_mismatches(kept, there) if dialect != "sqlite" else ()),  # SQLite's columns take any type
        *_without_key(output, inspector),
    ]
    if problems:
        raise DeliveryRefused(f"the table {output.table} does not fit the result: {'; '.join(problems)}")
    columns = [_column(field, dialect, is_key=False, there=there[field.name]["type"]) for field in kept]
    return _table(output, columns)


def kind_of(arrow: pa.DataType) -> str:
    """The kind of a value: a key of `_ACCEPTS`."""
    if pa.types.is_dictionary(arrow):
        return kind_of(arrow.value_type)
    if pa.types.is_integer(arrow):
        return "integer"
    if pa.types.is_floating(arrow) or pa.types.is_decimal(arrow):
        return "number"
    if pa.types.is_boolean(arrow):
        return "boolean"
    if pa.types.is_timestamp(arrow) or pa.types.is_date(arrow) or pa.types.is_time(arrow):
        return "time"
    if pa.types.is_nested(arrow):
        return "json"
    return "bytes" if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) else "text"


def _table(output: DatabaseOutput, columns: Sequence[sa.Column[Any]]) -> sa.Table:
    schema, _, name = output.table.rpartition(".")
    return sa.Table(name, sa.MetaData(schema=schema or None), *columns)


def _column(
    field: pa.Field, dialect: str, *, is_key: bool, there: sa.types.TypeEngine[Any] | None = None
) -> sa.Column[Any]:
    is_json = isinstance(there, sa.JSON) and kind_of(field.type) != "json"
    kind = _json() if is_json else _type_of(field.type, dialect)
    # Quoted whatever it is: the databases know more words than SQLAlchemy does.
    return sa.Column(quoted_name(field.name, quote=True), kind, primary_key=is_key, autoincrement=False)


def _json() -> sa.types.TypeEngine[Any]:
    """Nested values; no value is NULL, and not JSON's null."""
    return sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def _type_of(arrow: pa.DataType, dialect: str) -> sa.types.TypeEngine[Any]:
    if pa.types.is_dictionary(arrow):
        return _type_of(arrow.value_type, dialect)
    kind = kind_of(arrow)
    if kind == "json":
        return _json()
    if kind == "time" and dialect != "sqlite":  # SQLite has no times: ISO 8601 text sorts as they do
        if pa.types.is_timestamp(arrow):
            return sa.DateTime(timezone=arrow.tz is not None)
        return sa.Date() if pa.types.is_date(arrow) else sa.Time()
    if pa.types.is_decimal(arrow):
        return sa.Text() if dialect == "sqlite" else sa.Numeric(arrow.precision, arrow.scale)
    if pa.types.is_uint64(arrow):
        return sa.Numeric(20, 0) if dialect != "sqlite" else sa.Text()
    plain: dict[str, sa.types.TypeEngine[Any]] = {
        "integer": sa.BigInteger(),
        "number": sa.Double().with_variant(DOUBLE_PRECISION(), "postgresql"),
        "boolean": sa.Boolean(),
        "bytes": sa.LargeBinary(),
    }
    return plain.get(kind, sa.Text())


def _kind_there(column: sa.types.TypeEngine[Any]) -> str:
    kinds: tuple[tuple[str, tuple[type[sa.types.TypeEngine[Any]], ...]], ...] = (
        ("json", (sa.JSON,)),
        ("boolean", (sa.Boolean,)),
        ("integer", (sa.Integer,)),
        ("number", (sa.Numeric, sa.Float)),
        ("time", (sa.DateTime, sa.Date, sa.Time)),
        ("bytes", (sa.LargeBinary,)),
        ("text", (sa.String,)),
    )
    return next((kind for kind, types in kinds if isinstance(column, types)), "other")


_Found = dict[str, "sa.engine.interfaces.ReflectedColumn"]


def _missing(layout: Layout, output: DatabaseOutput, there: _Found) -> list[str]:
    names = [name for name in layout.names if name not in there and not name.startswith(FACT_PREFIX)]
    remedy = "add them, name another table, or write `format: json`" if output.format == "columns" else "add them"
    return [f"it lacks the columns {', '.join(names)} ({remedy})"] if names else []


def _unfilled(layout: Layout, there: _Found) -> list[str]:
    names = [
        name
        for name, column in there.items()
        if name not in layout.names
        and not column["nullable"]
        and column["default"] is None
        and column.get("autoincrement") is not True
        and "identity" not in column
        and "computed" not in column
    ]
    return (
        [f"its columns {', '.join(names)} need a value that the result has not (give them a default)"] if names else []
    )


def _mismatches(fields: Sequence[pa.Field], there: _Found) -> list[str]:
    found = []
    for field in fields:
        kind, column = kind_of(field.type), there[field.name]["type"]
        if _kind_there(column) not in _ACCEPTS[kind]:
            found.append(f"its column {field.name} is {column}, and the result's is {kind}")
    return found


def _without_key(output: DatabaseOutput, inspector: sa.Inspector) -> list[str]:
    if output.mode != "upsert":
        return []
    schema, _, name = output.table.rpartition(".")
    at = schema or None
    keys: list[set[str | None]] = [set(inspector.get_pk_constraint(name, schema=at)["constrained_columns"])]
    keys += [set(each["column_names"]) for each in inspector.get_unique_constraints(name, schema=at)]
    keys += [{*each["column_names"]} for each in inspector.get_indexes(name, schema=at) if each["unique"]]
    if set(output.key) in keys:
        return []
    names = ", ".join(output.key)
    return [f"nothing makes its key ({names}) unique (CREATE UNIQUE INDEX ON {output.table} ({names}))"]
