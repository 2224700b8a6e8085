"""The first value of a query, for the condition that enough data is there. Reads one row, in a transaction that the
database itself keeps from writing, by a cursor of the database's own: it takes one statement, which cannot end the
transaction, and hands out no more rows than are read.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from llm_jobs.documents.connections import masked
from llm_jobs.errors import SetupError

TIMEOUT_S = 10
# Without parameters the driver leaves `%` and `:name` alone.
_ONE_ROW = {"stream_results": True, "max_row_buffer": 1, "no_parameters": True}
_FIRST_LINE = 300  # characters of what a database says


def first_number(url: str, query: str, *, timeout_s: int = TIMEOUT_S) -> int | float:
    """The first value of `query` at the database `url` (credentials included); 0 for NULL and for no row.

    Raises SetupError, without credentials, where the database cannot be asked or the value is no number.
    """
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(url, timeout_s))
        with engine.connect() as connection:
            _make_read_only(connection, timeout_s)
            value = connection.execution_options(**_ONE_ROW).exec_driver_sql(query).scalar()
            connection.rollback()
    except (SQLAlchemyError, ValueError, ImportError) as error:
        said = str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__]
        hidden = said[0][:_FIRST_LINE].replace(url, masked(url))
        raise SetupError(f"the check {query!r} at {masked(url)} failed: {hidden}") from None
    if value is None:
        return 0
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SetupError(f"the check {query!r} gave {value!r:.40}, which is no number; write SELECT COUNT(*) FROM …")
    return value


def _connect_args(url: str, timeout_s: int) -> dict[str, object]:
    return {"timeout": timeout_s} if url.startswith("sqlite") else {"connect_timeout": timeout_s}


def _make_read_only(connection: Connection, timeout_s: int) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA query_only = ON"))
    elif connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION READ ONLY"))
        connection.execute(text(f"SET LOCAL statement_timeout = {timeout_s * 1000}"))
