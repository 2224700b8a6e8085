"""The ledger's contract and its records: attempts and answers, append-only, and the claims on calls in flight.

One `exchange` is one transaction that settles hundreds of calls: outcomes are written, claims are given back,
new calls are claimed and their intents committed, answers that exist already are returned. Everything is batched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

from llm_jobs.documents.job import Mode
from llm_jobs.ledger.batch_records import BatchLedger
from llm_jobs.values import value

# `succeeded` is the only status that makes an answer, i.e. that is never asked again.
OutcomeStatus = Literal[
    "succeeded",
    "truncated",
    "refused",
    "filtered",
    "empty",
    "invalid",  # not what the declared schema says
    "failed",
    "rate_limited",
    "timed_out",
    "cancelled",
]


# What somebody may change of a job after its submission. None of it is identity.
# `gated`: what its conditions came to; `deferred`: a document that becomes a job later, and what became of it.
ChangedField = Literal["priority", "mode", "approved", "budget", "gated", "deferred"]


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerIdentity:
    """A process that claims calls. Alive while the process with this pid and start time runs on this boot of host."""

    host: str
    boot_id: str
    pid: int
    started: float  # the process's start time, seconds since 1970
    run_id: str | None = None  # the Dagster run it works for


@value
class Facts:
    """What is known of one attempt beside its bodies. None: not stated or not known, never 0."""

    status: OutcomeStatus
    model_answered: str | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    http_status: int | None = None
    error_class: str | None = None
    error: str | None = None  # for a person; secrets already removed


@value
class BudgetCap:
    """A budget that a call counts for, and how far it may be filled today. None: no cap. `key` is the caller's:
    `job:<hash>`, `provider:<kind>:<UTC day>`, `label:<name>=<value>:<UTC month>`."""

    key: str
    max_cost_usd: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetState:
    """What a budget's calls have cost so far, and what those that have no outcome yet may cost at worst."""

    spent_usd: float = 0.0
    spent_tokens: int = 0  # of prompts and completions
    reserved_usd: float = 0.0
    reserved_tokens: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class OverBudget:
    """A call was not granted: with its worst case the budget `key` would pass its cap. `pending`: calls in flight hold
    enough of it that asking again after they have ended may succeed; otherwise only a higher cap helps."""

    key: str
    pending: bool


@value
class Want:
    """A call that is about to be sent. `held`: this owner holds its claim already and asks for the intent of a retry.
    `behind`: the holder's intent that this call was found to wait for (`Exchange.busy`), None on first asking.

    `worst_tokens` (prompt and completion) and `worst_cost_usd`: what this attempt may use at most. `budgets`: all of
    them must have room for that, or it is not granted; a cap refuses a call whose worst case is None.
    """

    call_hash: str
    job_hash: str
    submission_id: int
    provider: str
    model: str  # as asked
    attempt: int = 1
    held: bool = False
    behind: int | None = None
    worst_tokens: int | None = None
    worst_cost_usd: float | None = None
    budgets: tuple[BudgetCap, ...] = ()
    mode: Literal["online", "batch"] = "online"  # how the intent says that it is asked


@value
class Outcome:
    """The end of one attempt. `final`: the claim is given back; otherwise a retry follows under the same claim."""

    intent_id: int
    call_hash: str
    facts: Facts
    final: bool
    request: bytes  # the request body as sent
    answer: bytes | None  # the answer body, secrets removed; None where none was received


@value
class Answer:
    """A recorded answer with its body. `answer` is None after an erasure."""

    call_hash: str
    intent_id: int
    facts: Facts
    answer: bytes | None
    recorded_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """What became of the wants; every want is in exactly one of the five mappings."""

    granted: Mapping[str, int] = field(default_factory=dict)  # call hash -> intent id: claimed, intent committed
    answered: Mapping[str, Answer] = field(default_factory=dict)
    busy: Mapping[str, int] = field(default_factory=dict)  # call hash -> intent id of the live holder
    failed: Mapping[str, Facts] = field(default_factory=dict)  # the holder that was waited for failed finally
    over_budget: Mapping[str, OverBudget] = field(default_factory=dict)  # its claim, if it had one, is given back


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """Who submitted what, when, under which name. `document` is the user's text, `job` the frozen job as JSON."""

    job_hash: str
    name: str
    document_name: str  # the file's name
    document: bytes
    job: bytes
    submitter: str
    origin: str  # inbox | cli | python | schedule
    version: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    id: int | None = None
    submitted_ns: int | None = None
    as_of_ns: int | None = None  # the time that queries and HTTP sources are asked about; None: there is none
    details: Mapping[str, Any] = field(default_factory=dict)  # what came about: its file, pipeline, idempotency key


@dataclass(frozen=True, kw_only=True, slots=True)
class JobChange:
    """What somebody changed of a job: `value` is any JSON value. Of each field the newest is in force."""

    job_hash: str
    field: ChangedField
    value: object
    who: str
    why: str | None = None
    id: int | None = None
    recorded_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRecord:
    """A result file of record: its digest, and whether every row of the job is answered in it."""

    job_hash: str
    path: str  # relative to the store: `<job hash>/<epoch ns>.parquet`
    epoch_ns: int
    sha256: str
    size_bytes: int
    rows: int
    succeeded: int
    failed: int
    facts: Mapping[str, object] = field(
        default_factory=dict
    )  # calls_sent, calls_reused, tokens, cost_usd, seconds, ...
    recorded_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unrecorded:
    """A call whose intent is committed and whose outcome is not: it may have been paid."""

    intent_id: int
    call_hash: str
    job_hash: str
    model: str
    intended_ns: int
    owner_alive: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """One attempt at a call. `facts` and `recorded_ns` None: it is under way, or `is_lost`: whoever made it runs no
    longer, and it may have been paid. `is_answer`: what is reused."""

    intent_id: int
    job_hash: str
    model: str  # as asked
    attempt: int
    intended_ns: int
    recorded_ns: int | None
    facts: Facts | None
    is_answer: bool
    is_lost: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerAudit:
    """What the ledger holds, counted, and what should not be there. `inconsistencies` are sentences for a person."""

    submissions: int
    intents: int
    outcomes: int
    answers: int
    late: int  # answers that came after another one was recorded: kept, paid, not used
    paid_twice: int  # calls with more than one recorded success
    unrecorded: int  # intents without an outcome, those in flight included
    inconsistencies: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend:
    """What a job's own attempts used, reused answers not included. A sum of nothing known is None, never 0."""

    attempts: int = 0
    calls: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    unpriced: int = 0  # attempts that may have cost something, and nobody knows how much


@dataclass(frozen=True, kw_only=True, slots=True)
class PaidCall:
    """What a job's own attempts at a call came to, at `recorded_ns`: its answer (`is_answer`), or at least a cost."""

    call_hash: str
    attempts: int
    mode: Mode
    is_answer: bool
    cost_usd: float | None
    recorded_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageRow:
    """What one submission's own attempts used of one model on one day. Who submitted first pays: answers that others
    reused are not theirs. A sum of nothing known is None, never 0."""

    day: date  # UTC, of the recording
    provider: str
    model: str  # as asked
    job_hash: str
    submission_id: int
    submitter: str
    labels: Mapping[str, str]
    attempts: int  # that were sent
    calls: int  # that were sent, and ended then
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cost_usd: float | None
    unpriced: int  # attempts that may have cost something, and nobody knows how much
    latency_s: float | None  # the sum over `timed` attempts
    timed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A copy of a result was handed over. `destination` holds no credentials."""

    job_hash: str
    result_path: str
    destination: str
    sha256: str | None = None
    rows: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    recorded_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelVersion:
    """What somebody set of a model's catalogue entry. Of each member of `definition` the newest is in force."""

    name: str
    definition: Mapping[str, object]
    who: str
    why: str | None = None
    recorded_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """Something that could not be carried out and is kept. `kind`: document, call, delivery, message, ..."""

    kind: str
    reference: str
    reason: str
    job_hash: str | None = None
    call_hash: str | None = None
    body: bytes | None = None
    recorded_ns: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """A message `about` something of a job that `owner_id` would send: the message's `number`-th time."""

    job_hash: str
    about: str
    number: int
    owner_id: int


class Journal(Protocol):
    """Where the outcomes of one owner are safe from a kill until their commit. Its methods are called by one thread."""

    def keep(self, outcomes: Sequence[Outcome]) -> None:
        """When this returns a kill does not undo them. Raises SetupError where they cannot be written."""

    def begin_commit(self) -> None:
        """What is kept by now is about to be committed."""

    def end_commit(self) -> None:
        """What was kept when the last commit began is committed."""

    def remove(self) -> None:
        """Everything that was kept is committed: the end."""

    def leave(self) -> None:
        """What is kept and not committed is for others to take up: the end."""


class Ledger(BatchLedger, Protocol):
    """The append-only record. Methods block: call them from a thread where an event loop runs, or a few at a time where
    the ledger is local."""

    url: str  # without credentials
    is_local: bool  # in memory or a file: an answer is found in microseconds, as a rule

    def migrate(self) -> None:
        """Bring the schema to this version. Safe when several processes do it at once."""

    def close(self) -> None: ...

    def open_owner(self, identity: OwnerIdentity) -> int:
        """Register a process; returns the owner's id."""

    def open_batch_owner(self, identity: OwnerIdentity) -> int:
        """Register a vendor's batch, submitted by the process `identity`, as the owner of its calls; returns its id.
        It is alive until it is closed, whatever becomes of the process and its machine."""

    def heartbeat(self, owner_id: int) -> None: ...

    def close_owner(self, owner_id: int) -> None:
        """Give back what the owner still claims."""

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        """Settle a batch in one transaction that neither a kill nor a power cut undoes. A dead owner's claims are taken
        over.

        An outcome puts what its attempt cost in the place of what was reserved for it: its cost where that is known,
        nothing where it was not sent or the server refused it, otherwise its worst case. An attempt without outcome
        keeps its reservation.
        """

    def journal(self, owner_id: int) -> Journal | None:
        """A new journal of the owner. None: there is none, and outcomes are safe once they are committed."""

    def budget_state(self, keys: Sequence[str]) -> Mapping[str, BudgetState]:
        """How full each of the budgets `keys` is; one that nothing was counted for is empty."""

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        """The answers that exist among `call_hashes`."""

    def truncated(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        """The newest cut off answer to each of `call_hashes` that was ever cut off. It is not asked again as it is."""

    def unsuccessful(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        """The newest answer to each of `call_hashes` that was truncated, refused, filtered, empty or invalid."""

    def submit(self, submissions: Sequence[Submission]) -> Sequence[int]:
        """Record submissions; returns their ids."""

    def submissions(
        self,
        *,
        job_hash: str | None = None,
        name: str | None = None,
        document_name: str | None = None,
        bodies: bool = True,
    ) -> Sequence[Submission]:
        """Submissions, newest first; filters combine. `bodies` False: `document` and `job` are left empty."""

    def latest_jobs(self, limit: int) -> Sequence[Submission]:
        """The newest submission of each of the latest `limit` jobs, newest first, `document` and `job` left empty."""

    def record_change(self, change: JobChange) -> int:
        """Record what somebody changed of a job; returns the change's id."""

    def changes(self, job_hash: str) -> Sequence[JobChange]:
        """What was changed of a job, oldest first."""

    def changes_since(self, change_id: int) -> Sequence[JobChange]:
        """Changes of all jobs with ids above `change_id`, oldest first. Cheap: for who looks twice a second."""

    def record_result(self, record: ResultRecord) -> None: ...

    def results(self, job_hashes: Sequence[str]) -> Mapping[str, Sequence[ResultRecord]]:
        """Result records by job, newest first."""

    def unfinished(self) -> Sequence[str]:
        """Jobs that were submitted and have no result in which every row succeeded, oldest submission first."""

    def unrecorded(self, job_hash: str | None = None) -> Iterator[Unrecorded]:
        """Calls that may have been paid and have no outcome."""

    def attempts(self, call_hash: str) -> Sequence[tuple[int, Facts, bytes, bytes | None]]:
        """Every recorded attempt at a call, oldest first: intent id, facts, request body, answer body."""

    def traces(self, call_hash: str, *, job_hash: str | None = None) -> Sequence[Trace]:
        """Every attempt at a call that was recorded or holds the call, oldest first, without bodies; and those that
        `job_hash` made and that were lost."""

    def live_runs(self, host: str) -> Sequence[str]:
        """Dagster run ids of the owners that are alive."""

    def record_model_version(self, version: ModelVersion) -> None: ...

    def model_versions(self) -> Sequence[ModelVersion]:
        """Every version of every model, oldest first."""

    def newest_model_version(self) -> int:
        """A number that grows with each version that is recorded, 0 before the first. Cheap: asked twice a second."""

    def record_receipt(self, receipt: Receipt) -> None: ...

    def receipts(self, job_hash: str) -> Sequence[Receipt]:
        """Deliveries of a job's results, oldest first."""

    def receipts_of(self, job_hashes: Sequence[str]) -> Mapping[str, Sequence[Receipt]]:
        """The same of several jobs; one without is not among them."""

    def told(self, job_hash: str) -> Mapping[str, int]:
        """By message about a job, how often it was told."""

    def tell(self, notice: Notice) -> bool:
        """Take note that a message is sent now. False where it is not to be sent: it was told that often, or another
        owner, which is alive, told it last."""

    def record_dead_letter(self, letter: DeadLetter) -> None: ...

    def dead_letters(self) -> Sequence[DeadLetter]:
        """Every dead letter, oldest first."""

    def erase(self, *, call_hashes: Sequence[str] = (), job_hashes: Sequence[str] = (), who: str, why: str) -> int:
        """Delete the bodies of calls, and the documents of jobs, and record who asked for it and why.

        Facts, costs and hashes stay, and an erased answer still counts as an answer. Returns the bodies deleted.
        """

    def audit(self) -> LedgerAudit:
        """Count everything and look for what contradicts itself. Reads the whole ledger."""

    def late(self, job_hash: str) -> int:
        """Answers that this job bought of calls that had one already: each was paid twice."""

    def spend(self, job_hashes: Sequence[str]) -> Mapping[str, Spend]:
        """What each job's attempts used, by job; jobs that sent nothing are left out."""

    def paid(self, job_hash: str) -> Iterator[PaidCall]:
        """What this job's attempts bought, oldest first: answers, those too that are no success or came late."""

    def usage(self, *, since_ns: int | None = None, until_ns: int | None = None) -> Sequence[UsageRow]:
        """What was used by day, model and submission, oldest day first, of what was recorded from `since_ns` until
        before `until_ns`. Sums by job, label or submitter are sums of these rows."""
