"""The ledger in one SQLite file, or in memory for tests, with a write-ahead log.

`exchange` has a connection to itself; what it says is in `sqlite_exchange.py`. Every commit is synced. What a process
that was killed, or failed, left in its journal is committed by whoever opens the ledger next, or finds its claims.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from llm_jobs.clock import Clock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import Answer, Exchange, Journal, Outcome, Want
from llm_jobs.ledger.faults import classified
from llm_jobs.ledger.journal import FileJournal, is_at_work, journal_files, left_behind
from llm_jobs.ledger.owners import OWNER_TIMEOUT_S
from llm_jobs.ledger.payloads import own_codec
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import OwnerRow, answer_of
from llm_jobs.ledger.sql import SqlLedger
from llm_jobs.ledger.sqlite_budgets import as_json
from llm_jobs.ledger.sqlite_exchange import BUSY_TIMEOUT_S, SELECT_ANSWERS, SqliteExchange, when_free

_memory_names = itertools.count(1)
_KEPT = 4  # connections that wait for the next transaction
# Of the log, before a commit brings it into the file. Of a longer one more pages are written once for several commits.
_LOG_PAGES = 4000


class _LeftBehind(Exception):
    """A dead owner's claims were met, and it left a journal."""

    def __init__(self, owner_id: int) -> None:
        self.owner_id = owner_id


class SqliteLedger(SqlLedger):
    """A ledger in the file `path`, or in memory, seen by this object alone, where it is None."""

    dialect: Dialect = "sqlite"
    is_local = True

    def __init__(
        self,
        path: Path | None,
        *,
        clock: Clock,
        owner_timeout_s: float = OWNER_TIMEOUT_S,
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
        self._hot.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        self._hot.execute("PRAGMA secure_delete = OFF")  # it deletes claims only; erasures are made by the others
        self._exchange = SqliteExchange(self._hot, clock=clock, is_alive=self._holds_claims)

    def close(self) -> None:
        with self._lock:
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
        codec = own_codec()
        with self._reading() as plain:
            rows = plain.rows(SELECT_ANSWERS, (as_json(list(call_hashes)),))
        return {row[0]: answer_of(row, codec) for row in rows}

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        with self._lock, classified(self.url, sqlite3.Error, OSError):
            while True:
                try:
                    return self._exchange.exchange(owner_id, outcomes=outcomes, wants=wants)
                except _LeftBehind as left:
                    self._take_up(left.owner_id)

    def journal(self, owner_id: int) -> Journal | None:
        return None if self._path is None else FileJournal(self._path, owner_id)

    def recover(self) -> None:
        with self._lock, classified(self.url, sqlite3.Error, OSError):
            self._take_up()

    def _take_up(self, owner_id: int | None = None) -> None:
        """Commit what owners left in their journals, or what this one did."""
        for owner, path in self._journals(owner_id):
            with left_behind(path) as outcomes:
                self._exchange.take_up(owner, outcomes)

    def _holds_claims(self, row: OwnerRow | None) -> bool:
        """Whether the owner's claims hold: it runs, or somebody is at work on its journal, if only to take it up."""
        if self._is_alive(row):
            return True
        if row is None or not (files := self._journals(row.id)):
            return False
        if any(is_at_work(path) for _, path in files):
            return True
        raise _LeftBehind(row.id)

    def _journals(self, owner_id: int | None = None) -> Sequence[tuple[int, Path]]:
        return () if self._path is None else journal_files(self._path, owner_id)


def _journal_mode(connection: sqlite3.Connection) -> str:
    """The mode, with the log asked for. Where several processes ask it of a new file at once, SQLite refuses all but
    one without waiting: two that waited for each other would wait for ever."""
    return str(when_free(connection, "PRAGMA journal_mode = WAL").fetchone()[0])


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
