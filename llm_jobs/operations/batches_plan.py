"""What a job that is asked in batches needs now: every row as far as the ledger has answers, and what to do next.

Reads and decides; nothing is claimed or asked here. A call is asked in a batch until it is answered. An answer that is
no success, or a request that the vendor refused, is the end of that call, as it would be online; what follows it, if
the job says so, is asked in the next batch. What failed otherwise (expired, a server's error) is asked again in the
next batch, and after `MOST_ROUNDS` of them online, where each call is retried by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Literal, cast

from llm_jobs.documents.job import NO_SUCCESS, Job, Mode
from llm_jobs.engine.calls import Call
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import PermanentError
from llm_jobs.ledger.base import Answer, Ledger
from llm_jobs.ledger.batch_records import Refusal
from llm_jobs.operations.services import Services
from llm_jobs.operations.walking import WalkedRow, walk
from llm_jobs.sources.tables import Table

ROWS_AT_ONCE = 512
MOST_ROUNDS = 3

# Classes of outcomes that a batch records beside those of calls.
UNSENT = "BatchUnsent"  # expired or cancelled at the vendor, or without a line: not charged
REFUSED = "BatchRefused"  # the vendor refused the whole file
NOT_SUBMITTED = "BatchNotSubmitted"  # the batch never came to be, or not for this call's sake
LOST_LINE = "BatchLostLine"  # said to be answered, but its line never came: may have been paid

# What is asked of a call that is not answered: in a batch; online; or nothing, for its row has ended.
Decision = Literal["batch", "online", "ended"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A call that has no answer. `refusal`: the outcome that is its end."""

    call: Call
    row: int  # its place in the table, from 0
    step: int
    decision: Decision
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Portion:
    """What some hundreds of rows need. `said`: calls whose answers are no success, which a run takes as they are.
    `unaskable`: why the first row cannot be asked of those that cannot."""

    needs: Sequence[Need]
    said: frozenset[str]
    unaskable: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A job's table and steps, and how each step is asked. `since_ns`: failures before that do not count: the job ended
    with them, or was submitted after them."""

    job: Job
    table: Table
    steps: Sequence[PreparedStep]
    modes: Mapping[str, Mode]
    since_ns: int


@dataclass(frozen=True, slots=True)
class Said:
    """A ledger that also tells answers which are no success: all that count, or `only` those. Of the methods that it
    does not restate it is the ledger itself."""

    ledger: Ledger
    since_ns: int = 0
    only: set[str] | None = field(default=None)

    def truncated(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        """What `Ledger.truncated` tells, and the newest answer of each other status that is no success."""
        found = dict(self.ledger.truncated(call_hashes))
        asked = [each for each in call_hashes if each not in found and (self.only is None or each in self.only)]
        for call_hash, refusals in self.ledger.refusals(asked).items() if asked else ():
            counted = [each for each in refusals if each.recorded_ns > self.since_ns and _says_something(each)]
            if counted:
                found[call_hash] = _answer(call_hash, counted[-1])
        return found

    def __getattr__(self, name: str) -> object:
        return getattr(self.ledger, name)


def _says_something(refusal: Refusal) -> bool:
    return refusal.facts.status in NO_SUCCESS and refusal.answer is not None


def _answer(call_hash: str, refusal: Refusal) -> Answer:
    return Answer(
        call_hash=call_hash,
        intent_id=refusal.intent_id,
        facts=refusal.facts,
        answer=refusal.answer,
        recorded_ns=refusal.recorded_ns,
    )


def modes_of(services: Services, job: Job) -> dict[str, Mode]:
    """How each step is asked: as the job says, or as it was moved since it was asked for."""
    moved = [change for change in services.ledger.changes(job.hash) if change.field == "mode"]
    if moved and (moved[-1].recorded_ns or 0) > asked_since(services, job.hash):
        mode: Mode = "batch" if moved[-1].value == "batch" else "online"
        return {step.name: mode for step in job.steps}
    return {step.name: job.policy.mode_of(step.name) for step in job.steps}


def asked_since(services: Services, job_hash: str) -> int:
    """Since when the job is under way: it was submitted then, and has not ended since. Submitting it again while it
    waits asks for nothing new. A job that has ended and was not submitted since: the time of its end."""
    results = services.ledger.results([job_hash]).get(job_hash, ())
    ended = [result.recorded_ns or 0 for result in results[:1]]
    ended += [
        letter.recorded_ns or 0
        for letter in services.ledger.dead_letters()
        if letter.kind == "job" and letter.job_hash == job_hash
    ]
    ended_ns = max(ended, default=0)
    submitted = (each.submitted_ns or 0 for each in services.ledger.submissions(job_hash=job_hash, bodies=False))
    return min((since_ns for since_ns in submitted if since_ns > ended_ns), default=ended_ns)


def needed(services: Services, prepared: Prepared) -> Iterator[Portion]:
    """Every call that is not answered, in the order of rows, some hundreds of rows at a time."""
    for rows in walked_rows(services, prepared.table, prepared.job, prepared.steps, since_ns=prepared.since_ns):
        open_rows = [row for row in rows if row.is_unanswered]
        hashes = [row.visits[-1].call.call_hash for row in open_rows]
        refusals = services.ledger.refusals(hashes) if hashes else {}
        yield Portion(
            needs=[_need(row, refusals.get(row.visits[-1].call.call_hash, ()), prepared) for row in open_rows],
            said=frozenset(_said(rows)),
            unaskable=next((row.problem for row in rows if row.problem is not None and not row.visits), None),
        )


def walked_rows(
    services: Services, table: Table, job: Job, steps: Sequence[PreparedStep], *, since_ns: int = 0, from_row: int = 0
) -> Iterator[list[WalkedRow]]:
    """The rows with every call on their way, as far as the ledger takes them, some hundreds at a time."""
    ledger = cast("Ledger", Said(services.ledger, since_ns=since_ns))
    rows = islice(enumerate(chain.from_iterable(table.batches(batch_rows=ROWS_AT_ONCE))), from_row, None)
    walked = walk(ledger, steps, rows, samples=job.sample)
    while some := list(islice(walked, ROWS_AT_ONCE)):
        yield some


def _said(rows: Sequence[WalkedRow]) -> Iterator[str]:
    for row in rows:
        for visit in row.visits:
            if visit.answer is not None and visit.answer.facts.status in NO_SUCCESS:
                yield visit.call.call_hash


def _need(row: WalkedRow, refusals: Sequence[Refusal], prepared: Prepared) -> Need:
    visit = row.visits[-1]
    counted = [each for each in refusals if each.recorded_ns > prepared.since_ns]
    online = prepared.modes[prepared.steps[visit.step].step.name] == "online"
    ended = next((each for each in reversed(counted) if online or is_final(each)), None)
    rounds = sum(each.facts.error_class != NOT_SUBMITTED for each in counted)
    decision: Decision = "ended" if ended else "online" if online or rounds >= MOST_ROUNDS else "batch"
    return Need(call=visit.call, row=row.number, step=visit.step, decision=decision, refusal=ended)


def is_final(refusal: Refusal) -> bool:
    """Whether asking the same again would surely come to the same."""
    facts = refusal.facts
    return facts.status in NO_SUCCESS or (facts.status == "failed" and facts.error_class == PermanentError.__name__)
