"""Counts what a job's rows and calls came to, in memory that does not grow with the job."""

from __future__ import annotations

from random import Random

from llm_jobs.engine.calls import Settled
from llm_jobs.engine.stream import INCOMPLETE, OpenRow
from llm_jobs.ledger.charges import surely_free

RESERVOIR = 4096


class Tally:
    """Rows, calls, tokens, cost and latency of one job in one run.

    Latency percentiles come from a uniform sample of 4,096 calls (reservoir sampling, algorithm R: J. Vitter, "Random
    Sampling with a Reservoir", ACM TOMS 11, 1985).
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._latencies: list[float] = []
        self._timed = 0
        self._unpriced = 0
        self.rows = 0
        self.succeeded = 0
        self.incomplete = 0  # groups that were made and lack rows
        self.skipped = 0  # rows that failed and were left out of the tables after
        self.calls_reused = 0
        self.calls_answered = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost = 0.0
        self.saved = 0.0
        self._saved_unpriced = 0
        self.first_error: str | None = None

    @property
    def failed(self) -> int:
        """Rows of the last table, and rows that were left out before it."""
        return self.rows - self.succeeded + self.skipped

    @property
    def cost_usd(self) -> float | None:
        """What this run's calls cost; None if one of them has no known price."""
        return None if self._unpriced else self.cost

    @property
    def saved_usd(self) -> float | None:
        """What others paid for the answers reused; None if that of one of them is not known."""
        return None if self._saved_unpriced else self.saved

    def row(self, row: OpenRow, told: list[Settled]) -> None:
        """`told`: the row's calls, of which those are not reused that the job paid for, in whichever run."""
        self.rows += 1
        if row.status == "succeeded":
            self.succeeded += 1
        else:
            self.incomplete += row.status == INCOMPLETE
            self.first_error = self.first_error or f"{row.status}: {row.error}"
        for settled, each in zip(row.settled, told, strict=True):
            self._call(settled, is_own=not each.reused)

    def _call(self, settled: Settled, *, is_own: bool) -> None:
        if settled.reused:
            self._reused(settled, is_own=is_own)
            return
        self.calls_answered += 1
        facts = settled.facts
        self.prompt_tokens += facts.prompt_tokens or 0
        self.completion_tokens += facts.completion_tokens or 0
        if facts.cost_usd is not None:
            self.cost += facts.cost_usd
        elif not surely_free(facts):
            self._unpriced += 1
        if facts.latency_s is not None:
            self._time(facts.latency_s)

    def _reused(self, settled: Settled, *, is_own: bool) -> None:
        """Nothing was sent for this asking: an answer or a failure of before, or a call that was never sent. What the
        job itself had paid for saves nothing."""
        if settled.facts.status == "cancelled":
            return
        self.calls_reused += 1
        if is_own:
            return
        if settled.facts.cost_usd is not None:
            self.saved += settled.facts.cost_usd
        elif settled.reply is not None:
            self._saved_unpriced += 1

    def _time(self, latency_s: float) -> None:
        self._timed += 1
        if len(self._latencies) < RESERVOIR:
            self._latencies.append(latency_s)
        elif (place := self._random.randrange(self._timed)) < RESERVOIR:
            self._latencies[place] = latency_s

    def latency_s(self) -> dict[str, float]:
        """The 50th, 90th and 99th percentile in seconds (nearest rank); empty where nothing was sent."""
        ordered = sorted(self._latencies)
        if not ordered:
            return {}
        return {f"p{share}": ordered[min(len(ordered) - 1, len(ordered) * share // 100)] for share in (50, 90, 99)}
