"""What operations tell: frozen facts about jobs, documents and deliveries. The CLI prints them, Dagster shows them,
Python returns them. None means not known or not there, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

from llm_jobs.documents.launch_rules import NO_RULES, LaunchRules
from llm_jobs.ledger.base import ResultRecord, Submission

JobStatus = Literal["done", "partial", "failed", "waiting"]
Priority = Literal["hot", "cold"]


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedDocument:
    document_name: str
    job_hash: str
    job_name: str
    held: str | None = None  # why it waits for approval; None: it does not


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectedDocument:
    document_name: str
    error: str
    moved_to: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PostponedDocument:
    """Left in the inbox: not the document is wrong, but what surrounds it (no server, no rights, ...)."""

    document_name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeferredDocument:
    """Becomes a job once what it needs is done."""

    document_name: str
    name: str
    needs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class IntakeReport:
    """What became of the inbox. `remaining`: documents that the time budget left there."""

    accepted: tuple[AcceptedDocument, ...] = ()
    deferred: tuple[DeferredDocument, ...] = ()
    rejected: tuple[RejectedDocument, ...] = ()
    postponed: tuple[PostponedDocument, ...] = ()
    remaining: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedJob:
    """A job as it lies in the ledger, before or after it ran."""

    job_hash: str
    name: str
    submitter: str
    priority: Priority
    submitted_ns: int  # of the newest submission
    providers: tuple[str, ...]
    document_path: str | None
    input_path: str | None
    destinations: tuple[str, ...] = ()  # the kinds of places that its result goes to
    waited_ns: int = 0  # when it began to wait last; runs before that came to what they could
    origin: str = ""  # of the newest submission
    rules: LaunchRules = NO_RULES


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedJob:
    """A job that may not start yet. `is_news`: that was not told before, or not so."""

    job_hash: str
    name: str
    reason: str
    is_news: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Launchable:
    """Jobs that may start now, oldest submission first, and those that have to wait."""

    jobs: tuple[SubmittedJob, ...] = ()
    gated: tuple[GatedJob, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class JobReport:
    """What became of a job in one run.

    `done`: every row succeeded; `partial`: some did; `failed`: none did, or there is no result at all; `waiting`: there
    is none yet, and `error` says on what it waits. Calls, tokens and cost are those of this run: an answer that was
    reused costs nothing again. `spent_usd` is what all runs of the job have cost; None where that is not known.
    """

    job_hash: str
    name: str
    status: JobStatus
    rows: int
    succeeded: int
    failed: int
    calls_sent: int
    calls_reused: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float | None
    result: str | None  # where the Parquet file lies
    sha256: str | None
    seconds: float
    latency_percentiles: Mapping[str, float] = field(default_factory=dict)  # seconds by name: p50, p90, p99
    calls_at_once: Mapping[str, int] = field(default_factory=dict)  # by model, as many as it was found to bear
    error: str | None = None  # why there is no result (yet), or the first failed row's reason
    preview: Sequence[Mapping[str, object]] = ()
    sample_request: str | None = None
    submitter: str = ""
    providers: tuple[str, ...] = ()
    input_path: str | None = None
    document_path: str | None = None
    spent_usd: float | None = None
    made_with: Mapping[str, object] = field(default_factory=dict)  # facts of the run that made a result of before

    @classmethod
    def without_result(
        cls,
        submission: Submission,
        status: Literal["failed", "waiting"],
        *,
        error: str,
        seconds: float,
        cost_usd: float | None,
        document_path: str,
    ) -> Self:
        """A job that came to no result in this run; `error` says why not."""
        return cls(
            job_hash=submission.job_hash,
            name=submission.name,
            status=status,
            rows=0,
            succeeded=0,
            failed=0,
            calls_sent=0,
            calls_reused=0,
            prompt_tokens=0,
            completion_tokens=0,
            cost_usd=cost_usd,
            result=None,
            sha256=None,
            seconds=seconds,
            error=error,
            submitter=submission.submitter,
            document_path=document_path,
        )

    def facts(self) -> dict[str, object]:
        """The members of a line of `llm-jobs run --json`, in their order."""
        return {
            "job_hash": self.job_hash,
            "name": self.name,
            "status": self.status,
            "rows": self.rows,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "calls_sent": self.calls_sent,
            "calls_reused": self.calls_reused,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "cost_usd": self.cost_usd,
            "spent_usd": self.spent_usd,
            "result": self.result,
            "seconds": round(self.seconds, 3),
        }


def status_of(rows: int, succeeded: int, incomplete: int = 0, skipped: int = 0) -> JobStatus:
    """`done` when every row succeeded (a table without rows too), `failed` when there is nothing to show. `incomplete`:
    groups that were made and lack rows. `skipped`: rows that failed and were left out of the tables after."""
    if succeeded == rows and not skipped:
        return "done"
    return "partial" if succeeded or incomplete else "failed"


def spent_usd_of(record: ResultRecord) -> float | None:
    """What all runs of the job had cost when this result was made; None where that is not known."""
    told = record.facts.get("spent_usd")
    return told if isinstance(told, int | float) else None


def status_of_record(record: ResultRecord) -> JobStatus:
    """The status of a job whose result this is."""
    incomplete, skipped = (int(str(record.facts.get(name, 0))) for name in ("incomplete", "skipped"))
    return status_of(record.rows, record.succeeded, incomplete, skipped)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobLine:
    """A job in one line, for lists. `status` is `null-result` where it has no result yet (J26), `waiting` where it
    waits for what it has asked for, `held` where it waits for approval, `gated` where it may not start yet."""

    name: str
    job_hash: str
    status: str
    rows: int | None
    succeeded: int | None
    failed: int | None
    cost_usd: float | None
    submitted_at: str
    result: str | None
    waits_for: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobAudit:
    """What was found when the newest result of a job was recomputed from the files and the ledger."""

    job_hash: str
    rows_answered: bool
    digest_intact: bool
    paid_twice: int


DeliveryStatus = Literal["delivered", "fallback", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryReport:
    """What became of one delivery. `is_new`: False where the destination held all of it already. `error`: why the
    result did not reach the destination that the document names."""

    job_hash: str
    destination: str
    rows: int
    size_bytes: int | None = None
    status: DeliveryStatus = "delivered"
    is_new: bool = True
    sha256: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    error: str | None = None

    def facts(self) -> dict[str, object]:
        """The members of a line of `llm-jobs deliver --json`, in their order."""
        return {
            "job_hash": self.job_hash,
            "destination": self.destination,
            "status": self.status,
            "rows": self.rows,
            "is_new": self.is_new,
            "size_bytes": self.size_bytes,
            "sha256": self.sha256,
            **self.details,
            "error": self.error,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """A catalogue or library at one moment; two of them differ exactly when their digests do."""

    digest: str
    rows: Sequence[Mapping[str, object]]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecurringDocument:
    path: str
    name: str
    cron: str
    timezone: str
    enabled: bool
