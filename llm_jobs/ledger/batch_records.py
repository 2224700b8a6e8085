"""What the ledger keeps of vendors' batches, and the part of its contract that concerns them.

A batch is an owner of calls, like a process, but it lives until it is closed. Its row is written when its calls are
claimed and before anything is sent; what becomes of it are events, none of which is ever changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from llm_jobs.ledger.base import Facts  # which builds on this module

# uploaded: the vendor has the file. submitted: it has the batch, and `vendor_id` is its name there. polled: something
# changed, or its submitter gave up unsure (UNSURE). ended: the vendor is done with it. collected: every line that it
# gave is recorded. lost: it was never made, or nobody will ask for it again.
BatchEventKind = Literal["uploaded", "submitted", "polled", "ended", "collected", "lost"]
BatchPhase = Literal["recorded", "uploaded", "submitted", "ended", "collected", "lost"]
UNSURE = "unsure"  # status of a polled event: the answer to the submission did not come

_PHASES: tuple[BatchPhase, ...] = ("lost", "collected", "ended", "submitted", "uploaded")


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Calls of one job, of one model and endpoint, that go to a vendor in one file. `token` is random and known to the
    vendor, so that a batch whose name was lost can be found. `details`: what polling and collecting need, and under
    `intents` the first and last ids of the runs of its intents, in the order of the file's lines."""

    provider: str
    model: str
    base_url: str
    path: str
    job_hash: str
    submission_id: int
    owner_id: int
    token: str
    calls: int
    bytes: int
    sha256: str
    details: Mapping[str, Any] = field(default_factory=dict)
    id: int | None = None
    recorded_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchEvent:
    batch_id: int
    kind: BatchEventKind
    vendor_id: str | None = None  # of the file in `uploaded`, of the batch elsewhere
    status: str | None = None  # the vendor's word, or ours
    details: Mapping[str, Any] = field(default_factory=dict)
    recorded_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchState:
    """A batch with its events, oldest first. `owns`: its calls are still its own. `submitter_runs`: the process that
    made it is alive, as far as can be known."""

    batch: Batch
    events: tuple[BatchEvent, ...]
    owns: bool
    submitter_runs: bool

    @property
    def id(self) -> int:
        assert self.batch.id is not None
        return self.batch.id

    @property
    def phase(self) -> BatchPhase:
        kinds = {event.kind for event in self.events}
        return next((phase for phase in _PHASES if phase in kinds), "recorded")

    @property
    def vendor_id(self) -> str | None:
        """The batch's name at the vendor, once it is known."""
        found = self.newest("submitted")
        return None if found is None else found.vendor_id

    @property
    def file_id(self) -> str | None:
        found = self.newest("uploaded")
        return None if found is None else found.vendor_id

    @property
    def is_unsure(self) -> bool:
        """Its submitter told that it does not know whether the vendor has the batch."""
        return any(event.kind == "polled" and event.status == UNSURE for event in self.events)

    @property
    def changed_ns(self) -> int:
        return (self.events[-1].recorded_ns if self.events else self.batch.recorded_ns) or 0

    def newest(self, kind: BatchEventKind) -> BatchEvent | None:
        return next((event for event in reversed(self.events) if event.kind == kind), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchCall:
    """One call of a batch: its intent, and whether its outcome is recorded."""

    intent_id: int
    recorded: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A final outcome that is no answer, with what was said, if anything was."""

    intent_id: int
    facts: Facts
    recorded_ns: int
    answer: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A job that no process works on: it is launched again when none of `owners`, its batches, is open any more, nobody
    holds any of `calls`, and the clock has passed `not_before_ns`. `over`: it was launched again."""

    job_hash: str
    reason: str
    owners: tuple[int, ...] = ()
    calls: tuple[str, ...] = ()  # some of those that others hold
    not_before_ns: int = 0
    over: bool = False
    since_ns: int | None = None


class BatchLedger(Protocol):
    """The part of the ledger for those who submit, poll and collect batches."""

    def record_batch(self, batch: Batch) -> int:
        """Record a batch whose calls its owner has claimed; returns its id. Raises LlmJobsError where its owner was
        closed: whoever did that has given its calls to others."""

    def record_batch_event(self, event: BatchEvent) -> None: ...

    def batches(
        self, *, job_hash: str | None = None, ids: Sequence[int] | None = None, unfinished: bool = False
    ) -> Sequence[BatchState]:
        """Batches, oldest first; filters combine. `unfinished`: those whose owner is not closed, and those that were
        given up after the vendor had them and whose lines did not come."""

    def batch_calls(self, batch: Batch) -> Mapping[str, BatchCall]:
        """The calls of a batch by call hash."""

    def claimed_by(self, owner_id: int) -> Mapping[str, int]:
        """The calls that an owner holds: call hash -> intent id."""

    def abandoned_owners(self) -> Sequence[int]:
        """Owners of batches whose process died before the batch was recorded: nothing of theirs was ever sent."""

    def holders(self, call_hashes: Sequence[str]) -> Mapping[str, int]:
        """Who holds which of the calls: call hash -> owner id."""

    def owners_alive(self, owner_ids: Sequence[int]) -> frozenset[int]:
        """Those of `owner_ids` that may still hold calls."""

    def refusals(self, call_hashes: Sequence[str]) -> Mapping[str, Sequence[Refusal]]:
        """Final outcomes that are no answer, by call hash, oldest first."""

    def wait(self, waiting: Waiting) -> None:
        """Record that a job waits."""

    def end_waiting(self, job_hash: str) -> None:
        """The job is worked on again. `since_ns` stays."""

    def waiting(self, job_hashes: Sequence[str] | None = None) -> Mapping[str, Waiting]:
        """Jobs that wait or waited, by hash; of all jobs where None."""
