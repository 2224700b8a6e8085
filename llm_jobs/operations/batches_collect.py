"""Collecting: the lines of a batch that ended become outcomes, each by its custom id, whatever their order.

Idempotent: a second line, a second collection or a second collector changes nothing; an answer that comes after the
call was answered otherwise is kept as late. What is nobody's is a dead letter. The requests are rendered again from the
job, beginning at the batch's first row, for the ledger keeps a request with its outcome.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.engine.calls import Call
from llm_jobs.engine.gates import ModelGate
from llm_jobs.engine.judging import facts_of_failure, facts_of_reply
from llm_jobs.errors import CallError, LlmJobsError, TransientError
from llm_jobs.events import BatchChanged, Listener
from llm_jobs.ledger.base import DeadLetter, Facts, Outcome
from llm_jobs.ledger.batch_records import Batch, BatchCall, BatchState
from llm_jobs.operations.batches_close import REST, free, record, tell, unsent
from llm_jobs.operations.batches_plan import LOST_LINE, NOT_SUBMITTED, UNSENT, walked_rows
from llm_jobs.operations.batches_targets import price_factor, target_from_json
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.tables import job_table
from llm_jobs.providers.base import Request
from llm_jobs.providers.batches import Line, Progress

LOG = logging.getLogger(__name__)
DEAD_LETTER = "batch line"
INCOMPLETE = "incomplete"  # status of a polled event: fewer answers came than the vendor says there are
MOST_INCOMPLETE = 5  # such collections, before what is said to be there is given up


@dataclass(kw_only=True, slots=True)
class SortedLines:
    """The lines of a batch: the one that counts of each of its calls, and what is left over."""

    calls: Mapping[str, BatchCall]
    ours: dict[str, Line] = field(default_factory=dict)
    foreign: list[Line] = field(default_factory=list)
    taken: int = 0
    repeated: int = 0

    @property
    def answered(self) -> int:
        return sum(line.status == "answered" for line in self.ours.values())

    def take(self, line: Line) -> None:
        self.taken += 1
        if line.custom_id is None or line.custom_id not in self.calls:
            self.foreign.append(line)
            return
        kept = self.ours.get(line.custom_id)
        self.repeated += kept is not None
        # The first counts, but an answer counts more than a failure.
        if kept is None or (kept.status != "answered" and line.status == "answered"):
            self.ours[line.custom_id] = replace(line, text=b"")


def collect(services: Services, state: BatchState, progress: Progress, found: SortedLines, *, emit: Listener) -> bool:
    """Record what the lines say of the batch's calls. False: fewer answers came than the vendor says there are; what
    came is recorded, and the rest is asked for at the next poll. Blocks."""
    _record_lines(services, state.batch, found.calls, found.ours, emit)
    missing = progress.answered - found.answered
    if missing > 0 and _times_incomplete(state) < MOST_INCOMPLETE:
        details = {"answered": found.answered, "said": progress.answered}
        tell(services, state.batch, "polled", emit=emit, vendor_id=state.vendor_id, status=INCOMPLETE, details=details)
        return False
    _keep_foreign(services, state, found.foreign)
    counts = {"lines": found.taken, "repeated": found.repeated, "foreign": len(found.foreign), "lost": max(0, missing)}
    _close(services, state, progress, counts, emit=emit)
    return True


def collect_refusal(services: Services, state: BatchState, progress: Progress, *, emit: Listener) -> None:
    """Record that the vendor carried out nothing: the calls whose lines it named have failed, the others were not
    asked. Blocks."""
    calls = services.ledger.batch_calls(state.batch)
    in_order = sorted(calls, key=lambda call_hash: calls[call_hash].intent_id)
    named = {in_order[line - 1]: line for line in progress.bad_lines if 0 < line <= len(in_order)}
    outcomes = [
        Outcome(
            intent_id=calls[call_hash].intent_id,
            call_hash=call_hash,
            facts=_refused(line, progress.bad_lines[line]),
            final=True,
            request=b"",
            answer=None,
        )
        for call_hash, line in named.items()
        if not calls[call_hash].recorded
    ]
    record(services, state.batch, outcomes)
    _close(services, state, progress, {"lines": 0}, emit=emit)


def _close(
    services: Services, state: BatchState, progress: Progress, counts: Mapping[str, int], *, emit: Listener
) -> None:
    """Record the end of the batch, and what becomes of the calls of which it says nothing."""
    rest = _rest(progress, lost=counts.get("lost", 0) > 0)
    details = {"counts": dict(counts), REST: [rest.status, rest.error_class, rest.error]}
    vendor_id, batch = state.vendor_id, state.batch
    tell(services, batch, "collected", emit=emit, vendor_id=vendor_id, status=progress.status, details=details)
    free(services, batch, rest)
    emit(BatchChanged(batch.job_hash, batch.model, vendor_id, "closed", batch.calls))


def _rest(progress: Progress, *, lost: bool) -> Facts:
    if progress.refusal is not None:
        return unsent(NOT_SUBMITTED, f"the vendor refused the batch: {progress.reason}")
    if lost:
        error = f"the batch ({progress.status}) says that it has more answers than came; this call may have been paid"
        return Facts(status="failed", error_class=LOST_LINE, error=error)
    return unsent(UNSENT, f"the batch ended ({progress.status}) without carrying out this call")


def _refused(line: int, reason: str) -> Facts:
    return Facts(status="failed", error_class="PermanentError", http_status=400, error=f"line {line}: {reason}")


def _times_incomplete(state: BatchState) -> int:
    return sum(event.kind == "polled" and event.status == INCOMPLETE for event in state.events)


def _record_lines(
    services: Services,
    batch: Batch,
    calls: Mapping[str, BatchCall],
    lines: Mapping[str, Line],
    emit: Listener,
) -> None:
    left = {call_hash for call_hash in lines if not calls[call_hash].recorded}
    for portion in _portions(services, batch, left):
        outcomes = [_outcome(services, call, lines[call.call_hash], calls[call.call_hash]) for call in portion]
        record(services, batch, outcomes)
        emit(BatchChanged(batch.job_hash, batch.model, None, "recorded lines", len(outcomes)))


def _portions(services: Services, batch: Batch, left: set[str]) -> Iterator[list[Call]]:
    """The calls of `left`, some hundreds at a time, taken out of it."""
    if left:
        try:
            for portion in _rendered(services, batch):
                some = {call.call_hash: call for call in portion if call.call_hash in left}
                left -= some.keys()
                if some:
                    yield list(some.values())
                if not left:
                    return
        except LlmJobsError as error:  # the input is gone, for example; what was paid is kept all the same
            LOG.warning("the requests of batch %s cannot be rendered again: %s", batch.id, error)
    if left:
        yield [_bare_call(services, batch, call_hash) for call_hash in left]


def _rendered(services: Services, batch: Batch) -> Iterator[list[Call]]:
    submission = services.ledger.submissions(job_hash=batch.job_hash)[0]
    job = job_from_json(submission.job)
    table = job_table(services, submission, job, epoch_ns=services.clock.now_ns())
    steps = prepared_steps(services, job)
    first_row = batch.details["first_row"]
    for rows in walked_rows(services, table, job, steps, from_row=first_row):
        yield [visit.call for row in rows for visit in row.visits]


def _bare_call(services: Services, batch: Batch, call_hash: str) -> Call:
    """A call that the job asks no more, without its request."""
    target = target_from_json(batch.details["target"])
    return Call(
        call_hash=call_hash,
        request=Request(endpoint=target.endpoint, model=target.model, body={}),
        provider=services.open_provider(target.model.provider),
        gate=ModelGate(),
        price=lambda usage: None,
    )


def _outcome(services: Services, call: Call, line: Line, known: BatchCall) -> Outcome:
    return Outcome(
        intent_id=known.intent_id,
        call_hash=call.call_hash,
        facts=_facts(services, call, line),
        final=True,
        request=orjson.dumps(call.request.body),
        answer=line.raw,
    )


def _facts(services: Services, call: Call, line: Line) -> Facts:
    error = line.error or TransientError("the batch says that this call failed, and not why")
    if line.status == "unsent":
        return unsent(UNSENT, str(error))
    if line.status == "failed" or line.raw is None:
        return replace(facts_of_failure(error, 0.0), latency_s=None)
    try:
        reply = call.provider.read(call.request, line.raw)
    except CallError as unreadable:
        return replace(facts_of_failure(unreadable, 0.0), latency_s=None)
    model = call.request.model
    online_usd = services.pricing.cost_usd(model, reply.usage)
    cost_usd = None if online_usd is None else online_usd * price_factor(services, model)
    return replace(facts_of_reply(call, reply, 0.0), latency_s=None, cost_usd=cost_usd)


def _keep_foreign(services: Services, state: BatchState, lines: Sequence[Line]) -> None:
    """Lines that belong to no call of the batch, each kept once."""
    if not lines:
        return
    reference = f"batch {state.id} ({state.vendor_id})"
    kept = {letter.body for letter in services.ledger.dead_letters() if letter.reference == reference}
    for line in lines:
        if line.text not in kept:
            kept.add(line.text)
            reason = "the line cannot be read" if line.custom_id is None else "the batch has no call of that custom_id"
            letter = DeadLetter(
                kind=DEAD_LETTER,
                reference=reference,
                reason=reason,
                job_hash=state.batch.job_hash,
                call_hash=line.custom_id,
                body=line.text,
            )
            services.ledger.record_dead_letter(letter)
