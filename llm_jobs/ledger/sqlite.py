"""The ledger in one SQLite file, or in memory for tests, with a write-ahead log.

`exchange` has a connection to itself; what it says is in `sqlite_exchange.py`. Its commits are in the log and not
synced: `sync` does that, from a thread of its own, so that no answer waits for the disk to be safe from a kill. Every
other commit is synced as it is made.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from llm_jobs.clock import Clock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import Answer, Exchange, Outcome, Want
from llm_jobs.ledger.faults import classified
from llm_jobs.ledger.owners import OWNER_TIMEOUT_S
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import answer_of
from llm_jobs.ledger.sql import SqlLedger
from llm_jobs.ledger.sqlite_budgets import as_json
from llm_jobs.ledger.sqlite_exchange import BUSY_TIMEOUT_S, RETRY_S, SELECT_ANSWERS, SqliteExchange

_memory_names = itertools.count(1)
_KEPT = 4  # connections that wait for the next transaction
# What is in the log is brought into the file by `sync`, so that `exchange` has little left of it when the log is long
# enough to begin anew: answers wait meanwhile.
_COMMITS_BETWEEN_CHECKPOINTS = 50
_LONGEST_LOG_PAGES = 4000
_sync_file: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)  # macOS has no `fdatasync`


class SqliteLedger(SqlLedger):
    """A ledger in the file `path`, or in memory, seen by this object alone, where it is None."""

    dialect: Dialect = "sqlite"

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        owner_timeout_s: float = OWNER_TIMEOUT_S,
        sync_file: Callable[[int], None] = _sync_file,
    ) -> None:
        name = f"file:/llm-jobs-{next(_memory_names)}?vfs=memdb" if path is None else f"{path.absolute().as_uri()}"
        self._name = name
        self._path = path and path.resolve()  # SQLite keeps the log beside the file that a link leads to
        self._lock = threading.RLock()
        self._idle: list[sqlite3.Connection] = []
        url = "sqlite://" if path is None else f"sqlite:///{path}"
        super().__init__(url=url, driver_error=sqlite3.Error, clock=clock, owner_timeout_s=owner_timeout_s)
        with classified(url, sqlite3.Error):
            self._hot = self._connect()
        self._hot.execute("PRAGMA busy_timeout = 0")
        self._hot.execute(f"PRAGMA wal_autocheckpoint = {_LONGEST_LOG_PAGES}")
        self._hot.execute("PRAGMA secure_delete = OFF")  # it deletes claims only; erasures are made by the others
        self._exchange = SqliteExchange(self._hot, clock=clock, is_alive=self._is_alive, synced=path is None)
        self._sync_file = sync_file
        self._log: int | None = None
        self._unchecked = 0  # commits since the last checkpoint
        if path is not None:
            self._hot.execute("PRAGMA synchronous = NORMAL")

    def close(self) -> None:
        with self._lock:
            if self._log is not None:
                os.close(self._log)
                self._log = None
            self._hot.close()
            while self._idle:
                self._idle.pop().close()

    def _connect(self) -> sqlite3.Connection:
        return _connect(self._name, durable=self._path is not None)

    @contextmanager
    def _reading(self) -> Iterator[Plain]:
        # A database in memory has no write-ahead log: whoever reads keeps whoever writes from committing.
        with self._lock if self._path is None else nullcontext(), self._transaction("BEGIN", "ROLLBACK") as plain:
            yield plain

    @contextmanager
    def _writing(self) -> Iterator[Plain]:
        with self._lock, self._transaction("BEGIN IMMEDIATE", "COMMIT") as plain:
            yield plain

    @contextmanager
    def _transaction(self, begin: str, end: str) -> Iterator[Plain]:
        with self._borrowed() as connection:
            connection.execute(begin)
            yield Plain(connection, self.dialect)
            connection.execute(end)

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        """A connection that waited for its next use, or a new one."""
        with classified(self.url, sqlite3.Error):
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()  # which rolls back
                raise
            if len(self._idle) < _KEPT:
                self._idle.append(connection)
            else:
                connection.close()

    def _scrub(self) -> None:
        with self._lock, self._borrowed() as connection:  # which waits for those who read, as `_hot` does not
            [(is_busy, *_)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if is_busy:
            raise SetupError(
                f"what was erased is gone from {self.url}, but not from its log, which others read for more than "
                f"{BUSY_TIMEOUT_S:g} s; end the programs that use it and erase again"
            )

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        codec = PayloadCodec()
        with self._reading() as plain:
            rows = plain.rows(SELECT_ANSWERS, (as_json(list(call_hashes)),))
        return {row[0]: answer_of(row, codec) for row in rows}

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        with self._lock, classified(self.url, sqlite3.Error):
            self._unchecked += 1
            return self._exchange.exchange(owner_id, outcomes=outcomes, wants=wants)

    def sync(self) -> None:
        if self._path is None:
            return
        with classified(self.url, sqlite3.Error, OSError):
            if self._log is None:  # it stays the same file as long as `_hot` is open
                self._log = os.open(f"{self._path}-wal", os.O_RDONLY)
            self._sync_file(self._log)
        if self._unchecked >= _COMMITS_BETWEEN_CHECKPOINTS:
            self._unchecked = 0
            with self._borrowed() as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _journal_mode(connection: sqlite3.Connection) -> str:
    """The mode, with the log asked for. Where several processes ask it of a new file at once, SQLite refuses all but
    one without waiting: two that waited for each other would wait for ever."""
    last_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            return str(connection.execute("PRAGMA journal_mode = WAL").fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > last_s:
                raise
        time.sleep(RETRY_S)


def _connect(name: str, *, durable: bool) -> sqlite3.Connection:
    """A connection without Python's own transaction control. Raises SetupError where there is no write-ahead log."""
    connection = sqlite3.connect(
        name, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=64
    )
    if durable:
        mode = _journal_mode(connection)
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
