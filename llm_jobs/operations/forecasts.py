"""From what some calls used to what other calls will: tokens and cost as 90 % intervals. Pure; streams; small.

The sum over N calls of a quantity whose mean m and deviation s were learned from n calls lies, nine times in ten,
within N·m ± t·sqrt(N·s² + N²·s²/n + (u·N·m)²): its own spread, what is not known of the mean (the two terms of a
prediction interval, e.g. D. Montgomery, G. Runger, "Applied Statistics and Probability for Engineers", §8-7), and a
stated allowance u for calls that are not quite like those that were learned from. Where nothing was learned the
interval is from the least to the most that the requests allow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Literal

# What was learned from. same: calls of this very step; family: the step before somebody changed it; model: the step
# asked of another model; input: other prompts of this model, which tell how it counts, not how long it answers; limits:
# nothing, only what requests allow.
Basis = Literal["same", "family", "model", "input", "limits"]

ALLOWANCE: dict[Basis, float] = {"same": 0.02, "family": 0.15, "model": 0.6, "input": 0.15, "limits": 0.0}
MOST_SAMPLES = 4_096
_Z95 = 1.6448536269514722
_FEW = 5
# Bytes of request per token where nothing was learned: between CJK text and a short text in a large request.
_LEAST_BYTES_PER_TOKEN, _USUAL_BYTES_PER_TOKEN, _MOST_BYTES_PER_TOKEN = 1.5, 4.0, 16.0
_UNLIMITED_TOKENS = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """`low` to `high` holds the true value nine times in ten."""

    low: float
    expected: float
    high: float

    def __add__(self, other: Interval) -> Interval:
        """The sum of two independent quantities: their distances from what is expected add up in squares."""
        expected = self.expected + other.expected
        below = math.hypot(self.expected - self.low, other.expected - other.low)
        above = math.hypot(self.high - self.expected, other.high - other.expected)
        return Interval(low=expected - below, expected=expected, high=expected + above)

    def times(self, factor: float) -> Interval:
        return Interval(low=self.low * factor, expected=self.expected * factor, high=self.high * factor)


NOTHING = Interval(low=0.0, expected=0.0, high=0.0)


@dataclass(kw_only=True, slots=True)
class Learned:
    """What calls used: a bounded, uniform sample of (request bytes, input tokens, output tokens, cached share, s).

    The sample is drawn by algorithm R (J. Vitter, ACM TOMS 11, 1985) with a fixed seed: the same calls teach the same.
    """

    basis: Basis = "same"
    samples: list[tuple[int, int, int]] = field(default_factory=list)
    cached_tokens: int = 0
    prompt_tokens: int = 0
    latency_s: float = 0.0
    timed: int = 0
    _seen: int = 0
    _random: Random = field(default_factory=lambda: Random(0))

    def learn(self, request_bytes: int, input_tokens: int, output_tokens: int, cached_tokens: int | None) -> None:
        self._seen += 1
        self.prompt_tokens += input_tokens
        self.cached_tokens += cached_tokens or 0
        if len(self.samples) < MOST_SAMPLES:
            self.samples.append((request_bytes, input_tokens, output_tokens))
        elif (place := self._random.randrange(self._seen)) < MOST_SAMPLES:
            self.samples[place] = (request_bytes, input_tokens, output_tokens)

    def took(self, latency_s: float) -> None:
        self.latency_s += latency_s
        self.timed += 1

    @property
    def cached_share(self) -> float:
        return self.cached_tokens / self.prompt_tokens if self.prompt_tokens else 0.0

    @property
    def mean_latency_s(self) -> float | None:
        return self.latency_s / self.timed if self.timed else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Calls to come, summed up: how many, the bytes of their requests, and the limit that they state."""

    calls: int = 0
    request_bytes: int = 0
    output_limit: int | None = None  # tokens per call; None: not stated


def input_interval(asked: Asked, learned: Learned | None) -> Interval:
    """Input tokens of all calls, by a line through (bytes, tokens) of what was learned."""
    if not asked.calls:
        return NOTHING
    if learned is None or not learned.samples:
        size = asked.request_bytes
        return Interval(
            low=size / _MOST_BYTES_PER_TOKEN,
            expected=size / _USUAL_BYTES_PER_TOKEN,
            high=size / _LEAST_BYTES_PER_TOKEN,
        )
    at_zero, slope, deviation = _line([(size, tokens) for size, tokens, _ in learned.samples])
    mean = max(1.0, at_zero + slope * asked.request_bytes / asked.calls)
    return _interval(asked.calls, mean, deviation, len(learned.samples), ALLOWANCE[learned.basis], skew=0.0)


def output_interval(asked: Asked, learned: Learned | None, most: int | None) -> Interval:
    """Output tokens of all calls. `most`: what no answer passes where the request says nothing."""
    if not asked.calls:
        return NOTHING
    limit = asked.output_limit if asked.output_limit is not None else most
    if learned is None or not learned.samples or learned.basis == "input":
        above = float(_UNLIMITED_TOKENS if limit is None else limit)
        return Interval(low=asked.calls * min(1.0, above), expected=asked.calls * above / 2, high=asked.calls * above)
    tokens = [min(output, limit) if limit is not None else output for _, _, output in learned.samples]
    mean, deviation, skew = _moments(tokens)
    made = _interval(asked.calls, mean, deviation, len(tokens), ALLOWANCE[learned.basis], skew=skew)
    most_at_all = math.inf if limit is None else float(asked.calls * limit)
    return Interval(low=made.low, expected=made.expected, high=min(made.high, max(most_at_all, made.expected)))


def _interval(calls: int, mean: float, deviation: float, learned: int, allowance: float, *, skew: float) -> Interval:
    spread = max(deviation, mean / 2) if learned < _FEW else deviation
    own = spread * math.sqrt(calls + calls * calls / learned)
    unlike = allowance * calls * mean
    total = math.hypot(own, unlike)
    quantile = _student(max(2, learned - 1))
    # A sum of few answers leans as they do (the first term of the Cornish-Fisher expansion).
    lean = skew / math.sqrt(calls) * (quantile * quantile - 1) / 6 if own else 0.0
    lean = min(max(lean, 0.0), 1.0)
    expected = calls * mean
    return Interval(
        low=max(0.0, expected - quantile * total), expected=expected, high=expected + (quantile + lean) * total
    )


def _student(freedom: int) -> float:
    """The 95th percentile of Student's t, by the expansion of Abramowitz and Stegun 26.7.5."""
    z, n = _Z95, float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def _line(points: list[tuple[int, int]]) -> tuple[float, float, float]:
    """Tokens at no bytes, tokens per byte (at most 1), and the deviation from that line (least squares)."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    ratio = mean_y / mean_x if mean_x else 0.0
    squares = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / squares if squares and count >= _FEW else ratio
    slope = min(max(slope, 0.0), 1.0)
    at_zero = mean_y - slope * mean_x
    freedom = max(1, count - 2)
    return at_zero, slope, math.sqrt(sum((y - at_zero - slope * x) ** 2 for x, y in points) / freedom)


def _moments(values: list[int]) -> tuple[float, float, float]:
    """Mean, deviation and skewness."""
    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / max(1, count - 1)
    if not variance:
        return mean, 0.0, 0.0
    third = sum((value - mean) ** 3 for value in values) / count
    return mean, math.sqrt(variance), third / variance**1.5
