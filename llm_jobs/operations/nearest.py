"""The recorded call that is nearest to one that would be asked: of the same row, in the jobs of the same document."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, takewhile

from llm_jobs.documents.differences import Difference, call_differences, call_members, job_differences, paired_steps
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.engine.calls import Call
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import RowError
from llm_jobs.ledger.base import Submission, Trace
from llm_jobs.operations.counterparts import Counterparts
from llm_jobs.operations.looking_back import table_before
from llm_jobs.operations.nearest_rows import nearest_rows
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.walking import Visit, WalkedRow, walk

Row = Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Nearest:
    """A recorded call and in what the other one differs. `because`: where that comes from, as paths in the document
    (`steps[0].parameters.temperature`, `input.rows[3].text`)."""

    call_hash: str
    job_hash: str
    job_name: str
    traces: Sequence[Trace]
    differences: tuple[Difference, ...]
    because: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A call that would be asked: the row that needs it, and the step."""

    job: Job
    steps: Sequence[PreparedStep]
    row: WalkedRow
    visit: Visit
    columns: Collection[str] | None = None  # of the table, where the row is one of it; None: those that no step makes
    known: dict[str, Mapping[int, WalkedRow]] = field(default_factory=dict)  # by job: what was found for the row before


def nearest(services: Services, wanted: Wanted, jobs: Sequence[Submission]) -> Nearest | None:
    """The one with the fewest differences, of the newest job where several have as few; None where none is recorded."""
    found: Nearest | None = None
    for submission in jobs:
        old = job_from_json(submission.job)
        candidate = _recorded(services, wanted, submission, old)
        if candidate is not None and (found is None or len(candidate.differences) < len(found.differences)):
            found = candidate
        if found is not None and len(found.differences) == 1:
            break
    return found


def _recorded(services: Services, wanted: Wanted, submission: Submission, old: Job) -> Nearest | None:
    pair = paired_steps(old, wanted.job)[wanted.visit.step]
    if pair is None or (walked := _walked(services, wanted, submission, old, pair)) is None:
        return None
    visit = _same_visit(wanted, walked, pair)
    if visit is None or visit.call.call_hash == wanted.visit.call.call_hash:
        return None
    traces = services.ledger.traces(visit.call.call_hash)
    if not traces:
        return None
    new = wanted.visit.call
    return Nearest(
        call_hash=visit.call.call_hash,
        job_hash=submission.job_hash,
        job_name=submission.name,
        traces=traces,
        differences=call_differences(
            _members(visit.call, old.epoch, walked.sample), _members(new, wanted.job.epoch, wanted.row.sample)
        ),
        because=tuple(_because(wanted, old, walked, visit)),
    )


def _members(call: Call, epoch: str | None, sample: int) -> dict[str, object]:
    request = call.request
    return call_members(
        endpoint=request.endpoint.identity(),
        body=request.body,
        epoch=epoch,
        sample=sample,
        renewal=_renewal(call),
    )


def _renewal(call: Call) -> int:
    return call.recency.renewal if call.recency else 0


def _same_visit(wanted: Wanted, walked: WalkedRow, step: int) -> Visit | None:
    """The call of the same turn, where a step was asked several times; the last where there were fewer turns."""
    turn = sum(visit.step == wanted.visit.step for visit in takewhile(_is_not(wanted.visit), wanted.row.visits))
    visits = [visit for visit in walked.visits if visit.step == step]
    return visits[min(turn, len(visits) - 1)] if visits else None


def _is_not(visit: Visit) -> Callable[[Visit], bool]:
    return lambda other: other is not visit


def _walked(services: Services, wanted: Wanted, submission: Submission, old: Job, step: int) -> WalkedRow | None:
    """The counterpart of the row in another job, taken as far as that one has answers."""
    if (known := wanted.known.get(submission.job_hash)) is not None:
        return known.get(step)
    with table_before(services, submission, old) as table:
        if table is None:
            return None
        if old.graph:
            known = wanted.known[submission.job_hash] = nearest_rows(services, old, table, wanted.row)
            return known.get(step)
        found = _counterpart(wanted.row, chain.from_iterable(table.batches()))
    if found is None:
        return None
    steps = prepared_steps(services, old)
    samples = list(walk(services.ledger, steps, [found], samples=min(old.sample, wanted.row.sample + 1)))
    recorded = [each for each in samples if each.visits]
    return recorded[-1] if recorded else None


def _counterpart(wanted: WalkedRow, rows: Iterator[Row]) -> tuple[int, Row] | None:
    """The row with the same key, else with the same values, else with the same number."""
    one = Counterparts([wanted.row], wanted.row)
    same: tuple[int, Row] | None = None
    numbered: tuple[int, Row] | None = None
    for number, row in enumerate(rows):
        if one.key is not None and one.key in row:
            if one.has_key(row):
                return number, row
        elif same is None and one.has(row):
            same = (number, row)
        if number == wanted.number:
            numbered = (number, row)
    return same or numbered


def _because(wanted: Wanted, old: Job, before: WalkedRow, visit: Visit) -> Iterator[str]:
    step, row = wanted.visit.step, wanted.row
    if _renewal(visit.call) != _renewal(wanted.visit.call):
        yield "cache"
    for difference in job_differences(old, wanted.job):
        if difference.effect == "calls" and difference.step in (None, step):
            yield difference.path
    if row.sample != before.sample:
        yield "sample"
    made = {column.name: index for index, each in enumerate(wanted.steps[:step]) for column in each.outputs.fields}
    for name, value in row.values.items():
        if name in before.values and before.values[name] == value:
            continue
        if _matters(wanted, name, before.values.get(name)):
            yield f"the answer of steps[{made[name]}]" if name in made else _place(wanted, name)


def _place(wanted: Wanted, column: str) -> str:
    """Where a column comes from that is no answer: the table, or a step that computes."""
    if wanted.columns is not None and column not in wanted.columns:
        return f"the column {column}"
    return f"input.rows[{wanted.row.number}].{column}"


def _matters(wanted: Wanted, column: str, value: JsonValue) -> bool:
    """Would the call be another one if the column held the other value?"""
    visit = wanted.visit
    try:
        other = wanted.steps[visit.step].call({**wanted.row.values, column: value}, wanted.row.sample)
    except RowError:
        return True
    return other.call_hash != wanted.steps[visit.step].call(wanted.row.values, wanted.row.sample).call_hash
