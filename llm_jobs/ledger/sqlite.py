"""The ledger in one SQLite file, or in memory for tests: write-ahead log, every commit synced.

`exchange` has a connection to itself; what it says is in `sqlite_exchange.py`.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock
from sqlalchemy import Connection, QueuePool, create_engine

from llm_jobs.clock import Clock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import Answer, Exchange, Outcome, Want
from llm_jobs.ledger.faults import classified
from llm_jobs.ledger.owners import OWNER_TIMEOUT_S
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.records import answer_of
from llm_jobs.ledger.sql import SqlLedger
from llm_jobs.ledger.sqlite_budgets import as_json
from llm_jobs.ledger.sqlite_exchange import BUSY_TIMEOUT_S, SELECT_ANSWERS, SqliteExchange

_memory_names = itertools.count(1)


class SqliteLedger(SqlLedger):
    """A ledger in the file `path`, or in memory, seen by this object alone, where it is None."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path | None, *, clock: Clock, owner_timeout_s: float = OWNER_TIMEOUT_S) -> None:
        name = f"file:/llm-jobs-{next(_memory_names)}?vfs=memdb" if path is None else f"{path.absolute().as_uri()}"
        self._path = path
        self._lock = threading.RLock()

        def connect() -> sqlite3.Connection:
            return _connect(name, durable=path is not None)

        engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=28)
        url = "sqlite://" if path is None else f"sqlite:///{path}"
        super().__init__(engine, url=url, clock=clock, owner_timeout_s=owner_timeout_s)
        with classified(url, sqlite3.Error):
            self._hot = connect()
        self._hot.execute("PRAGMA busy_timeout = 0")
        self._hot.execute("PRAGMA wal_autocheckpoint = 250")  # short ones: answers wait while one is made
        self._hot.execute("PRAGMA secure_delete = OFF")  # it deletes claims only; erasures are made by the others
        self._exchange = SqliteExchange(self._hot, clock=clock, is_alive=self._is_alive)

    def close(self) -> None:
        with self._lock:
            self._hot.close()
        self._engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._path is None:
            yield
        else:
            with FileLock(f"{self._path}.lock"):
                yield

    def _begin(self, connection: Connection, *, writing: bool) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        # A database in memory has no write-ahead log: whoever reads keeps whoever writes from committing.
        with self._lock if self._path is None else nullcontext(), super()._reading() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._lock, super()._writing() as connection:
            yield connection

    def _scrub(self) -> None:
        with self._lock, classified(self.url, sqlite3.Error):
            self._hot.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        codec = PayloadCodec()
        with self._reading() as connection:
            driver = connection.connection.driver_connection  # rows of SQLAlchemy's take twice as long
            assert isinstance(driver, sqlite3.Connection)
            rows = driver.execute(SELECT_ANSWERS, (as_json(list(call_hashes)),)).fetchall()
        return {row[0]: answer_of(row, codec) for row in rows}

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        with self._lock, classified(self.url, sqlite3.Error):
            return self._exchange.exchange(owner_id, outcomes=outcomes, wants=wants)


def _connect(name: str, *, durable: bool) -> sqlite3.Connection:
    """A connection without Python's own transaction control. Raises SetupError where there is no write-ahead log."""
    connection = sqlite3.connect(
        name, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    if durable:
        mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            connection.close()
            raise SetupError(
                f"SQLite cannot keep a write-ahead log at {name} (it offers {mode!r}): this file system does not share "
                "memory; put the home folder on a local disk, or set LLM_JOBS_DATABASE_URL to a PostgreSQL URL"
            )
        connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    return connection
