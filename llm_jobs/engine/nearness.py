"""Whether the event loop looks up answers by itself, or leaves that to a thread.

A ledger in a file finds an answer in some 8 µs, out of the machine's memory for the most part. Through a thread that
costs the loop more than its own 8 µs: the two take the interpreter from each other at every row. A disk may take a
thousand times as long, and all else in the loop would wait: so it begins with few, goes on with more while they are
quick, and leaves them to the thread for a while where they are not (docs/decisions/0022-look-ups-in-the-loop.md).
"""

from __future__ import annotations

from math import inf

FEWEST = 8
MOST = 128  # answers of some hundred bytes: about a millisecond
MANY = 32  # a turn of rows: where so many are quick the disk is not asked
LONG_S = 0.005
LONG_ONES = 2  # in a row: the collector of garbage may make one long too
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Nearness:
    """How near the answers are, by how long it took to look them up. Times in seconds, by one clock."""

    def __init__(self, *, is_local: bool) -> None:
        """`is_local` False: the loop never looks up anything."""
        self._from_s = -inf if is_local else inf
        self._most = FEWEST
        self._long = 0  # of the last ones
        self._pause_s = FIRST_PAUSE_S

    def most(self, now_s: float) -> int:
        """How many look-ups the loop may make by itself now, before it does something else. 0: they are the
        thread's."""
        return self._most if now_s >= self._from_s else 0

    def took(self, count: int, seconds: float, now_s: float) -> None:
        """The loop has made so many, which took so long: the next may be more, or fewer, or the thread's."""
        if seconds > LONG_S:
            self._most = FEWEST
            self._long += 1
            if self._long == LONG_ONES:
                self._rest(now_s)
            return
        self._long = 0
        if count >= MANY:
            self._pause_s = FIRST_PAUSE_S
        if count == self._most:  # fewer say nothing about more
            self._most = min(2 * self._most, MOST)

    def _rest(self, now_s: float) -> None:
        self._long = 0
        self._from_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
