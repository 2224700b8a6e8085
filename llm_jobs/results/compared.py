"""The table of a comparison: its schema, and its rows as record batches. Streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.errors import DocumentError, Problem
from llm_jobs.results.base import ResultStore
from llm_jobs.results.single import batches_of

OUTCOME, DIFFERS = "outcome", "differs"
ROWS_AT_ONCE = 1_024


def compared_batches(
    store: ResultStore,
    paths: Sequence[str],
    rows: Iterable[Mapping[str, Any]],
    *,
    on: Sequence[str],
    added: Sequence[Mapping[str, str]],
) -> pa.RecordBatchReader:
    """`rows` as a table with the columns `on`, those of each result by their new names in `added`, `outcome` and
    `differs`. Raises NotFound, and DocumentError where two columns would have one name."""
    schemas = [_schema(store, path) for path in paths]
    fields = [pa.field(name, _widest([schema.field(name).type for schema in schemas])) for name in on]
    for schema, names in zip(schemas, added, strict=True):
        fields += [pa.field(new, schema.field(old).type) for old, new in names.items()]
    fields += [pa.field(OUTCOME, pa.string()), pa.field(DIFFERS, pa.bool_())]
    _check(fields)
    return batches_of(_chunks(rows), pa.schema(fields))


def _schema(store: ResultStore, path: str) -> pa.Schema:
    with store.open(path) as stream:
        return pq.read_schema(stream)


def _widest(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """The type of a column that rows were matched by: of one kind everywhere, but for null and for numbers."""
    if any(pa.types.is_floating(kind) for kind in kinds):
        return pa.float64()
    return next((kind for kind in kinds if not pa.types.is_null(kind)), pa.null())


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, ROWS_AT_ONCE)):
        yield chunk


def _check(fields: Sequence[pa.Field]) -> None:
    twice = [name for name, times in Counter(field.name for field in fields).items() if times > 1]
    if twice:
        problem = Problem(
            what="two columns of the comparison would have this name",
            key=twice[0],
            rule="columns have one name each",
            remedy="match by other columns, with --on",
        )
        raise DocumentError([problem])
