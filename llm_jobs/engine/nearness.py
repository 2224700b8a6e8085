"""Whether the event loop looks up answers by itself, or leaves that to a thread.

A ledger in a file finds an answer in some 8 µs, out of the machine's memory for the most part. Through a thread that
costs the loop more than its own 8 µs: the two take the interpreter from each other at every row. A disk may take a
thousand times as long, and all else in the loop would wait: so it begins with few, goes on with more while they are
quick, and leaves them to the thread for a while where they are not.
"""

from __future__ import annotations

from math import inf

FEWEST = 8
MOST = 128  # about a millisecond
LONG_S = 0.005
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0


class Nearness:
    """How near the answers are, by how long it took to look them up. Times in seconds, by one clock."""

    def __init__(self, *, is_local: bool) -> None:
        """`is_local` False: the loop never looks up anything."""
        self._from_s = -inf if is_local else inf
        self._most = FEWEST
        self._pause_s = FIRST_PAUSE_S

    def at_once(self, now_s: float) -> int:
        """How many look-ups the loop makes by itself now, before it does something else. 0: they are the thread's."""
        return self._most if now_s >= self._from_s else 0

    def took(self, seconds: float, now_s: float) -> None:
        """Those that were made by now took so long."""
        if seconds > LONG_S:
            self._from_s = now_s + self._pause_s
            self._most = FEWEST
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        elif self._most < MOST:
            self._most *= 2
        else:
            self._pause_s = FIRST_PAUSE_S
