"""What one job of one run comes to, counted from the engine's events: the numbers that its document may name.

`documents.watched.METRICS` says what each means. A number that is not known yet is NaN: it compares as neither larger
nor smaller, so that no condition holds for want of knowledge. Memory does not grow with the job.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from llm_jobs.documents.job import Budget
from llm_jobs.events import (
    CallFailed,
    CallRecorded,
    CallReused,
    Event,
    JobBroken,
    JobFinished,
    JobStarted,
    QuotaWaited,
    RowCompleted,
)

NAN = math.nan
_GROWTH = 1.02  # from one class of the sketch to the next: percentiles are right within 1 %
_SHORTEST_S = 1e-4
_LEFT_OUT = "dropped"  # by a filter: it is no row of the result
_NO_FAULT = frozenset({"succeeded", "cancelled"})


class Sketch:
    """Percentiles of what was observed, within 1 % (DDSketch: C. Masson, J. E. Rim, H. K. Lee, "DDSketch: A fast and
    fully-mergeable quantile sketch with relative-error guarantees", PVLDB 12, 2019)."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self._count = 0

    def observe(self, seconds: float) -> None:
        self._classes[math.ceil(math.log(max(seconds, _SHORTEST_S), _GROWTH))] += 1
        self._count += 1

    def percentile(self, share: int) -> float:
        """The value that `share` per cent of the observations do not pass (nearest rank); NaN where there are none."""
        rank, seen = max(1, math.ceil(self._count * share / 100)), 0
        for index in sorted(self._classes):
            seen += self._classes[index]
            if seen >= rank:
                return 2 * _GROWTH**index / (_GROWTH + 1)  # the middle of the class, in relative terms
        return NAN


class Figures:
    """The listener that counts one job. `values` is what it comes to."""

    def __init__(
        self,
        *,
        budget: Budget | None = None,
        spent_usd: float = 0.0,
        spent_tokens: int = 0,
        spent_ns: int = 0,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`budget`: the job's own; `spent_usd`, `spent_tokens`: what was used of it until `spent_ns`, ns since 1970."""
        self._budget = budget
        self._spent_usd, self._spent_tokens, self._spent_ns = spent_usd, spent_tokens, spent_ns
        self._now_s = now_s
        self._started_s: float | None = None
        self._seconds: float | None = None  # how long the job took, once it has ended
        self._counts: Counter[str] = Counter()
        self._cost_usd = self._saved_usd = self._quota_wait_s = 0.0
        self._unpriced = False
        self._broken = False
        self._latency = Sketch()
        self._hear: dict[type, Callable[[Any], None]] = {
            JobStarted: self._job_started,
            RowCompleted: self._row,
            CallRecorded: self._recorded,
            CallReused: self._reused,
            CallFailed: self._failed,
            QuotaWaited: self._waited,
            JobFinished: self._finished,
            JobBroken: self._job_broken,
        }
        self.wants = frozenset(self._hear)

    def __call__(self, event: Event) -> None:
        hear = self._hear.get(type(event))
        if hear is not None:
            hear(event)

    def values(self) -> dict[str, float]:
        """Every metric of `documents.watched.METRICS` by name."""
        counts, rows, seconds = self._counts, self._counts["rows"], self._seconds_now()
        tokens = counts["input_tokens"] + counts["output_tokens"]
        cost_usd = NAN if self._unpriced else self._cost_usd
        failed = rows - counts["succeeded"]
        return {
            "execution_time": seconds,
            "rows": rows,
            "rows_expected": counts["rows_expected"] or NAN,
            "succeeded": counts["succeeded"],
            "failed": failed,
            "success_rate": 0.0 if self._broken else _share(counts["succeeded"], rows),
            "error_rate": 1.0 if self._broken else _share(failed, rows),
            "input_errors": counts["input_errors"],
            "calls": counts["calls"],
            "prompt_failures": counts["prompt_failures"],
            "reused": counts["reused"],
            "retries": counts["retries"],
            "token_usage": tokens,
            "input_tokens": counts["input_tokens"],
            "output_tokens": counts["output_tokens"],
            "cost_usd": cost_usd,
            "saved_usd": self._saved_usd,
            "budget_used": self._budget_used(cost_usd, tokens),
            **{f"latency_p{share}": self._latency.percentile(share) for share in (50, 95, 99)},
            "quota_wait": self._quota_wait_s,
            "rows_per_minute": 60 * _share(rows, seconds),
        }

    def _seconds_now(self) -> float:
        if self._seconds is not None:
            return self._seconds
        return 0.0 if self._started_s is None else self._now_s() - self._started_s

    def _budget_used(self, cost_usd: float, tokens: int) -> float:
        """The fuller of the two caps."""
        if self._budget is None:
            return NAN
        shares = []
        if self._budget.max_cost_usd is not None:
            shares.append((self._spent_usd + cost_usd) / self._budget.max_cost_usd)
        if self._budget.max_tokens is not None:
            shares.append((self._spent_tokens + tokens) / self._budget.max_tokens)
        return max((share for share in shares if share == share), default=NAN)

    def _job_started(self, event: JobStarted) -> None:
        self._started_s = self._now_s()
        self._counts["rows_expected"] = event.rows or 0

    def _row(self, event: RowCompleted) -> None:
        if event.status == _LEFT_OUT:
            return
        self._counts["rows"] += 1
        self._counts["succeeded"] += event.status == "succeeded"
        self._counts["input_errors"] += event.status == "invalid_input"

    def _recorded(self, event: CallRecorded) -> None:
        counts = self._counts
        counts["calls"] += 1
        counts["prompt_failures"] += event.status not in _NO_FAULT
        counts["input_tokens"] += event.prompt_tokens or 0
        counts["output_tokens"] += event.completion_tokens or 0
        if event.cost_usd is not None:
            self._cost_usd += event.cost_usd
        elif event.prompt_tokens is not None:
            self._unpriced = True
        if event.recorded_ns < self._spent_ns:  # a batch answered it: told now, and spent before
            self._spent_usd -= event.cost_usd or 0.0
            self._spent_tokens -= (event.prompt_tokens or 0) + (event.completion_tokens or 0)
        if event.latency_s is not None:
            self._latency.observe(event.latency_s)

    def _reused(self, event: CallReused) -> None:
        self._counts["reused"] += 1
        self._saved_usd += event.saved_usd or 0.0

    def _failed(self, event: CallFailed) -> None:
        self._counts["retries"] += event.retry_in_s is not None

    def _waited(self, event: QuotaWaited) -> None:
        self._quota_wait_s += event.seconds

    def _finished(self, event: JobFinished) -> None:
        """Of a job with several tables the rows of one are told; where the last fared worse, it is what counts."""
        self._seconds = self._seconds_now() if event.seconds is None else event.seconds
        rows = self._counts["rows"]
        if (event.rows - event.succeeded) * rows > (rows - self._counts["succeeded"]) * event.rows:
            self._counts.update(rows=event.rows - rows, succeeded=event.succeeded - self._counts["succeeded"])

    def _job_broken(self, event: JobBroken) -> None:
        self._seconds, self._broken = self._seconds_now(), True


def _share(part: float, whole: float) -> float:
    return part / whole if whole else NAN
