"""What a call will probably use, learned from what the calls before it used: for reservations that are given back.

Pure and deterministic; bounded memory. A quantile is kept in a histogram whose buckets grow geometrically, so that it
is at most 8 % above the true one whatever the distribution (DDSketch: C. Masson, J. E. Rim, H. K. Lee, PVLDB 12, 2019).
P² (R. Jain, I. Chlamtac, CACM 28, 1985) moves five markers per observation and forgets nothing; here what is old counts
half again and again, so that a model that changes is followed. Bounds that hold whatever happens are not made here.
"""

from __future__ import annotations

import math
from typing import NamedTuple

QUANTILE = 0.9
LEAST_SAMPLES = 20  # before that the caller's bounds stand
LEARNED_WHOLE = 256  # answers: of those that follow some teach as much as all
HALVED_AFTER = 1_024  # observations: then all counts are halved
REFRESHED_AFTER = 32  # observations: a quantile is worked out again
FIRST_TOKENS_PER_BYTE = 1 / 3  # of JSON; English text has 1/4, and nothing is known yet

_GROWTH = 1.08  # from bucket to bucket
_PER_LOG = 1 / math.log(_GROWTH)
_SMALLEST = 1e-6
_LARGEST = 1e9


class TokenEstimate(NamedTuple):
    """What one call is expected not to pass, most of the time."""

    input_tokens: int
    output_tokens: int


class LearnedQuantile:
    """A quantile of positive numbers that stream by."""

    __slots__ = ("_buckets", "_due", "_quantile", "_seen", "_value", "_weight")

    def __init__(self, quantile: float = QUANTILE) -> None:
        if not 0 < quantile < 1:
            raise ValueError(f"a quantile lies between 0 and 1, not at {quantile}")
        self._quantile = quantile
        self._buckets: dict[int, float] = {}
        self._weight = 0.0
        self._seen = 0
        self._due = 0
        self._value = 0.0

    def learn(self, value: float) -> None:
        """Count one observation; zero and below count as the smallest."""
        bucket = math.floor(math.log(min(max(value, _SMALLEST), _LARGEST)) * _PER_LOG)
        buckets = self._buckets
        buckets[bucket] = buckets.get(bucket, 0.0) + 1.0
        self._weight += 1.0
        self._seen += 1
        self._due -= 1
        if self._weight >= HALVED_AFTER:
            self._halve()

    def value(self) -> float | None:
        """The quantile, at most 8 % above the true one and not below it; None while too little was seen."""
        if self._seen < LEAST_SAMPLES:
            return None
        if self._due <= 0:
            self._value = self._worked_out()
            self._due = min(REFRESHED_AFTER, self._seen)
        return self._value

    def _worked_out(self) -> float:
        wanted = self._quantile * self._weight
        below = 0.0
        bucket = 0
        for bucket in sorted(self._buckets):
            below += self._buckets[bucket]
            if below >= wanted:
                break
        upper: float = _GROWTH ** (bucket + 1)
        return upper

    def _halve(self) -> None:
        self._buckets = {bucket: count / 2 for bucket, count in self._buckets.items() if count > 1 / 8}
        self._weight = sum(self._buckets.values())


class LearnedTokens:
    """What the calls of one model and step use. One instance for each pair of them.

    >>> learned = LearnedTokens()
    >>> learned.estimate(400, 1_000)
    TokenEstimate(input_tokens=134, output_tokens=1000)
    >>> for _ in range(100):
    ...     learned.learn(400, input_tokens=90, output_tokens=25)
    >>> learned.estimate(800, 1_000).output_tokens
    26
    """

    __slots__ = ("_offered", "_output", "_per_byte", "_unlimited")

    def __init__(self, *, quantile: float = QUANTILE, unlimited_output_tokens: int = 1_024) -> None:
        """`unlimited_output_tokens`: the first guess for calls that state no limit."""
        self._per_byte = LearnedQuantile(quantile)
        self._output = LearnedQuantile(quantile)
        self._unlimited = unlimited_output_tokens
        self._offered = 0

    def estimate(self, input_bytes: int, limit: int | None) -> TokenEstimate:
        """Tokens of a call whose request has `input_bytes` and allows `limit` tokens of answer (None: says nothing)."""
        per_byte = self._per_byte.value()
        output = self._output.value()
        if output is None:
            output = self._unlimited if limit is None else limit
        elif limit is not None and output > limit:
            output = limit
        return TokenEstimate(
            math.ceil(input_bytes * (FIRST_TOKENS_PER_BYTE if per_byte is None else per_byte)), math.ceil(output)
        )

    def learn(self, input_bytes: int, *, input_tokens: int | None, output_tokens: int | None) -> None:
        """What an answer used; None is not stated and teaches nothing. Of many answers one in four is learned."""
        self._offered += 1
        if self._offered > LEARNED_WHOLE and self._offered % 4:
            return
        if input_tokens is not None and input_bytes > 0:
            self._per_byte.learn(input_tokens / input_bytes)
        if output_tokens is not None:
            self._output.learn(output_tokens)
