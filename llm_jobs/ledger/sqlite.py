"""The ledger in one SQLite file, or in memory for tests: write-ahead log, every commit synced.

`exchange` has a connection to itself and speaks to it without SQLAlchemy: at 2,000 calls per second it is the hot
path, and a prepared `executemany` costs a microsecond or two per row. It decides inside BEGIN IMMEDIATE, so what it
read stays true until it has written.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import time
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
from llm_jobs.ledger.records import (
    ANSWER_COLUMNS,
    FACT_COLUMNS,
    OWNER_COLUMNS,
    OwnerRow,
    answer_of,
    fact_values,
    facts_of,
)
from llm_jobs.ledger.settling import Claim, Failure, Settlement, settle
from llm_jobs.ledger.sql import SqlLedger

BUSY_TIMEOUT_S = 30.0
# SQLite's own wait grows to 100 ms between tries; two processes that commit every 5 ms would starve each other.
_RETRY_S = 0.0005

_SELECT_ANSWERS = f"""
SELECT {ANSWER_COLUMNS} FROM json_each(?) w
CROSS JOIN answers a ON a.call_hash = w.value
CROSS JOIN intents i ON i.id = a.intent_id
CROSS JOIN outcomes o ON o.intent_id = a.intent_id
LEFT JOIN payloads p ON p.intent_id = a.intent_id
"""
_SELECT_ANSWERED = "SELECT a.call_hash FROM json_each(?) w CROSS JOIN answers a ON a.call_hash = w.value"
_SELECT_CLAIMS = (
    "SELECT c.call_hash, c.owner_id, c.intent_id FROM json_each(?) w CROSS JOIN claims c ON c.call_hash = w.value"
)
_SELECT_FAILURES = f"""
SELECT o.call_hash, o.intent_id, {", ".join(f"o.{name}" for name in FACT_COLUMNS)} FROM json_each(?) w
CROSS JOIN outcomes o ON o.call_hash = w.value AND (o.late OR o.status <> 'succeeded')
WHERE o.final AND o.status <> 'succeeded' ORDER BY o.intent_id
"""
_SELECT_OWNER = f"SELECT {', '.join(OWNER_COLUMNS)} FROM owners WHERE id = ?"
# The hash is the intent's own: an outcome filed under another call's hash would poison that call's answer.
_INSERT_OUTCOME = (
    f"INSERT INTO outcomes (intent_id, call_hash, final, late, recorded_ns, {', '.join(FACT_COLUMNS)})"
    f" VALUES (?, (SELECT call_hash FROM intents WHERE id = ?), ?, ?, ?{', ?' * len(FACT_COLUMNS)})"
)
_INSERT_PAYLOAD = "INSERT INTO payloads (intent_id, request, answer) VALUES (?, ?, ?)"
_INSERT_ANSWER = "INSERT INTO answers (call_hash, intent_id) SELECT call_hash, id FROM intents WHERE id = ?"
_RELEASE = "DELETE FROM claims WHERE call_hash = ? AND owner_id = ?"
_INSERT_INTENT = (
    "INSERT INTO intents (id, call_hash, job_hash, submission_id, owner_id, provider, model, attempt, intended_ns)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CLAIM = (
    "INSERT INTO claims (call_hash, owner_id, intent_id) VALUES (?, ?, ?)"
    " ON CONFLICT (call_hash) DO UPDATE SET owner_id = excluded.owner_id, intent_id = excluded.intent_id"
)

_memory_names = itertools.count(1)


class SqliteLedger(SqlLedger):
    """A ledger in the file `path`, or in memory, seen by this object alone, where it is None."""

    dialect: Dialect = "sqlite"

    def __init__(self, path: Path | None, *, clock: Clock, owner_timeout_s: float = OWNER_TIMEOUT_S) -> None:
        name = f"file:/llm-jobs-{next(_memory_names)}?vfs=memdb" if path is None else f"{path.absolute().as_uri()}"
        self._path = path
        self._lock = threading.RLock()
        self._codec = PayloadCodec()

        def connect() -> sqlite3.Connection:
            return _connect(name, durable=path is not None)

        engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool, pool_size=4, max_overflow=28)
        url = "sqlite://" if path is None else f"sqlite:///{path}"
        super().__init__(engine, url=url, clock=clock, owner_timeout_s=owner_timeout_s)
        with classified(url, sqlite3.Error):
            self._hot = connect()
        self._hot.execute("PRAGMA busy_timeout = 0")
        self._hot.execute("PRAGMA secure_delete = OFF")  # it deletes claims only; erasures are made by the others

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
            rows = connection.exec_driver_sql(_SELECT_ANSWERS, (json.dumps(list(call_hashes)),))
            return {row[0]: answer_of(row, codec) for row in rows}

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        with self._lock, classified(self.url, sqlite3.Error):
            bodies = [
                (outcome.intent_id, self._codec.pack(outcome.request), self._codec.pack_optional(outcome.answer))
                for outcome in outcomes
            ]
            with self._transaction():
                if outcomes:
                    self._record(owner_id, outcomes, bodies)
                if wants:
                    return self._grant(owner_id, wants)
        return Exchange()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._begin_hot()
        try:
            yield
            self._hot.execute("COMMIT")
        except BaseException:
            if self._hot.in_transaction:
                self._hot.execute("ROLLBACK")
            raise

    def _begin_hot(self) -> None:
        for _ in range(int(BUSY_TIMEOUT_S / _RETRY_S)):
            try:
                self._hot.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            time.sleep(_RETRY_S)
        self._hot.execute("BEGIN IMMEDIATE")

    def _record(
        self, owner_id: int, outcomes: Sequence[Outcome], bodies: Sequence[tuple[int, bytes, bytes | None]]
    ) -> None:
        succeeded = [outcome.call_hash for outcome in outcomes if outcome.facts.status == "succeeded"]
        hot = self._hot
        answered = {row[0] for row in hot.execute(_SELECT_ANSWERED, (json.dumps(succeeded),))} if succeeded else set()
        first: list[tuple[int]] = []
        rows = []
        recorded_ns = self._clock.now_ns()
        for outcome in outcomes:
            late = False
            if outcome.facts.status == "succeeded":
                late = outcome.call_hash in answered
                if not late:
                    answered.add(outcome.call_hash)
                    first.append((outcome.intent_id,))
            number = outcome.intent_id
            rows.append((number, number, outcome.final, late, recorded_ns, *fact_values(outcome.facts)))
        hot.executemany(_INSERT_OUTCOME, rows)
        hot.executemany(_INSERT_PAYLOAD, bodies)
        hot.executemany(_INSERT_ANSWER, first)
        hot.executemany(_RELEASE, [(outcome.call_hash, owner_id) for outcome in outcomes if outcome.final])

    def _grant(self, owner_id: int, wants: Sequence[Want]) -> Exchange:
        settled = self._settle(owner_id, wants)
        last_id = self._hot.execute("SELECT coalesce(max(id), 0) FROM intents").fetchone()[0]
        now_ns = self._clock.now_ns()
        granted: dict[str, int] = {}
        intents = []
        for intent_id, want in enumerate(settled.granted, start=last_id + 1):
            granted[want.call_hash] = intent_id
            intents.append(_intent(intent_id, owner_id, want, now_ns))
        self._hot.executemany(_INSERT_INTENT, intents)
        self._hot.executemany(_CLAIM, [(call_hash, owner_id, number) for call_hash, number in granted.items()])
        busy = settled.busy | {call_hash: granted[call_hash] for call_hash in settled.twice}
        return Exchange(granted=granted, answered=settled.answered, busy=busy, failed=settled.failed)

    def _settle(self, owner_id: int, wants: Sequence[Want]) -> Settlement:
        hot = self._hot
        hashes = json.dumps([want.call_hash for want in wants])
        answers = {row[0]: answer_of(row, self._codec) for row in hot.execute(_SELECT_ANSWERS, (hashes,))}
        claims = {row[0]: Claim(row[1], row[2]) for row in hot.execute(_SELECT_CLAIMS, (hashes,))}
        behind = [want.call_hash for want in wants if want.behind is not None and want.call_hash not in answers]
        failures: dict[str, Failure] = {}
        if behind:
            found = hot.execute(_SELECT_FAILURES, (json.dumps(behind),))
            failures = {row[0]: Failure(row[1], facts_of(row[2:])) for row in found}
        liveness: dict[int, bool] = {}

        def alive(other: int) -> bool:
            if other not in liveness:
                row = hot.execute(_SELECT_OWNER, (other,)).fetchone()
                liveness[other] = self._is_alive(None if row is None else OwnerRow(*row))
            return liveness[other]

        return settle(wants, owner_id=owner_id, answers=answers, failures=failures, claims=claims, is_alive=alive)


def _intent(intent_id: int, owner_id: int, want: Want, now_ns: int) -> tuple[int | str, ...]:
    return (
        intent_id,
        want.call_hash,
        want.job_hash,
        want.submission_id,
        owner_id,
        want.provider,
        want.model,
        want.attempt,
        now_ns,
    )


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
