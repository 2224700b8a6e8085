"""What a server that enforces a quota counts: every sliding window of 60 s, of requests and of tokens, at arrival."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate

WINDOW_S = 60.0


@dataclass(kw_only=True, slots=True)
class Books:
    """Arrivals, refused ones too, and whether the quota would have had room. Times in seconds, in order."""

    requests_per_minute: int
    tokens_per_minute: int
    times_s: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    refused: int = 0
    _window: deque[tuple[float, int]] = field(default_factory=deque)
    _in_window: int = 0

    def arrive(self, now_s: float, tokens: int) -> bool:
        """Count one request; False where the quota has no room for it."""
        self.times_s.append(now_s)
        self.tokens.append(tokens)
        while self._window and self._window[0][0] <= now_s - WINDOW_S:
            self._in_window -= self._window.popleft()[1]
        fits = len(self._window) < self.requests_per_minute and self._in_window + tokens <= self.tokens_per_minute
        if fits:
            self._window.append((now_s, tokens))
            self._in_window += tokens
        else:
            self.refused += 1
        return fits

    def fullest(self, until_s: float) -> tuple[int, int]:
        """The most requests and the most tokens in any window that ends by `until_s`."""
        last = bisect_left(self.times_s, until_s)
        sums = [0, *accumulate(self.tokens[:last])]
        ends = [bisect_left(self.times_s, start + WINDOW_S, 0, last) for start in self.times_s[:last]]
        requests = max((end - at for at, end in enumerate(ends)), default=0)
        return requests, max((sums[end] - sums[at] for at, end in enumerate(ends)), default=0)

    def used(self, from_s: float, until_s: float) -> tuple[float, float]:
        """The share of the requests and of the tokens that was used on average over the windows in between."""
        sums = [0, *accumulate(self.tokens)]
        shares = []
        start_s = from_s
        while start_s + WINDOW_S <= until_s:
            first, end = bisect_left(self.times_s, start_s), bisect_left(self.times_s, start_s + WINDOW_S)
            shares.append(
                ((end - first) / self.requests_per_minute, (sums[end] - sums[first]) / self.tokens_per_minute)
            )
            start_s += 0.1
        if not shares:
            raise ValueError(f"a window of {WINDOW_S:.0f} s does not fit between {from_s:.1f} and {until_s:.1f}")
        return sum(share for share, _ in shares) / len(shares), sum(share for _, share in shares) / len(shares)
