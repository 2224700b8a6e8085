"""Facts that the engine, the results and the operations report while they work.

Metrics, logs, progress bars and the fault tests listen. A listener must be quick and must not raise; what it returns
is ignored. Nothing in the project changes its course because of a listener.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobStarted:
    job_hash: str
    name: str
    rows: int | None  # None while the size of the input is unknown


@dataclass(frozen=True, slots=True)
class CallIntended:
    """The intent to send is committed."""

    call_hash: str


@dataclass(frozen=True, slots=True)
class CallSent:
    """The request is about to be handed to the network."""

    call_hash: str


@dataclass(frozen=True, slots=True)
class CallAnswered:
    """The provider answered; nothing is durable yet."""

    call_hash: str


@dataclass(frozen=True, slots=True)
class CallFailed:
    """One attempt failed. `retry_in_s` is None when it will not be repeated."""

    call_hash: str
    error: str
    retry_in_s: float | None


@dataclass(frozen=True, slots=True)
class CallRecorded:
    """The outcome of a call is durable."""

    call_hash: str
    status: str
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class QuotaWaited:
    """A call waited for its model's quota."""

    model: str
    seconds: float


@dataclass(frozen=True, slots=True)
class RowCompleted:
    job_hash: str
    status: str
    reused: bool


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


Event = (
    JobStarted
    | CallIntended
    | CallSent
    | CallAnswered
    | CallFailed
    | CallRecorded
    | QuotaWaited
    | RowCompleted
    | ResultWritten
    | ResultLinked
    | ResultRecorded
    | JobFinished
)
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that listens to nothing."""


def broadcast(*listeners: Listener) -> Listener:
    """One listener that passes every event to all of `listeners`, in order."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
