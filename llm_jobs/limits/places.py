"""How many calls one process may have under way, as far as the store knows. No loop and no clock in here.

Invariant: no call begins that the store has not counted as this process's, also while an exchange is under way. What is
beyond `keep` is another owner's when its call ends.
"""

from __future__ import annotations


class Places:
    """Calls under way and places for more."""

    __slots__ = ("_allowed", "_good_until_s", "_keep", "in_use")

    def __init__(self) -> None:
        self.in_use = 0
        self._allowed = 0  # that the store knows of as ours
        self._keep = 0  # of these, how many may be filled again without asking
        self._good_until_s = float("-inf")

    @property
    def any(self) -> bool:
        """Does this process hold a place, used or not?"""
        return self._allowed > 0 or self.in_use > 0

    def has_room(self, now_s: float) -> bool:
        """May another call begin? Not in a place that may be another's by now."""
        return self.in_use < self._allowed and now_s <= self._good_until_s

    def leave(self) -> None:
        """A call has ended."""
        self.in_use -= 1
        if self._allowed > self._keep:
            self._allowed -= 1

    def offered(self, spare: int) -> int:
        """What is told to the store: the calls under way and at most `spare` free places, which calls may begin in
        before it has answered. The others are given back."""
        spare = max(0, min(self._allowed - self.in_use, spare))
        self._allowed = self.in_use + spare
        self._keep = self._allowed if spare else 0
        return self._allowed

    def granted(self, keep: int | None, calls: int, good_until_s: float) -> None:
        """The store answered; `keep` None: calls at once are not limited."""
        self._good_until_s = good_until_s
        self._keep = keep or 0
        self._allowed = 0 if keep is None else max(keep, self._allowed + calls)
