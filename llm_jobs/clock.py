"""Wall time as an argument. Nothing else in the project reads the system's clock.

Delays inside the event loop use `asyncio.sleep` and `loop.time()`, which a test's virtual loop replaces; the clock
here tells what is written down.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Tells the time that is recorded."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""


class WallClock:
    """The system's clock, made strictly increasing, so that two files never get one epoch."""

    def __init__(self) -> None:
        self._last = 0

    def now_ns(self) -> int:
        self._last = max(time.time_ns(), self._last + 1)
        return self._last


class SetClock:
    """A clock that stands where it is put and moves one nanosecond per reading."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        self._now_ns += 1
        return self._now_ns

    def advance(self, seconds: float) -> None:
        self._now_ns += int(seconds * 1e9)
