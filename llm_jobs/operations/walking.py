"""Rows taken through a job's steps as far as the ledger has answers: what `plan` and `why` look at. Asks nothing.

Every call is made as a run would make it and looked up, some hundreds at a time. Streams: one batch of rows is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from llm_jobs.documents.job import JsonValue
from llm_jobs.engine.calls import Call
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import CallError, RowError
from llm_jobs.ledger.base import Answer, Ledger

AT_ONCE = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Visit:
    """One call that a row needs. `answer` None: it is not in the ledger."""

    step: int
    call: Call
    answer: Answer | None


@dataclass(kw_only=True, slots=True, eq=False)
class WalkedRow:
    """A row, `number` from 0, on its way. `problem`: why it cannot be asked, or why it ended at an answer."""

    number: int
    sample: int
    row: Mapping[str, JsonValue]  # as the table has it
    values: dict[str, JsonValue]  # with the outputs so far
    visits: list[Visit] = field(default_factory=list)
    problem: str | None = None

    @property
    def is_unanswered(self) -> bool:
        """Does it wait for a call that would be asked?"""
        return bool(self.visits) and self.visits[-1].answer is None


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
    calls = [(row, call) for row in rows if (call := _call(step, row)) is not None]
    answers = ledger.look_up(list(dict.fromkeys(call.call_hash for _, call in calls)))
    for row, call in calls:
        row.visits.append(Visit(step=index, call=call, answer=answers.get(call.call_hash)))
    return [row for row, call in calls if _goes_on(step, row, call, answers.get(call.call_hash))]


def _call(step: PreparedStep, row: WalkedRow) -> Call | None:
    try:
        return step.call(row.values, row.sample)
    except RowError as error:
        row.problem = str(error)
        return None


def _goes_on(step: PreparedStep, row: WalkedRow, call: Call, answer: Answer | None) -> bool:
    if answer is None:
        return False
    if answer.answer is None:
        row.problem = "the answer was erased"
        return False
    try:
        row.values.update(step.outputs.values(call.provider.read(call.request, answer.answer).output))
    except (CallError, ValueError) as error:
        row.problem = f"the answer that is known does not fit: {error}"
        return False
    return True
