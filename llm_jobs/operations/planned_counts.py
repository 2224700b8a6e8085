"""Counts what a walk over a job's rows came to: rows by what they need, calls by whether they are asked and why.

A call that two rows share is asked once; the second is reused. Some 60 bytes of memory per call that would be asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Step
from llm_jobs.engine.calls import Call
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import RowError
from llm_jobs.operations.counterparts import Counterparts
from llm_jobs.operations.forecasts import Asked, Learned
from llm_jobs.operations.walking import Visit, WalkedRow
from llm_jobs.providers.tokens import output_limit

# Why a call would be asked. first: there is no job to compare with; fields: the row is the same and the question is
# not; rows: the row is new or edited; samples: more answers are asked for; again: nothing changed, it has no answer.
Cause = Literal["first", "fields", "rows", "samples", "again"]
WorstCase = Callable[[Call, int], float | None]  # of a call and its request's bytes, USD

_PLACEHOLDER = "x" * 200


@dataclass(frozen=True, kw_only=True, slots=True)
class RowCounts:
    """Rows of the result by what they need. `gone`: rows of the table before that this one lacks; None: unknown."""

    total: int = 0
    reused: int = 0  # every call is answered
    new: int = 0
    changed: int = 0  # the row, or what is asked about it, was another before
    again: int = 0  # asked in the same words before, and not answered
    unaskable: int = 0  # no call can be made of them
    gone: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallCounts:
    """`new` and `reused` are exact; `unknown` calls depend on answers that are not there yet."""

    total: int = 0
    new: int = 0
    reused: int = 0
    unknown: int = 0


@dataclass(kw_only=True, slots=True)
class StepCounts:
    """The calls of one step to one model."""

    step: int
    model: ModelRef
    new: int = 0
    reused: int = 0
    unknown: int = 0
    request_bytes: int = 0  # of the new calls, and of the unknown ones once they are estimated
    output_limit: int | None = None  # the largest that a request states
    unlimited: bool = False  # a request states none
    worst_cost_usd: float | None = 0.0
    saved_usd: float = 0.0
    unpriced: int = 0  # reused answers whose cost is not known
    causes: dict[Cause, int] = field(default_factory=dict)
    learned: Learned = field(default_factory=Learned)

    @property
    def asked(self) -> Asked:
        limit = None if self.unlimited else self.output_limit
        return Asked(calls=self.new + self.unknown, request_bytes=self.request_bytes, output_limit=limit)


class Counted:
    """Counts of one job."""

    def __init__(self, steps: Sequence[Step], *, same_questions: bool, worst_case: WorstCase) -> None:
        """`same_questions`: what prompts ask has not changed since the job that rows are compared with."""
        self._steps = steps
        self._parts: dict[tuple[int, str], StepCounts] = {}
        self._same_questions = same_questions
        self._worst_case = worst_case
        self._rows = dict.fromkeys(("total", "reused", "new", "changed", "again", "unaskable"), 0)
        self._asked: set[int] = set()
        self._waiting: dict[int, WalkedRow] = {}  # by step, a row whose call there is unknown

    def see(self, row: WalkedRow, known: Counterparts | None, *, more_samples: bool) -> None:
        kind, cause = self._kind(row, known, more_samples=more_samples)
        self._rows["total"] += 1
        self._rows[kind] += 1
        self._calls(row, cause)

    def see_made(self, row: WalkedRow, cause: Cause) -> None:
        """A row that a graph makes of others: it is counted by its calls alone."""
        self._calls(row, cause)

    def _calls(self, row: WalkedRow, cause: Cause) -> None:
        for visit in row.visits:
            self._visit(visit, cause)
        if row.is_unanswered:
            after = range(row.visits[-1].step + 1, len(self._steps)) if row.unreached is None else row.unreached
            self.hide(after, 1, row, cause)

    def cause_of_made(self, known: Counterparts | None) -> Cause:
        """Why calls about rows that a graph makes are asked, as far as that can be told of such rows."""
        if known is None:
            return "first"
        return "rows" if self._same_questions else "fields"

    def hide(self, steps: Iterable[int], rows: int, example: WalkedRow, cause: Cause) -> None:
        """Count calls of `steps` that depend on answers that are not there; `example` is a row that waits for them."""
        for index in steps:
            part = self._part(index, self._steps[index].model)
            part.unknown += rows
            _count(part, cause, rows)
            self._waiting.setdefault(index, example)

    def parts(self) -> list[StepCounts]:
        """By step, in order, and within a step by the models that it asks."""
        for index, step in enumerate(self._steps):
            self._part(index, step.model)
        return [self._parts[key] for key in sorted(self._parts, key=lambda key: key[0])]

    def _part(self, step: int, model: ModelRef) -> StepCounts:
        key = step, model.name
        part = self._parts.get(key)
        if part is None:
            part = self._parts[key] = StepCounts(step=step, model=model)
        return part

    def _kind(self, row: WalkedRow, known: Counterparts | None, *, more_samples: bool) -> tuple[str, Cause]:
        is_same = known is not None and known.has(row.row)
        has_key = known is not None and not is_same and known.has_key(row.row)
        if not row.visits and not row.is_unanswered:
            return ("unaskable" if row.unreached is None or row.problem else "reused"), "first"
        if not row.is_unanswered:
            return "reused", "first"
        if known is None:
            return "new", "first"
        if not is_same:
            return ("changed" if has_key else "new"), "rows"
        if more_samples:
            return "new", "samples"
        return ("again", "again") if self._same_questions else ("changed", "fields")

    def _visit(self, visit: Visit, cause: Cause) -> None:
        call = visit.call
        counts = self._part(visit.step, call.request.model)
        if visit.answer is not None:
            counts.reused += 1
            learn(counts.learned, visit)
            cost_usd = visit.answer.facts.cost_usd
            counts.unpriced += cost_usd is None
            counts.saved_usd += cost_usd or 0.0
            return
        known = int(call.call_hash[:16], 16)
        if known in self._asked:
            counts.reused += 1
            return
        self._asked.add(known)
        counts.new += 1
        _count(counts, cause)
        self._size(counts, call)

    def _size(self, counts: StepCounts, call: Call) -> None:
        size = call.request.size()
        counts.request_bytes += size
        limit = output_limit(call.request.body)
        counts.unlimited |= limit is None
        counts.output_limit = max(limit or 0, counts.output_limit or 0)
        worst = self._worst_case(call, size)
        known = counts.worst_cost_usd is not None and worst is not None
        counts.worst_cost_usd = (counts.worst_cost_usd or 0.0) + (worst or 0.0) if known else None

    def size_unknown(self, steps: Sequence[PreparedStep]) -> None:
        """Give unknown calls the size of the step's others, else that of one made from answers of 200 characters."""
        for index, row in self._waiting.items():
            counts = self._part(index, self._steps[index].model)
            counts.worst_cost_usd = None  # the answers before may be of any length
            sizes = [size for size, _, _ in counts.learned.samples] or [counts.request_bytes] * (counts.new == 1)
            if not sizes and (made := _made_up(steps, index, row)) is not None:
                sizes = [made.request.size()]
                counts.output_limit = output_limit(made.request.body)
                counts.unlimited = counts.output_limit is None
            counts.request_bytes += counts.unknown * (sum(sizes) // len(sizes) if sizes else 0)

    def rows(self, known: Counterparts | None) -> RowCounts:
        return RowCounts(**self._rows, gone=None if known is None else known.gone)

    def calls(self) -> CallCounts:
        new, reused, unknown = (
            sum(getattr(part, name) for part in self._parts.values()) for name in ("new", "reused", "unknown")
        )
        return CallCounts(total=new + reused + unknown, new=new, reused=reused, unknown=unknown)


def _count(part: StepCounts, cause: Cause, calls: int = 1) -> None:
    part.causes[cause] = part.causes.get(cause, 0) + calls


def learn(learned: Learned, visit: Visit) -> None:
    """What an answer used."""
    assert visit.answer is not None
    facts = visit.answer.facts
    if facts.prompt_tokens is not None and facts.completion_tokens is not None:
        size = visit.call.request.size()
        learned.learn(size, facts.prompt_tokens, facts.completion_tokens, facts.cached_tokens)
    if facts.latency_s is not None:
        learned.took(facts.latency_s)


def _made_up(steps: Sequence[PreparedStep], index: int, row: WalkedRow) -> Call | None:
    values = dict(row.values)
    for step in steps[:index]:
        for column in step.outputs.fields:
            values.setdefault(column.name, _PLACEHOLDER if "string" in str(column.type) else 1)
    try:
        return steps[index].call(values, row.sample)
    except RowError:
        return None
