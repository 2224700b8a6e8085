"""The quota of one model within one process.

Invariant: in no window of 60 s more requests start than the quota says. Waiting is first come, first served: a
reservation is a time to start, given in the order of asking. Times are the event loop's seconds.
"""

from __future__ import annotations

from collections import deque

WINDOW_S = 60.0


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
