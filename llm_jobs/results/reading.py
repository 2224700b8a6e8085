"""Reads results, of one job or across jobs, under one schema: columns unified, `llm_job` and `llm_submitted_at` added.

A column that a result lacks is null in its rows. Types are unified where nothing changes (null and any type, integers
and numbers that hold them exactly, structs member by member); otherwise both jobs are named. Streams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.arrays import array_of
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore
from llm_jobs.results.layout import job_of

BATCH_ROWS = 16_384
Table = pa.Table  # for rooms that hand tables on and make none


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A result to read: its path in the store, and when its job was submitted (nanoseconds since 1970), if known."""

    path: str
    submitted_ns: int | None = None


def schema_of(store: ResultStore, results: Sequence[Stored]) -> pa.Schema:
    """The schema of all `results` together: their columns in the order of first appearance, then the facts, then
    `llm_job` and `llm_submitted_at`. Reads the footers only.

    Raises NotFound, and DocumentError naming both jobs where types conflict.
    """
    merged: dict[str, tuple[pa.DataType, str]] = {}
    problems = []
    for result in results:
        for field in _file_schema(store, result.path):
            known = merged.get(field.name)
            kind = field.type if known is None else _unified(known[0], field.type)
            if kind is None and known is not None:
                problems.append(_conflict(field.name, known, (field.type, result.path)))
            elif kind is not None:
                origin = result.path if known is None or kind != known[0] else known[1]
                merged[field.name] = (kind, origin)
    if problems:
        raise DocumentError(problems)
    fields = [pa.field(name, kind) for name, (kind, _) in merged.items()]
    return pa.schema([*_facts_last(fields), pa.field(columns.JOB, pa.string()), SUBMITTED])


def iter_batches(
    store: ResultStore, results: Sequence[Stored], *, batch_rows: int = BATCH_ROWS
) -> pa.RecordBatchReader:
    """The rows of `results`, in their order, under `schema_of` them. Memory: one row group and one batch."""
    schema = schema_of(store, results)
    return pa.RecordBatchReader.from_batches(schema, _batches(store, results, schema, batch_rows))


def read(store: ResultStore, results: Sequence[Stored]) -> pa.Table:
    """The rows of `results` as one table; `.to_pandas()` makes a DataFrame of it. Errors as `schema_of`."""
    return iter_batches(store, results).read_all()


SUBMITTED = pa.field(columns.SUBMITTED_AT, columns.UTC_TIME)


def _file_schema(store: ResultStore, path: str) -> pa.Schema:
    with store.open(path) as stream:
        return pq.read_schema(stream)


def _batches(
    store: ResultStore, results: Sequence[Stored], schema: pa.Schema, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    for result in results:
        with store.open(result.path) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=batch_rows):
                yield _conformed(batch, schema, result)


def _conformed(batch: pa.RecordBatch, schema: pa.Schema, result: Stored) -> pa.RecordBatch:
    submitted_us = None if result.submitted_ns is None else result.submitted_ns // 1000
    added = {
        columns.JOB: array_of([job_of(result.path)], pa.string()),
        columns.SUBMITTED_AT: array_of([submitted_us], columns.UTC_TIME),
    }
    arrays = []
    for field in schema:
        index = batch.schema.get_field_index(field.name)
        if index >= 0:
            arrays.append(_cast(batch.column(index), field, result))
        elif field.name in added:
            arrays.append(pa.repeat(added[field.name][0], batch.num_rows))
        else:
            arrays.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cast(column: pa.Array, field: pa.Field, result: Stored) -> pa.Array:
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except pa.ArrowInvalid as error:
        problem = Problem(
            what=f"job {job_of(result.path)} has a value that is not exact as {field.type}: {error}",
            key=field.name,
            rule="results are read together where nothing changes by it",
            remedy="read the jobs one by one",
        )
        raise DocumentError([problem]) from None


def _unified(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    """The type that holds both, or None."""
    types = pa.types
    if first == second or types.is_null(second):
        return first
    if types.is_null(first):
        return second
    if types.is_struct(first) and types.is_struct(second):
        return _unified_structs(first, second)
    if types.is_list(first) and types.is_list(second):
        item = _unified(first.value_type, second.value_type)
        return None if item is None else pa.list_(item)
    for wide, narrow in ((first, second), (second, first)):
        if (wide, narrow) in PROMOTIONS:
            return wide
    return None


PROMOTIONS = {(pa.float64(), pa.int64()), (pa.large_string(), pa.string())}


def _unified_structs(first: pa.DataType, second: pa.DataType) -> pa.DataType | None:
    kinds = {field.name: field.type for field in first}
    for field in second:
        kind = _unified(kinds[field.name], field.type) if field.name in kinds else field.type
        if kind is None:
            return None
        kinds[field.name] = kind
    return pa.struct(list(kinds.items()))


def _facts_last(fields: list[pa.Field]) -> list[pa.Field]:
    return sorted(fields, key=lambda field: field.name.startswith(columns.PREFIX))


def _conflict(name: str, first: tuple[pa.DataType, str], second: tuple[pa.DataType, str]) -> Problem:
    return Problem(
        what=f"the column is {first[0]} in job {job_of(first[1])} and {second[0]} in job {job_of(second[1])}",
        key=name,
        rule="results that are read together have one type per column",
        remedy="read the jobs one by one, or rename the column in one of them",
    )
