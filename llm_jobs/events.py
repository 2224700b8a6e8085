"""Facts that the engine, the results and the operations report while they work.

Metrics, spans, logs, progress bars and the fault tests listen. A listener must be quick and must not raise; what it
returns is ignored. Nothing in the project changes its course because of a listener.

A call of 300 µs affords some four events only if they are cheap: whoever tells a hot fact asks once, when it is made,
whether its listener `wants` that kind, and builds none that nobody hears (10 ns instead of 400). How they are made is
in `values`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from llm_jobs.values import positional_value

WaitReason = Literal[
    "quota",  # the model's, where it is not known which of them
    "requests",  # the quota of requests per minute or day
    "tokens",  # the quota of tokens per minute
    "concurrency",  # the calls at once that the model allows, or that it was found to bear
    "paused",  # the provider asked for a pause (Retry-After)
    "elsewhere",  # another process holds the call
    "budget",  # a cap is reserved to the last cent by calls in flight
    "retry",  # it failed and rests before the next attempt
    "batch",  # a vendor's batch holds it
]


@dataclass(frozen=True, slots=True)
class JobStarted:
    job_hash: str
    name: str
    rows: int | None  # None while the size of the input is unknown
    tables: int = 1  # that its steps go over, each made of the one before; `rows` are those of the first


@dataclass(frozen=True, slots=True)
class TableStarted:
    """A table after a job's first is gone over, which is the number `table` of so many, counted from 1."""

    job_hash: str
    table: int
    tables: int
    rows: int | None  # None where nobody knows before the rows are made


@dataclass(frozen=True, slots=True)
class InputRowsUnreadable:
    """Rows of a job's table could not be read; they are rows of the result with the status `invalid_input`."""

    job_hash: str
    name: str
    rows: int
    first: str  # why, of the first; names a place and a rule, and may show the beginning of a value
    alert: bool  # somebody is to be told


@positional_value
class CallIntended:
    """The intent to send is committed."""

    call_hash: str


@positional_value
class CallWaiting:
    """A call begins to wait, or waits for something else than before. It ends with the next fact about the same call,
    or with its job."""

    call_hash: str
    job_hash: str
    model: str
    reason: WaitReason


@positional_value
class CallSent:
    """The request is about to be handed to the network. Told of each call of a group that travels in one request, and
    again of each half of a group that was refused."""

    call_hash: str
    job_hash: str
    model: str
    provider: str
    attempt: int  # 1 is the first
    base_url: str = ""
    path: str = ""
    # Content: for a listener that was asked to show it. No log and no metric reads it.
    body: Mapping[str, object] | None = field(default=None, repr=False, hash=False)


@positional_value
class RequestSent:
    """One request is sent, for one call or for a group of them."""

    job_hash: str
    model: str


@positional_value
class CallAnswered:
    """The provider answered; nothing is durable yet."""

    call_hash: str


@positional_value
class CallFailed:
    """One attempt failed. `retry_in_s` is None when it will not be repeated."""

    call_hash: str
    job_hash: str
    model: str
    error: str  # the class of the error
    http_status: int | None
    latency_s: float
    retry_in_s: float | None


@positional_value
class CallRecorded:
    """The outcome of a call that this process sent, or collected from a vendor's batch, is durable. Tokens, cost: None
    where not known, never 0."""

    call_hash: str
    job_hash: str
    model: str  # as asked, the catalogue's name
    provider: str  # the kind
    status: str  # of ledger.base.OutcomeStatus
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None  # a part of the prompt's
    reasoning_tokens: int | None  # a part of the completion's
    cost_usd: float | None
    latency_s: float | None  # of the last attempt; None where nothing was sent
    attempts: int
    model_answered: str | None
    finish_reason: str | None
    error: str | None  # the class of the error
    output: object = field(
        default=None, repr=False, hash=False
    )  # content, as `CallSent.body`; None where nothing was said
    recorded_ns: int = 0  # since 1970; of what a batch answered, when that was collected


@positional_value
class CallReused:
    """A call was answered without being sent. `saved_usd` is what others paid for that; None where that is unknown."""

    call_hash: str
    job_hash: str
    model: str
    saved_usd: float | None


@positional_value
class QuotaWaited:
    """A call waited for its model's quota, and waits no more."""

    model: str
    job_hash: str
    seconds: float
    reason: WaitReason


@positional_value
class RowCompleted:
    job_hash: str
    status: str
    reused: bool


@positional_value
class TableRowCompleted:
    """A row of a table after the first: what counts a job's rows counts those of one table."""

    job_hash: str
    status: str
    reused: bool


@dataclass(frozen=True, slots=True)
class ConcurrencyChanged:
    """How many calls at once a model is now found to bear. `phase` names why: slow start, growth, a cut, the knee."""

    model: str
    limit: int
    phase: str


@dataclass(frozen=True, slots=True)
class QuotaPaused:
    """Nobody sends to `model` for so long: the provider said so."""

    model: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class ModelCooled:
    """A model is left out of the choice for so long, for it failed too often."""

    model: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetReached:
    """The next call of the job would pass a cap; it is not sent. `key` names the budget."""

    job_hash: str
    key: str


@dataclass(frozen=True, slots=True)
class BatchChanged:
    """A vendor's batch moved on: `kind` of batch_events, e.g. submitted, ended, collected, lost."""

    job_hash: str
    model: str
    vendor_id: str | None
    kind: str
    calls: int


@dataclass(frozen=True, slots=True)
class ResultWritten:
    """The Parquet file is complete and synced under its temporary name."""

    job_hash: str


@dataclass(frozen=True, slots=True)
class ResultLinked:
    """The result has its final name; its digest is not recorded yet."""

    job_hash: str
    path: str


@dataclass(frozen=True, slots=True)
class ResultRecorded:
    """The digest of the result is in the ledger."""

    job_hash: str
    path: str


@dataclass(frozen=True, slots=True)
class JobFinished:
    job_hash: str
    name: str
    status: str  # done | partial | failed
    rows: int
    succeeded: int
    failed: int
    cost_usd: float | None = None  # of the calls that this process sent; None where one has no known price
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class DeliveryEnded:
    """A result reached a destination of its job, or did not. `destination` holds no credential."""

    job_hash: str
    name: str
    destination: str
    status: str  # delivered | fallback | skipped | failed
    rows: int = 0
    error: str | None = None  # why it did not reach the destination that is named


@dataclass(frozen=True, slots=True)
class JobMeasured:
    """The metrics that a job's document asks for, as they stand now. Told every few seconds, and at the job's end."""

    job_hash: str
    name: str
    metrics: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, slots=True)
class AlertRaised:
    """A condition of the job's document began to hold. `metrics`: those that it reads."""

    job_hash: str
    name: str
    condition: str
    metrics: Mapping[str, float] = field(hash=False)


@dataclass(frozen=True, slots=True)
class JobBroken:
    """The job stopped without a result; nothing more will be told of it. `error` is the class of the error."""

    job_hash: str
    name: str
    error: str


Event = (
    JobStarted
    | TableStarted
    | InputRowsUnreadable
    | CallIntended
    | CallWaiting
    | CallSent
    | RequestSent
    | CallAnswered
    | CallFailed
    | CallRecorded
    | CallReused
    | QuotaWaited
    | RowCompleted
    | TableRowCompleted
    | ConcurrencyChanged
    | QuotaPaused
    | ModelCooled
    | BudgetReached
    | BatchChanged
    | ResultWritten
    | ResultLinked
    | ResultRecorded
    | JobFinished
    | DeliveryEnded
    | JobMeasured
    | AlertRaised
    | JobBroken
)
Listener = Callable[[Event], None]
NOTHING: frozenset[type] = frozenset()


def ignore(event: Event) -> None:
    """The listener that listens to nothing."""


def wanted(listener: Listener) -> frozenset[type] | None:
    """The kinds of events that `listener` hears: what its attribute `wants` says; None, which is all, without it."""
    return NOTHING if listener is ignore else getattr(listener, "wants", None)


def wants(listener: Listener, kind: type) -> bool:
    """Whether `listener` hears events of `kind`: asked once, by who tells them."""
    kinds = wanted(listener)
    return kinds is None or kind in kinds


class Broadcast:
    """One listener that passes every event to those of `listeners` that want it, in order."""

    def __init__(self, *listeners: Listener) -> None:
        heard = [wanted(listener) for listener in listeners]
        self.wants = None if None in heard else frozenset().union(*(kinds for kinds in heard if kinds is not None))
        self._listeners = listeners
        self._by_kind: dict[type, tuple[Listener, ...]] = {}

    def __call__(self, event: Event) -> None:
        kind = type(event)
        hearers = self._by_kind.get(kind)
        if hearers is None:
            hearers = self._by_kind[kind] = tuple(one for one in self._listeners if wants(one, kind))
        for listener in hearers:
            listener(event)


def broadcast(*listeners: Listener) -> Listener:
    """One listener for all of `listeners`; those that listen to nothing cost nothing."""
    heard = [listener for listener in listeners if wanted(listener) != NOTHING]
    if not heard:
        return ignore
    return heard[0] if len(heard) == 1 else Broadcast(*heard)
