"""Quotas in PostgreSQL, for many machines: one row per quota, locked for an exchange; the server tells the time.

What is here is state and no record: commits are not waited for, so a crash of the server may take the last second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from llm_jobs.errors import SetupError
from llm_jobs.limits.algorithm import decide
from llm_jobs.limits.base import Ask, Grant
from llm_jobs.limits.state import State

_MIGRATION_LOCK = 0x6C6C6D71  # any number, the same in every version
# The number is the form of the state: another version of the program that counts otherwise counts apart.
_CREATE = "CREATE TABLE IF NOT EXISTS limit_states_1 (key text PRIMARY KEY, state bytea NOT NULL)"
_LOCK = "SELECT state FROM limit_states_1 WHERE key = %s FOR UPDATE"
# Asked for after the lock is held: the time before it would be older than what the owner before us has written.
_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
_INSERT = "INSERT INTO limit_states_1 VALUES (%s, %s) ON CONFLICT DO NOTHING"
_UPDATE = "UPDATE limit_states_1 SET state = %s WHERE key = %s"


def parsed(url: str) -> URL:
    """The URL in its parts. Raises ValueError, whose text does not hold the URL."""
    try:
        return make_url(url)
    except ArgumentError:
        raise ValueError("this is no URL of a database") from None


class PostgresLimitStore:
    """The counts in the database `url`. `now_ms` None: the server's clock. Raises SetupError."""

    def __init__(self, url: URL, *, now_ms: Callable[[], int] | None = None) -> None:
        self._engine = create_engine(url.set(drivername="postgresql+psycopg"))
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        self._shown = str(URL.create("postgresql", host=url.host, port=url.port, database=url.database))
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._connection: Any = None  # psycopg's own: two trips to the server per exchange

    def migrate(self) -> None:
        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction():
                    connection.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
                    connection.execute("SET LOCAL synchronous_commit = on")  # the table outlives the server's crash
                    connection.execute(_CREATE)
            except self._driver_error as error:
                raise self._unusable(error) from None

    def exchange(self, key: str, ask: Ask) -> Grant:
        with self._lock:
            try:
                return self._exchanged(self._connected(), key, ask)
            except self._driver_error as error:
                raise self._unusable(error) from None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
        self._engine.dispose()

    def _exchanged(self, connection: Any, key: str, ask: Ask) -> Grant:
        with connection.transaction():
            row, now_ms = self._read(connection, key)
            if row is None:
                connection.execute(_INSERT, (key, State().packed()))
                row, now_ms = self._read(connection, key)
            state = State.unpacked(bytes(row[0]))
            grant = decide(state, ask, now_ms if self._now_ms is None else self._now_ms())
            connection.execute(_UPDATE, (state.packed(), key))
        return grant

    def _read(self, connection: Any, key: str) -> tuple[Any, int]:
        with connection.pipeline():
            locked = connection.execute(_LOCK, (key,))
            now = connection.execute(_NOW)
        return locked.fetchone(), int(now.fetchone()[0])

    def _connected(self) -> Any:
        if self._connection is None or self._connection.closed:
            arguments, options = self._engine.dialect.create_connect_args(self._engine.url)
            self._connection = self._engine.dialect.loaded_dbapi.connect(*arguments, **options, autocommit=True)
            self._connection.execute("SET synchronous_commit = off")
        return self._connection

    def _unusable(self, error: Exception) -> SetupError:
        text = str(error).strip().partition("\n")[0]
        return SetupError(f"the quotas at {self._shown} cannot be used: check that the server runs ({text})")
