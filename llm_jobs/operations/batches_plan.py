"""What a job that is asked in batches needs now: every row as far as the ledger has answers, and what to do next.

Reads and decides; nothing is claimed or asked here. A call is asked in a batch until it is answered; an answer that is
no success, or a request that the vendor refused, ends its row, as it would online; what failed otherwise (expired, a
server's error) is asked again in the next batch, and after `MOST_ROUNDS` of them online, where each call is retried by
itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from llm_jobs.documents.job import Job, Mode
from llm_jobs.engine.calls import Call
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.engine.stream import OpenRow
from llm_jobs.errors import CallError, PermanentError, RowError
from llm_jobs.ledger.base import Answer, Submission
from llm_jobs.ledger.batch_records import Refusal
from llm_jobs.operations.services import Services
from llm_jobs.sources.tables import Table

LOOKED_UP_AT_ONCE = 512
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
    """A call that has no answer. `refusal`: the outcome that ended its row."""

    call: Call
    row: int  # its place in the table, from 0
    decision: Decision
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """A job's table and steps, and how each step is asked. `since_ns`: failures before that do not count: the job ended
    with them, or was submitted again after them."""

    job: Job
    table: Table
    steps: Sequence[PreparedStep]
    modes: Mapping[str, Mode]
    since_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """A call that a row comes by on its way through the steps."""

    row: int
    step: PreparedStep
    call: Call
    answer: Answer | None


def modes_of(services: Services, job: Job) -> dict[str, Mode]:
    """How each step is asked: as the job says, or as it was moved since."""
    moved = [change.value for change in services.ledger.changes(job.hash) if change.field == "mode"]
    if moved and moved[-1] in ("online", "batch"):
        mode: Mode = "batch" if moved[-1] == "batch" else "online"
        return {step.name: mode for step in job.steps}
    return {step.name: job.policy.mode_of(step.name) for step in job.steps}


def counts_since(services: Services, submission: Submission) -> int:
    """The time from which failures of a job count: its newest submission or its last end, whichever is later."""
    results = services.ledger.results([submission.job_hash]).get(submission.job_hash, ())
    ended = [result.recorded_ns or 0 for result in results[:1]]
    ended += [
        letter.recorded_ns or 0
        for letter in services.ledger.dead_letters()
        if letter.kind == "job" and letter.job_hash == submission.job_hash
    ]
    return max([submission.submitted_ns or 0, *ended])


def needed(services: Services, prepared: Prepared) -> Iterator[list[Need]]:
    """Every call that is not answered, in the order of rows, some hundreds at a time."""
    for passed in calls_passed(services, prepared.table, prepared.steps, samples=prepared.job.sample):
        open_calls = [each for each in passed if each.answer is None]
        refusals = services.ledger.refusals([each.call.call_hash for each in open_calls]) if open_calls else {}
        if open_calls:
            yield [_need(each, refusals.get(each.call.call_hash, ()), prepared) for each in open_calls]


def calls_passed(
    services: Services, table: Table, steps: Sequence[PreparedStep], *, samples: int, from_row: int = 0
) -> Iterator[list[Passed]]:
    """Every call of every row, as far as the ledger's answers take it, some hundreds of rows at a time."""
    rows = islice(enumerate(chain.from_iterable(table.batches(batch_rows=LOOKED_UP_AT_ONCE))), from_row, None)
    opened = ((number, OpenRow(values=dict(row), sample=each)) for number, row in rows for each in range(samples))
    while waiting := list(islice(opened, LOOKED_UP_AT_ONCE)):
        found: list[Passed] = []
        for step in steps:
            passed = _step_passed(services, step, waiting)
            found += [each for _, each in passed]
            waiting = [(each.row, row) for row, each in passed if _takes(row, each)]
        yield found


def _step_passed(
    services: Services, step: PreparedStep, rows: Sequence[tuple[int, OpenRow]]
) -> list[tuple[OpenRow, Passed]]:
    calls = [(number, row, call) for number, row in rows if (call := _call(step, row)) is not None]
    answers = services.ledger.look_up(list(dict.fromkeys(call.call_hash for _, _, call in calls)))
    return [
        (row, Passed(row=number, step=step, call=call, answer=answers.get(call.call_hash)))
        for number, row, call in calls
    ]


def _call(step: PreparedStep, row: OpenRow) -> Call | None:
    try:
        return step.call(row.values, row.sample)
    except RowError:
        return None  # a failed row, which the run that makes the result reports


def _takes(row: OpenRow, passed: Passed) -> bool:
    """Whether the row goes on to the next step, with the answer as its columns."""
    if passed.answer is None or passed.answer.answer is None:
        return False
    try:
        reply = passed.call.provider.read(passed.call.request, passed.answer.answer)
        row.values.update(passed.step.outputs.values(reply.output))
    except (CallError, ValueError):
        return False
    return True


def _need(passed: Passed, refusals: Sequence[Refusal], prepared: Prepared) -> Need:
    # The same question again would be truncated again, whoever asked it and when.
    counted = [each for each in refusals if each.recorded_ns > prepared.since_ns or each.facts.status == "truncated"]
    online = prepared.modes[passed.step.step.name] == "online"
    ended = next((each for each in reversed(counted) if online or is_final(each)), None)
    rounds = sum(each.facts.error_class != NOT_SUBMITTED for each in counted)
    decision: Decision = "ended" if ended else "online" if online or rounds >= MOST_ROUNDS else "batch"
    return Need(call=passed.call, row=passed.row, decision=decision, refusal=ended)


def is_final(refusal: Refusal) -> bool:
    """Whether asking the same again in another batch would come to the same, or cost the same for nothing."""
    facts = refusal.facts
    if facts.status in ("truncated", "refused", "filtered", "empty", "invalid"):
        return True
    return facts.status == "failed" and facts.error_class == PermanentError.__name__
