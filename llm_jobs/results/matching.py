"""Which rows of several results are about the same thing: a full outer join on columns that all of them have.

Rows match where the values of those columns are equal (and `llm_sample`, where all have it); the n-th of several equal
rows matches the n-th in the other results. A join by hash: memory is some 300 bytes for each distinct row, however long
the rows are, and the answers are not read. 128 bits of BLAKE2b stand for a row: two that differ do not meet.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.errors import DocumentError, Problem
from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore
from llm_jobs.results.layout import job_of
from llm_jobs.results.rows_at import plain_rows

BATCH_ROWS = 4_096
NOWHERE = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class Matching:
    """Places in the order of first appearance: the rows of the first result, then those that only later ones have.

    `numbers`: for each result, the number of its row by place, NOWHERE where it has none. `on`: what rows match by.
    """

    on: tuple[str, ...]
    numbers: Sequence[Sequence[int]]

    @property
    def places(self) -> int:
        return len(self.numbers[0])


def match(store: ResultStore, paths: Sequence[str], on: Sequence[str]) -> Matching:
    """Match the rows of the results `paths` by the columns `on`; by none of them, the n-th row matches the n-th.

    Raises NotFound, and DocumentError for a column that a result lacks or that is text in one and numbers in another.
    """
    schemas = [_schema(store, path) for path in paths]
    if problems := [problem for name in on for problem in _problems(name, paths, schemas)]:
        raise DocumentError(problems)
    sampled = all(columns.SAMPLE in schema.names for schema in schemas)
    names = [*on, columns.SAMPLE] if sampled else list(on)
    places: dict[bytes, int] = {}
    numbers = [array("q") for _ in paths]
    for found, path in zip(numbers, paths, strict=True):
        for number, key in enumerate(_keys(store, path, names)):
            place = places.setdefault(key, len(places))
            found.extend([NOWHERE] * (place + 1 - len(found)))
            found[place] = number
    for found in numbers:
        found.extend([NOWHERE] * (len(places) - len(found)))
    return Matching(on=tuple(on), numbers=numbers)


def _schema(store: ResultStore, path: str) -> pa.Schema:
    with store.open(path) as stream:
        return pq.read_schema(stream)


def _keys(store: ResultStore, path: str, names: Sequence[str]) -> Iterator[bytes]:
    """A digest for each row; of equal rows, each but the first is told apart by how many came before."""
    seen: dict[bytes, int] = {}
    with store.open(path) as stream:
        file = pq.ParquetFile(stream)
        if not names:  # no column is read, and Parquet then tells of no row: each is equal to the others
            yield from (_digest([number]) for number in range(file.metadata.num_rows))
            return
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(names)):
            for row in plain_rows(batch):
                key = _digest([_comparable(row[name]) for name in names])
                before = seen.get(key, 0)
                seen[key] = before + 1
                yield _digest([key.hex(), before]) if before else key


def _digest(values: list[Any]) -> bytes:
    return hashlib.blake2b(orjson.dumps(values, default=str, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _comparable(value: Any) -> Any:
    """1.0 is 1: a column may be integers in one result and numbers in another."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _problems(name: str, paths: Sequence[str], schemas: Sequence[pa.Schema]) -> Iterator[Problem]:
    without = [path for path, schema in zip(paths, schemas, strict=True) if name not in schema.names]
    if without:
        yield Problem(
            what=f"job {job_of(without[0])} has no such column",
            key=name,
            rule="rows are matched by columns that all of the results have",
            remedy=f"name another with --on; there are: {', '.join(_own(schemas[paths.index(without[0])]))}",
        )
        return
    kinds = {_kind(schema.field(name).type): path for path, schema in zip(paths, schemas, strict=True)}
    kinds.pop("null", None)
    if len(kinds) > 1:
        told = " and ".join(f"{kind} in job {job_of(path)}" for kind, path in kinds.items())
        yield Problem(
            what=f"the column is {told}",
            key=name,
            rule="a column that rows are matched by has one kind of values",
            remedy="declare its type in `input.types`, or name another column with --on",
        )


def _own(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if not name.startswith(columns.PREFIX)]


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "text"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "numbers"
    return str(kind)
