"""Rows taken through a job's steps as far as the ledger has answers: what `plan` and `why` look at. Asks nothing.

Every call is made as a run would make it and looked up, some hundreds at a time; what follows an answer that is no
success is followed too. Streams: one batch of rows is held.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import INPUT_ERROR
from llm_jobs.engine.calls import Call, Settled
from llm_jobs.engine.following import Asked, FollowedStep
from llm_jobs.engine.judging import judge
from llm_jobs.engine.recency import is_renewed, may_read
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import CallError, RowError
from llm_jobs.ledger.base import Answer, Ledger
from llm_jobs.providers.base import Reply

AT_ONCE = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One call that a row needs. `answer` None: it is not in the ledger, and would be asked."""

    step: int
    call: Call
    answer: Answer | None
    reason: str | None = None  # why this model, where several may answer


@dataclass(kw_only=True, slots=True, eq=False)
class WalkedRow:
    """A row, `number` from 0, on its way. `problem`: why it cannot be asked, or why it ends without being asked."""

    number: int
    sample: int
    row: Mapping[str, JsonValue]  # as the table has it
    values: dict[str, JsonValue]  # with the outputs so far
    visits: list[Visit] = field(default_factory=list)
    problem: str | None = None
    unreached: tuple[int, ...] | None = None  # steps that wait for its answers; None: all after the last that it is in

    waits_for_task: bool = False  # for one whose answers are kept, and which is not among the visits

    @property
    def is_answered(self) -> bool:
        """Is it answered in all of its steps?"""
        return bool(self.visits) and self.problem is None and not self.is_unanswered

    @property
    def is_unanswered(self) -> bool:
        """Does it wait for a call that would be asked?"""
        visits = self.visits[-1:] if self.unreached is None else self.visits  # in a graph several may wait at once
        return self.waits_for_task or any(visit.answer is None for visit in visits)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Open:
    """A row in one step: the calls any answer of which will do, the first of which would be asked."""

    row: WalkedRow
    options: Sequence[tuple[Call, Asked | None]]


def walk(
    ledger: Ledger, steps: Sequence[PreparedStep], rows: Iterable[tuple[int, Mapping[str, JsonValue]]], *, samples: int
) -> Iterator[WalkedRow]:
    """Every row and sample, in order."""
    opened = (
        WalkedRow(number=number, sample=sample, row=row, values=dict(row))
        for number, row in rows
        for sample in range(samples)
    )
    while batch := list(islice(opened, AT_ONCE)):
        waiting = batch
        for index, step in enumerate(steps):
            waiting = _step_taken(ledger, index, step, waiting)
        yield from batch


def _step_taken(ledger: Ledger, index: int, step: PreparedStep, rows: Sequence[WalkedRow]) -> list[WalkedRow]:
    """The rows that have an answer of this step."""
    taken: list[WalkedRow] = []
    opened = [each for row in rows if (each := _opened(step, row)) is not None]
    while opened:
        opened, answers = _readable(ledger, opened)
        before = _said_before(ledger, step, opened, answers)
        following = []
        for each in opened:
            call, asked = _chosen(each, answers)
            answer = answers.get(call.call_hash) or before.get(call.call_hash)
            each.row.visits.append(Visit(step=index, call=call, answer=answer, reason=asked.reason if asked else None))
            if answer is None:
                continue
            if (settled := _settled(each.row, step, call, answer)) is None:
                taken.append(each.row)
            elif (after := _follow_up(step, each.row, asked, settled)) is not None:
                following.append(_Open(row=each.row, options=[(after.call, after)]))
            elif call.call_hash in before:
                each.row.problem = None
                each.row.visits[-1] = replace(each.row.visits[-1], answer=None)
        opened = following
    return taken


def _look_up(ledger: Ledger, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
    """What is never sent again: answers, and questions whose answers were cut off."""
    distinct = list(dict.fromkeys(call_hashes))
    answers = ledger.look_up(distinct)
    missing = [call_hash for call_hash in distinct if call_hash not in answers]
    return {**ledger.truncated(missing), **answers} if missing else answers


def _readable(ledger: Ledger, opened: list[_Open]) -> tuple[list[_Open], Mapping[str, Answer]]:
    """The rows with the calls as which their questions stand now, and the answers to these."""
    answers = dict(_look_up(ledger, _hashes(opened)))
    while old := {call.call_hash for call in _calls(opened) if is_renewed(call, answers.get(call.call_hash))}:
        opened = [replace(each, options=[_renewed(*option, old) for option in each.options]) for each in opened]
        answers |= _look_up(ledger, [call_hash for call_hash in _hashes(opened) if call_hash not in answers])
    return opened, answers


def _renewed(call: Call, asked: Asked | None, old: Collection[str]) -> tuple[Call, Asked | None]:
    if call.call_hash not in old:
        return call, asked
    call = call.anew()
    return call, asked and replace(asked, call=call)


def _calls(opened: Iterable[_Open]) -> Iterator[Call]:
    return (call for each in opened for call, _ in each.options)


def _hashes(opened: Iterable[_Open]) -> list[str]:
    return [call.call_hash for call in _calls(opened)]


def _said_before(
    ledger: Ledger, step: PreparedStep, opened: Sequence[_Open], answers: Mapping[str, Answer]
) -> Mapping[str, Answer]:
    """What is sent again unless another call follows it: answers that are no success, of a step that has rules."""
    calls = {call.call_hash: call for call in _calls(opened) if call.call_hash not in answers}
    if not calls or not isinstance(step, FollowedStep) or not step.has_rules:
        return {}
    found = ledger.unsuccessful(list(calls))
    return {call_hash: answer for call_hash, answer in found.items() if may_read(calls[call_hash], answer)}


def _opened(step: PreparedStep, row: WalkedRow) -> _Open | None:
    if (unread := row.values.get(INPUT_ERROR)) is not None:
        row.problem = str(unread)
        return None
    try:
        if not isinstance(step, FollowedStep):
            return _Open(row=row, options=[(step.call(row.values, row.sample), None)])
        options = [(asked.call, asked) for asked in step.candidates(row.values, row.sample)]
    except RowError as error:
        row.problem = str(error)
        return None
    return _Open(row=row, options=options)


def _chosen(opened: _Open, answers: Mapping[str, Answer]) -> tuple[Call, Asked | None]:
    for call, asked in opened.options:
        answer = answers.get(call.call_hash)
        if answer is not None and answer.facts.status == "succeeded":
            return call, asked
    return opened.options[0]


def _settled(row: WalkedRow, step: PreparedStep, call: Call, answer: Answer) -> Settled | None:
    """None where the answer is one, whose outputs the row takes; else how a run would settle the call."""
    if answer.answer is None:
        row.problem = "the answer was erased"
        return _end(call, answer, "failed", row.problem, None)
    try:
        reply = call.provider.read(call.request, answer.answer)
    except CallError as error:
        row.problem = str(error)
        return _end(call, answer, "failed", row.problem, None)
    status, error_text = judge(call, reply)
    if status == "succeeded":
        row.values.update(step.outputs.values(reply.output))
        return None
    row.problem = error_text
    return _end(call, answer, status, error_text, reply)


def _end(call: Call, answer: Answer, status: str, error: str | None, reply: Reply | None) -> Settled:
    return Settled(
        call_hash=call.call_hash,
        facts=replace(answer.facts, status=status, error=error),  # type: ignore[arg-type]
        reply=reply,
        reused=True,
        attempts=0,
        answered_ns=answer.recorded_ns,
    )


def _follow_up(step: PreparedStep, row: WalkedRow, asked: Asked | None, settled: Settled) -> Asked | None:
    if asked is None or not isinstance(step, FollowedStep):
        return None
    try:
        after = step.follow_up(asked, settled)
    except RowError:
        return None
    if after is None or after.call.call_hash in {visit.call.call_hash for visit in row.visits}:
        return None
    row.problem = None
    return after
