"""Where rows come from: every kind of input as batches of dictionaries, in order, in bounded memory.

`iterate` reads the user's own place and is for submission; a job that runs reads what `tables.open_table` opens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from llm_jobs.documents.job import Input
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.sources.digest import open_bytes
from llm_jobs.sources.parquet_rows import open_parquet, parquet_batches
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.reading import Reading, urls_of
from llm_jobs.sources.types import DeclaredTypes

BATCH_ROWS = 1024
Row = dict[str, JsonValue]


def iterate(source: Input, *, batch_rows: int = BATCH_ROWS) -> Iterator[list[Row]]:
    """The rows of an input as they stand, at most `batch_rows` at a time; a member that a JSON row lacks is not there.

    Memory is bounded by a batch (and by one row of at most 64 MiB). Raises DocumentError with the problems found, at
    most 20 of them, when the first broken row is reached: rows before it have been given out by then.
    """
    if source.kind == "inline":
        yield from batched((dict(row) for row in source.rows), batch_rows)
    elif source.format == "parquet":
        yield from _parquet(source, batch_rows)
    else:
        for part in range(len(urls_of(source))):
            with Reading(source, part=part) as reading:
                yield from batched((row for _, row in reading.rows()), batch_rows)


def parquet_columns(source: Input) -> list[str]:
    """The names of the columns of Parquet files, from their footers. Raises DocumentError."""
    names: dict[str, None] = {}
    for url in urls_of(source):
        with open_bytes(url) as stream:
            names.update(dict.fromkeys(open_parquet(stream, Problems(url)).schema_arrow.names))
    return list(names)


def batched(rows: Iterable[Row], batch_rows: int) -> Iterator[list[Row]]:
    """`rows` in lists of `batch_rows`, the last one shorter."""
    remaining = iter(rows)
    while batch := list(islice(remaining, batch_rows)):
        yield batch


def _parquet(source: Input, batch_rows: int) -> Iterator[list[Row]]:
    for url in urls_of(source):
        problems = Problems(url)
        with open_bytes(url) as stream:
            file = open_parquet(stream, problems)
            yield from parquet_batches(file, DeclaredTypes(source.types, problems), problems, batch_rows=batch_rows)
