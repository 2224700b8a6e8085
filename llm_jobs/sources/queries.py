"""Rows of a query over SQLite or PostgreSQL: streamed by the database's own cursor, in a transaction that reads only.

The database itself refuses whatever would write. Values become what JSON has: times ISO 8601 text (those with a zone in
UTC), decimals their digits, NaN null. What the result shows of such columns is their own type. Memory: one fetch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from llm_jobs.documents.connections import masked, resolve_connection
from llm_jobs.documents.job import Input
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import QuerySource
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.query_values import QueryValues
from llm_jobs.sources.reach import Reach

FETCH_ROWS = 1000
CONNECT_TIMEOUT_S = 15
READ_ONLY_SQLITE = "PRAGMA query_only = ON"
READ_ONLY_POSTGRESQL = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
Row = dict[str, JsonValue]
# What a database says of itself, not of the query: it may be another time.
SETUP_STATES = ("08", "28", "3D", "53", "57", "58")  # SQLSTATE classes


@contextmanager
def open_query(source: Input, reach: Reach, problems: Problems) -> Iterator[QueryReading]:
    """A running query. Raises DocumentError for one that is refused, SetupError where the database cannot be used."""
    query = source.query
    assert query is not None
    engine = _engine(query, reach)
    try:
        with _reading(engine, query) as connection:
            rows = source.batch_size or FETCH_ROWS
            # Without parameters the driver leaves `%` and `:name` alone.
            options = {"stream_results": True, "max_row_buffer": rows, "no_parameters": True}
            with _telling(query, problems):
                result = connection.execution_options(**options).exec_driver_sql(query.text)
            if not result.returns_rows:
                raise problems.fatal("the query returns no rows", rule="a query reads", remedy="write a SELECT")
            yield QueryReading(result, query, problems, rows)
    finally:
        engine.dispose()


class QueryReading:
    """The rows of a query that runs."""

    def __init__(self, result: sa.CursorResult[Any], query: QuerySource, problems: Problems, rows: int) -> None:
        self._batches = result.partitions(rows)
        self._query = query
        self._problems = problems
        self.names = list(result.keys())
        self.values = QueryValues(self.names, problems)

    def rows(self) -> Iterator[Row]:
        """Each row once, in order. Raises DocumentError for values that JSON does not have."""
        while True:
            with _telling(self._query, self._problems):
                batch: Sequence[Sequence[Any]] | None = next(self._batches, None)
            if batch is None:
                return
            for record in batch:
                yield self.values.row(record)


def _engine(query: QuerySource, reach: Reach) -> sa.Engine:
    """Raises SetupError; no message holds a credential."""
    url = _url(query, reach)
    backend = url.get_backend_name()
    if query.dialect not in ("database", backend):
        raise SetupError(
            f"the input's source is {query.dialect} and the connection {query.place} leads to {backend}; write "
            f"`source: {backend}`, or `source: database` for whichever it is"
        )
    if backend == "sqlite":
        read_only = {"mode": "ro", "uri": "true"}
        url = sa.URL.create("sqlite", database=f"file:{quote(url.database or '')}", query=read_only)
        return sa.create_engine(url, poolclass=sa.NullPool)
    return sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})


def _url(query: QuerySource, reach: Reach) -> sa.URL:
    if query.file is not None:
        return sa.URL.create("sqlite", database=query.file)
    text = resolve_connection(
        query.connection,
        environment=reach.environment,
        home=reach.home,
        allowed_hosts=reach.allowed_hosts,
        roots=reach.roots,
    )
    return _parsed(text, query)


def _parsed(text: str, query: QuerySource) -> sa.URL:
    try:
        url = sa.make_url(text)
        backend = url.get_backend_name()
    except (SQLAlchemyError, ValueError):
        raise SetupError(
            f"the connection {query.place} stands for no database URL; write postgresql://… or sqlite:///…"
        ) from None
    if backend not in ("sqlite", "postgresql"):
        raise SetupError(
            f"the connection {query.place} leads to {backend}, whose transactions this project does not know to make "
            "read-only; tables are read from PostgreSQL and SQLite, or from a file"
        )
    return url


@contextmanager
def _reading(engine: sa.Engine, query: QuerySource) -> Iterator[sa.Connection]:
    """A connection that cannot write, which sees one state of the database. Ended by a rollback."""
    is_sqlite = engine.dialect.name == "sqlite"
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(engine.connect())
            connection.exec_driver_sql(READ_ONLY_SQLITE if is_sqlite else READ_ONLY_POSTGRESQL)
        except SQLAlchemyError as error:
            raise _unreachable(query, error) from None
        yield connection


@contextmanager
def _telling(query: QuerySource, problems: Problems) -> Iterator[None]:
    """Raises what the database says as DocumentError, or as SetupError where it is not the query's fault."""
    try:
        yield
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if state[:2] in SETUP_STATES or error.connection_invalidated:
            raise _unreachable(query, error) from None
        raise _refused(query, error, problems) from None
    except (SQLAlchemyError, ValueError, OverflowError) as error:
        raise _refused(query, error, problems) from None


def _refused(query: QuerySource, error: Exception, problems: Problems) -> DocumentError:
    return problems.fatal(
        f"the database refuses the query: {_said(error)}",
        value=query.text,
        rule="a query is one statement that reads, in a transaction that only reads",
        remedy="correct the query; try it with the database's own client",
    )


def _unreachable(query: QuerySource, error: Exception) -> SetupError:
    return SetupError(
        f"the database of the connection {query.place} cannot be used: {_said(error)}; check that it runs, the "
        "connection's URL and its credentials"
    )


def _said(error: Exception) -> str:
    """What the database says, on one line. Drivers name hosts and users, and never a password."""
    text = str(getattr(error, "orig", None) or error)
    return masked(" ".join(text.split()))
