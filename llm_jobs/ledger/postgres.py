"""The ledger in PostgreSQL, for many machines: connections, clocks, and what is done again after a deadlock.

`exchange` has a connection to itself; what it says is in `postgres_exchange.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from llm_jobs.clock import Clock
from llm_jobs.errors import SetupError
from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import Answer, Exchange, Outcome, Want
from llm_jobs.ledger.faults import URL_REMEDY, classified
from llm_jobs.ledger.owners import OWNER_TIMEOUT_S
from llm_jobs.ledger.payloads import PayloadCodec, own_codec
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.postgres_budgets import Hot
from llm_jobs.ledger.postgres_exchange import SELECT_ANSWERS, Batch, prepare, transact
from llm_jobs.ledger.records import answer_of
from llm_jobs.ledger.sql import SqlLedger

_TRIES = 5
_READ_ONLY = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_RETRYABLE_STATES = {"40001", "40P01"}  # serialization_failure, deadlock_detected: rolled back whole


def parsed(url: str) -> URL:
    """The URL of a ledger in PostgreSQL. Raises SetupError for any other."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):  # its text holds the URL or a part, and the URL may hold a password
        raise SetupError(f"the ledger's URL cannot be read; {URL_REMEDY}") from None
    if "@" in f"{found.host}{found.database if found.host else ''}":  # what follows the first @ would be shown
        raise SetupError(f"the ledger's URL has more than one @; write %40 for an @ in the password; {URL_REMEDY}")
    if found.get_backend_name() != "postgresql":
        raise SetupError(f"the ledger cannot be kept in {found.get_backend_name()!r}; {URL_REMEDY}")
    return found


class PostgresLedger(SqlLedger):
    """A ledger in the PostgreSQL database `url`."""

    dialect: Dialect = "postgresql"
    is_local = False

    def __init__(self, url: URL, *, clock: Clock, owner_timeout_s: float = OWNER_TIMEOUT_S) -> None:
        self._engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, max_overflow=28)
        event.listen(self._engine, "connect", _commit_durably)
        self._driver: Any = self._engine.dialect.import_dbapi()
        shown = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
        super().__init__(url=str(shown), driver_error=self._driver.Error, clock=clock, owner_timeout_s=owner_timeout_s)
        self._lock = threading.Lock()
        self._codec = PayloadCodec()
        self._hot: Hot | None = None
        self._unbudgeted: set[int] = set()  # intents granted here and not ended: nothing is set aside for them
        self._clock_is_behind_ns: int | None = None

    def close(self) -> None:
        with self._lock:
            if self._hot is not None:
                self._hot.close()
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Plain]:
        with self._plain() as plain:
            plain.run(_READ_ONLY)
            yield plain

    @contextmanager
    def _writing(self) -> Iterator[Plain]:
        with self._plain() as plain:
            yield plain
            plain.run("COMMIT")

    @contextmanager
    def _plain(self) -> Iterator[Plain]:
        """A connection of the pool, which rolls back what is not committed."""
        with classified(self.url, self._driver_error, DBAPIError), closing(self._engine.raw_connection()) as pooled:
            try:
                yield Plain(pooled.driver_connection, self.dialect)
            except self._driver_error:
                if pooled.driver_connection is not None and pooled.driver_connection.closed:
                    pooled.invalidate()
                raise

    def _shared_now_ns(self) -> int:
        """This process's clock, set by the server's once: machines whose clocks differ agree on who is alive."""
        if self._clock_is_behind_ns is None:
            with self._reading() as plain:
                seconds = plain.scalar("SELECT extract(epoch FROM clock_timestamp())")
            self._clock_is_behind_ns = int(seconds * 1_000_000_000) - self._clock.now_ns()
        return self._clock.now_ns() + self._clock_is_behind_ns

    def _scrub(self) -> None:
        with classified(self.url, self._driver_error, DBAPIError), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM payloads, documents")

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        codec = own_codec()
        with self._reading() as plain:
            rows = plain.rows(SELECT_ANSWERS, (list(call_hashes),))
        return {row[0]: answer_of(row, codec) for row in rows}

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        if not outcomes and not wants:
            return Exchange()
        self._shared_now_ns()
        with self._lock, classified(self.url, self._driver_error):
            now_ns = self._clock.now_ns()
            batch = prepare(
                owner_id,
                outcomes=outcomes,
                wants=wants,
                codec=self._codec,
                now_ns=now_ns,
                unbudgeted=self._unbudgeted,
            )
            done = self._transact(batch)
            self._unbudgeted.difference_update(outcome.intent_id for outcome in outcomes)
            budgeted = {want.call_hash for want in wants if want.budgets}
            self._unbudgeted.update(number for call_hash, number in done.granted.items() if call_hash not in budgeted)
            return done

    def _transact(self, batch: Batch) -> Exchange:
        for _ in range(_TRIES):
            try:
                return self._try(batch)
            except self._driver_error as error:
                if getattr(error, "sqlstate", None) not in _RETRYABLE_STATES:
                    raise
        return self._try(batch)

    def _try(self, batch: Batch) -> Exchange:
        return transact(self._connected(), batch, codec=self._codec, is_alive=self._is_alive)

    def _connected(self) -> Hot:
        if self._hot is None or self._hot.closed:
            arguments, options = self._engine.dialect.create_connect_args(self._engine.url)
            self._hot = self._driver.connect(*arguments, **options, autocommit=True)
            self._hot.execute("SET synchronous_commit = on")
        return self._hot


def _commit_durably(connection: Any, _: object) -> None:
    """Whatever the server's default, what is committed is synced."""
    connection.autocommit = True
    connection.execute("SET synchronous_commit = on")
    connection.autocommit = False
