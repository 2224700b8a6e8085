"""Quotas in one SQLite file, for the processes of one machine.

What is here is state and no record: a power cut may take the last second of it, so nothing is synced. The clock is the
machine's monotonic one, the same for all its processes: setting the wall clock changes nothing.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from llm_jobs.errors import SetupError
from llm_jobs.limits.algorithm import decide
from llm_jobs.limits.base import Ask, Grant, monotonic_ms
from llm_jobs.limits.state import State

BUSY_TIMEOUT_S = 10.0
# SQLite's own wait grows to 100 ms between tries, a quarter of the time that a grant is good for.
_RETRY_S = 0.0005

# The number is the form of the state: another version of the program that counts otherwise counts apart.
_CREATE = "CREATE TABLE IF NOT EXISTS limit_states_1 (key TEXT PRIMARY KEY, state BLOB NOT NULL) WITHOUT ROWID"
_SELECT = "SELECT state FROM limit_states_1 WHERE key = ?"
_UPSERT = "INSERT INTO limit_states_1 VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET state = excluded.state"


class SqliteLimitStore:
    """The counts in the file `path`. Raises SetupError where it cannot be used."""

    def __init__(self, path: Path, *, now_ms: Callable[[], int] = monotonic_ms) -> None:
        self._path = path
        self._now_ms = now_ms
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._unusable(error) from error

    def migrate(self) -> None:
        with self._lock:
            self._patiently("PRAGMA journal_mode = WAL")
            self._patiently("PRAGMA synchronous = OFF")
            self._patiently(_CREATE)

    def exchange(self, key: str, ask: Ask) -> Grant:
        with self._lock:
            self._patiently("BEGIN IMMEDIATE")
            try:
                row = self._connection.execute(_SELECT, (key,)).fetchone()
                state = State.unpacked(None if row is None else row[0])
                grant = decide(state, ask, self._now_ms())
                self._connection.execute(_UPSERT, (key, state.packed()))
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise self._unusable(error) from error
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
        return grant

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _patiently(self, statement: str) -> None:
        give_up_s = time.monotonic() + BUSY_TIMEOUT_S
        while True:
            try:
                self._connection.execute(statement)
                return
            except sqlite3.Error as error:
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
                if not busy or time.monotonic() > give_up_s:
                    raise self._unusable(error) from error
            time.sleep(_RETRY_S)

    def _unusable(self, error: Exception) -> SetupError:
        return SetupError(
            f"the quotas' file {self._path} cannot be used ({error}); check that its folder exists and may be written, "
            "or set LLM_JOBS_LIMITS_URL"
        )
