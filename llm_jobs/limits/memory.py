"""Quotas within one process: the store in memory, and the plain request quota that needs no store.

`RequestQuota`'s invariant: in no window of 60 s more requests start than the quota says. Waiting is first come, first
served: a reservation is a time to start, given in the order of asking. Times are the event loop's seconds.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from llm_jobs.limits.algorithm import decide
from llm_jobs.limits.base import Ask, Grant, monotonic_ms
from llm_jobs.limits.state import State

WINDOW_S = 60.0


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


class RequestQuota:
    """At most `requests_per_minute` starts in any window of 60 s; None: no limit."""

    def __init__(self, requests_per_minute: int | None) -> None:
        if requests_per_minute is not None and requests_per_minute < 1:
            raise ValueError(f"requests_per_minute is at least 1, not {requests_per_minute}")
        self.requests_per_minute = requests_per_minute
        self._starts: deque[float] = deque(maxlen=requests_per_minute)

    def reserve(self, now_s: float) -> float:
        """Take one request; returns the seconds to wait before it may start."""
        limit = self.requests_per_minute
        if limit is None:
            return 0.0
        start = now_s
        if len(self._starts) == limit:
            start = max(now_s, self._starts[0] + WINDOW_S)
        self._starts.append(start)
        return start - now_s
