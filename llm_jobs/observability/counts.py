"""What jobs and models come to, counted from the engine's events: plain numbers that a page, a scrape or a push reads.

Written by the loop's thread alone, read by others; each number is whole by itself. A call costs some two microseconds.
Bounded: counts are kept by the job's *name*, at most `MOST_JOBS` of them, and go `KEEP_S` after the last job of that
name ended. Nothing here knows how the numbers are shown.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_jobs.events import (
    BatchChanged,
    BudgetReached,
    CallAnswered,
    CallFailed,
    CallRecorded,
    CallReused,
    CallSent,
    CallWaiting,
    ConcurrencyChanged,
    Event,
    JobBroken,
    JobFinished,
    JobMeasured,
    JobStarted,
    ModelCooled,
    QuotaPaused,
    QuotaWaited,
    RequestSent,
    RowCompleted,
)
from llm_jobs.observability.waits import Waits

KEEP_S = 900.0  # some scrapes at the longest interval in use, five minutes
MOST_JOBS = 200
OTHERS = "(others)"  # the name of those that find no place
MOST_CHARACTERS = 64
LATENCY_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class Histogram:
    """How many observations fell below each of `LATENCY_BOUNDS_S`, and above them all; and their sum."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(slots=True, eq=False)
class CallCounts:
    """The calls of the jobs of one name to one model."""

    provider: str = ""
    sent: int = 0  # requests
    in_flight: int = 0
    reused: int = 0
    saved_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0
    latency: Histogram = field(default_factory=Histogram)
    statuses: Counter[str] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)  # by the class of the error
    waited: Counter[str] = field(default_factory=Counter)  # waits by reason
    waited_s: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True, eq=False)
class JobCounts:
    """The jobs of one name."""

    models: dict[str, CallCounts] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    rows_reused: int = 0
    rows_expected: int = 0
    budgets_reached: Counter[str] = field(default_factory=Counter)  # by what the cap is on: job, provider, label
    stated: Mapping[str, float] = field(default_factory=dict)  # what a document asks for, as it was last told
    running: set[str] = field(default_factory=set)  # job hashes
    ended_s: float = 0.0

    def calls(self, model: str) -> CallCounts:
        found = self.models.get(model)
        if found is None:
            found = self.models[model] = CallCounts()
        return found


@dataclass(slots=True, eq=False)
class ModelCounts:
    """What a model made this process do, whichever job it was for."""

    limit: int | None = None  # calls at once that it is found to bear
    changes: Counter[str] = field(default_factory=Counter)  # of that limit, by phase
    pauses: int = 0
    paused_s: float = 0.0
    cooldowns: int = 0
    batches: Counter[str] = field(default_factory=Counter)  # by what happened to them


class Counts:
    """The listener that counts."""

    def __init__(self, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self.jobs: dict[str, JobCounts] = {}  # by the jobs' name
        self.models: dict[str, ModelCounts] = {}
        self.endings: Counter[str] = Counter()  # jobs by how they ended
        self._of_job: dict[str, JobCounts] = {}  # by the hash, of those that run
        self._in_flight: dict[str, CallCounts] = {}  # by call hash
        self.waits = Waits()
        self._hear: dict[type, Callable[[Any], None]] = {
            JobStarted: self._started,
            CallSent: self._sent,
            RequestSent: self._requested,
            CallAnswered: self._answered,
            CallFailed: self._failed,
            CallRecorded: self._recorded,
            CallReused: self._reused,
            CallWaiting: self._waiting,
            QuotaWaited: self._waited,
            RowCompleted: self._row,
            ConcurrencyChanged: self._concurrency,
            QuotaPaused: self._paused,
            ModelCooled: self._cooled,
            BudgetReached: self._budget,
            BatchChanged: self._batch,
            JobFinished: self._finished,
            JobMeasured: self._measured,
            JobBroken: self._broken,
        }
        self.wants = frozenset(self._hear)

    def __call__(self, event: Event) -> None:
        self._hear[type(event)](event)

    def kept(self) -> list[tuple[str, JobCounts]]:
        """The counts by name that are not past their time. Safe from any thread."""
        until_s = self._now_s() - KEEP_S
        return [(name, job) for name, job in list(self.jobs.items()) if job.running or job.ended_s > until_s]

    @property
    def running(self) -> int:
        """Jobs that run now."""
        return len(self._of_job)

    def _started(self, event: JobStarted) -> None:
        job = self._place(event.name[:MOST_CHARACTERS])
        job.running.add(event.job_hash)
        job.rows_expected += event.rows or 0
        self._of_job[event.job_hash] = job

    def _place(self, name: str) -> JobCounts:
        """The counts of `name`; where there are too many, those that ended longest ago make room."""
        if name not in self.jobs:
            until_s = self._now_s() - KEEP_S
            ended = sorted((job.ended_s, old) for old, job in self.jobs.items() if not job.running)
            for ended_s, old in ended:
                if ended_s <= until_s or len(self.jobs) >= MOST_JOBS:
                    del self.jobs[old]
            if len(self.jobs) >= MOST_JOBS:
                name = OTHERS
        return self.jobs.setdefault(name, JobCounts())

    def _job(self, job_hash: str) -> JobCounts:
        """The counts of a job that runs; of one that ended, or was never announced, those of the others."""
        found = self._of_job.get(job_hash)
        if found is None:
            found = self._place(OTHERS)
            found.ended_s = self._now_s()
        return found

    def _sent(self, event: CallSent) -> None:
        calls = self._job(event.job_hash).calls(event.model)
        calls.provider = event.provider
        if event.call_hash not in self._in_flight:
            calls.in_flight += 1
            self._in_flight[event.call_hash] = calls
        self.waits.end(event.call_hash)

    def _requested(self, event: RequestSent) -> None:
        self._job(event.job_hash).calls(event.model).sent += 1

    def _answered(self, event: CallAnswered) -> None:
        self._landed(event.call_hash)

    def _landed(self, call_hash: str) -> None:
        calls = self._in_flight.pop(call_hash, None)
        if calls is not None:
            calls.in_flight -= 1

    def _failed(self, event: CallFailed) -> None:
        self._landed(event.call_hash)
        if event.retry_in_s is not None:
            self._job(event.job_hash).calls(event.model).retries[event.error] += 1
            self.waits.begin(event.call_hash, event.job_hash, event.model, "retry")

    def _recorded(self, event: CallRecorded) -> None:
        calls = self._job(event.job_hash).calls(event.model)
        calls.provider = event.provider
        calls.statuses[event.status] += 1
        calls.input_tokens += event.prompt_tokens or 0
        calls.output_tokens += event.completion_tokens or 0
        calls.cached_tokens += event.cached_tokens or 0
        calls.reasoning_tokens += event.reasoning_tokens or 0
        if event.cost_usd is not None:
            calls.cost_usd += event.cost_usd
        elif event.prompt_tokens is not None:
            calls.unpriced += 1
        if event.latency_s is not None:
            calls.latency.observe(event.latency_s)
        self.waits.end(event.call_hash)

    def _reused(self, event: CallReused) -> None:
        calls = self._job(event.job_hash).calls(event.model)
        calls.reused += 1
        calls.saved_usd += event.saved_usd or 0.0
        self.waits.end(event.call_hash)

    def _waiting(self, event: CallWaiting) -> None:
        self.waits.begin(event.call_hash, event.job_hash, event.model, event.reason)

    def _waited(self, event: QuotaWaited) -> None:
        calls = self._job(event.job_hash).calls(event.model)
        calls.waited[event.reason] += 1
        calls.waited_s[event.reason] += event.seconds  # type: ignore[assignment]

    def _row(self, event: RowCompleted) -> None:
        job = self._job(event.job_hash)
        job.rows[event.status] += 1
        job.rows_reused += event.reused

    def _concurrency(self, event: ConcurrencyChanged) -> None:
        model = self._model(event.model)
        model.limit = event.limit
        model.changes[event.phase] += 1

    def _paused(self, event: QuotaPaused) -> None:
        model = self._model(event.model)
        model.pauses += 1
        model.paused_s += event.seconds

    def _cooled(self, event: ModelCooled) -> None:
        self._model(event.model).cooldowns += 1

    def _batch(self, event: BatchChanged) -> None:
        self._model(event.model).batches[event.kind] += 1

    def _model(self, name: str) -> ModelCounts:
        return self.models.setdefault(name, ModelCounts())

    def _budget(self, event: BudgetReached) -> None:
        # What the cap is on, and not its whole key: a key names a day, and days do not end.
        self._job(event.job_hash).budgets_reached[event.key.partition(":")[0]] += 1

    def _measured(self, event: JobMeasured) -> None:
        job = self._place(event.name[:MOST_CHARACTERS])
        job.stated = event.metrics
        job.ended_s = self._now_s()

    def _finished(self, event: JobFinished) -> None:
        self._ended(event.job_hash, event.status)

    def _broken(self, event: JobBroken) -> None:
        self._ended(event.job_hash, "broken")

    def _ended(self, job_hash: str, how: str) -> None:
        self.endings[how] += 1
        job = self._of_job.pop(job_hash, None)
        if job is None:
            return
        job.running.discard(job_hash)
        job.ended_s = self._now_s()
        self.waits.end_job(job_hash)
        if not job.running:  # attempts that were broken off are told by nobody
            flown = set(map(id, job.models.values()))
            for call_hash in [call for call, calls in self._in_flight.items() if id(calls) in flown]:
                self._landed(call_hash)
