"""When a failed attempt is repeated: exponential backoff with full jitter, and what the server asks for.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 ("full jitter").
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from llm_jobs.errors import CallError, RateLimited, TransientError

# A 429 says "later", not "broken": it may recur this many times as often as other failures.
PATIENCE_WITH_RATE_LIMITS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """`max_retries` attempts after the first; delays in seconds."""

    max_retries: int
    base_s: float = 0.5
    cap_s: float = 60.0

    def delay_s(self, error: CallError, *, failures: int, rate_limits: int, random: Random) -> float | None:
        """Seconds until the next attempt, None if there is none.

        `failures` and `rate_limits` count what happened so far, this error included.
        """
        if not isinstance(error, TransientError):
            return None
        if isinstance(error, RateLimited):
            if rate_limits > self.max_retries * PATIENCE_WITH_RATE_LIMITS:
                return None
            asked_s = error.wait_s or 0.0
            return asked_s + self._jittered_s(min(rate_limits, 4) if error.wait_s is not None else rate_limits, random)
        if failures > self.max_retries:
            return None
        return self._jittered_s(failures, random)

    def _jittered_s(self, count: int, random: Random) -> float:
        return random.uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** (count - 1)))
