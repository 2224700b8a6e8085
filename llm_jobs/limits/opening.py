"""Opens the limit store that a URL names: SQLite (a file), PostgreSQL, Redis, or the memory of this process."""

from __future__ import annotations

import threading
from pathlib import Path

from llm_jobs.errors import SetupError
from llm_jobs.limits.base import Ask, Grant, LimitStore
from llm_jobs.limits.memory import MemoryLimitStore
from llm_jobs.limits.redis import RedisLimitStore
from llm_jobs.limits.sqlite import SqliteLimitStore

_REMEDY = (
    "LLM_JOBS_LIMITS_URL is sqlite:///path/to/limits.db, postgresql://user@host/database, redis://host:6379/0 "
    "or memory://"
)


def open_limit_store(url: str) -> LimitStore:
    """The store at `url`, ready for exchanges. Raises SetupError where it cannot be used.

    `memory://` is seen by this process alone; the others by every process that names the same one.
    """
    store = _store(url)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


class LazyLimitStore:
    """The store at `url`, opened when it is first asked: without a limit nobody asks, and a server need not run."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._opening = threading.Lock()
        self._store: LimitStore | None = None

    def exchange(self, key: str, ask: Ask) -> Grant:
        return self._opened().exchange(key, ask)

    def migrate(self) -> None:
        self._opened()

    def close(self) -> None:
        with self._opening:
            if self._store is not None:
                self._store.close()
                self._store = None

    def _opened(self) -> LimitStore:
        with self._opening:
            if self._store is None:
                self._store = open_limit_store(self._url)
            return self._store


def _store(url: str) -> LimitStore:
    scheme = url.partition(":")[0]
    if scheme == "memory":
        return MemoryLimitStore()
    if scheme == "sqlite":
        return SqliteLimitStore(_path(url))
    try:
        if scheme in {"redis", "rediss"}:
            return RedisLimitStore(url)
        if scheme.partition("+")[0] in {"postgresql", "postgres"}:
            # SQLAlchemy takes 0.13 s to import, and only those whose quotas are here need it.
            from llm_jobs.limits.postgres import PostgresLimitStore, parsed

            return PostgresLimitStore(parsed(url))
    except ValueError:  # its text holds the URL, and the URL may hold a password
        raise SetupError(f"the URL of the quotas cannot be read; {_REMEDY}") from None
    raise SetupError(f"quotas cannot be kept in {scheme!r}; {_REMEDY}")


def _path(url: str) -> Path:
    path = url.removeprefix("sqlite:///")
    if path in {"", url}:
        raise SetupError(f"the URL of the quotas names no file; {_REMEDY}")
    return Path(path).absolute()
