"""Databases for the tests of queries, and a query frozen as a job would."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm_jobs.documents.connections import public_form
from llm_jobs.documents.job import Input
from llm_jobs.documents.table_sources import Dialect, QuerySource
from llm_jobs.sources.freeze import FrozenInput, freeze
from llm_jobs.sources.reach import Reach
from llm_jobs.sources.tables import open_table
from llm_jobs_tests.sources.inputs import Row

EPOCH_NS = 1_700_000_000_000_000_001


def sqlite_file(folder: Path, statements: str, rows: Sequence[Sequence[Any]] = (), into: str = "t") -> Path:
    """A new SQLite database."""
    path = folder / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.executescript(statements)
        if rows:
            marks = ", ".join("?" for _ in rows[0])
            connection.executemany(f"INSERT INTO {into} VALUES ({marks})", rows)
    connection.close()
    return path


def query_input(
    text: str,
    connection: str,
    *,
    file: Path | None = None,
    types: Mapping[str, str] | None = None,
    batch_size: int | None = None,
    dialect: Dialect = "database",
) -> Input:
    """The input of a document that asks a database."""
    query = QuerySource(
        text=text,
        connection=connection,
        place=public_form(connection),
        dialect=dialect,
        file=None if file is None else str(file),
    )
    return Input(kind="query", digest="q", query=query, types=types or {}, as_of_ns=1, batch_size=batch_size)


def reach(folder: Path, environment: Mapping[str, str] | None = None, *hosts: str) -> Reach:
    return Reach(environment=environment or {}, home=folder, allowed_hosts=hosts)


def frozen_query(source: Input, folder: Path, reach: Reach, *, is_tolerant: bool = False) -> FrozenInput:
    return freeze(source, folder / "inputs", epoch_ns=EPOCH_NS, reach=reach, is_tolerant=is_tolerant)


def asked(source: Input, folder: Path, reach: Reach) -> list[Row]:
    """The rows of a query, by way of its frozen file."""
    table = open_table(source, frozen_query(source, folder, reach))
    return [row for batch in table.batches() for row in batch]
