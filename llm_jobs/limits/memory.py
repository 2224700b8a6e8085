"""Quotas within one process: the store in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable

from llm_jobs.limits.algorithm import decide
from llm_jobs.limits.base import Ask, Grant, monotonic_ms
from llm_jobs.limits.state import State


class MemoryLimitStore:
    """The limiters of one process, or of one test. Never blocks: a limiter may ask it without a thread."""

    def __init__(self, *, now_ms: Callable[[], int] = monotonic_ms) -> None:
        self._now_ms = now_ms
        self._states: dict[str, State] = {}
        self._lock = threading.Lock()

    def exchange(self, key: str, ask: Ask) -> Grant:
        with self._lock:
            return decide(self._states.setdefault(key, State()), ask, self._now_ms())

    def migrate(self) -> None:
        """Nothing to make."""

    def close(self) -> None:
        self._states.clear()
