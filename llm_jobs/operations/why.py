"""Why a row would be asked, or would not: each of its calls with what the ledger knows of it, and where it is new, in
which field of its identity it differs from the nearest call that was recorded. Spends and records nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal

from llm_jobs.documents.differences import Difference, job_differences
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.identity import HASH_LENGTH
from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import asking_steps
from llm_jobs.engine.steps import PreparedStep
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import Submission, Trace
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.dry_run import Hidden, dry_rows
from llm_jobs.operations.looking_back import JOBS_LOOKED_AT, newest_before
from llm_jobs.operations.named import Named, read_named
from llm_jobs.operations.nearest import Nearest, Wanted, nearest
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.planned_table import planned_table
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.walking import Visit, WalkedRow, walk
from llm_jobs.pipelines.stages import stages_of
from llm_jobs.sources.tables import Table

# answered: reused, free. cut off: the answer was truncated, and the same question is not sent again. followed: the
# answer is no success, and the call that follows it is asked in its place. in flight: asked at this moment. lost: its
# run ended before an answer was recorded, and it may have been paid. failed: asked before, and no success came. new:
# never asked.
CallState = Literal["answered", "cut off", "followed", "in flight", "lost", "failed", "new"]
Row = Mapping[str, JsonValue]
Columns = Collection[str] | None

_CALL_HASH = re.compile(f"[0-9a-f]{{{HASH_LENGTH}}}")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallWhy:
    """One call of a row. `nearest` is looked for where it would be asked; None there: nothing like it is recorded."""

    call_hash: str
    step: int
    step_name: str
    state: CallState
    traces: Sequence[Trace]
    nearest: Nearest | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RowWhy:
    """A row and its calls, in the order of asking. `problem`: why it ends, or cannot be asked. `changes`: in what the
    document differs from the job before, which may concern other rows and nothing at all."""

    job_hash: str
    job_name: str
    row: int
    sample: int
    calls: tuple[CallWhy, ...]
    problem: str | None
    before: str | None
    changes: tuple[Difference, ...]


def why_call(services: Services, call_hash: str) -> Sequence[Trace]:
    """Every attempt at a call, oldest first. Raises NotFound."""
    if traces := services.ledger.traces(call_hash):
        return traces
    raise NotFound(f"the ledger {services.ledger.url} holds no call {call_hash}; `llm-jobs show` prints call hashes")


def why_row(
    services: Services,
    row: str,
    named: str,
    overrides: Overrides = NO_OVERRIDES,
    *,
    sample: int = 0,
    against: str | None = None,
) -> list[RowWhy]:
    """The row in each job that `named` means. `row`: a number from 0, `column=value`, or the hash of one of its calls.

    Raises DocumentError, or NotFound where there is no such job or row.
    """
    found = read_named(services, named, overrides)
    return [_why(services, job, found, row, sample=sample, against=against) for job in found.jobs]


def _why(services: Services, job: Job, found: Named, row: str, *, sample: int, against: str | None) -> RowWhy:
    steps = prepared_steps(services, job)
    walked, columns = _found(services, job, steps, found.path, row, sample)
    jobs = _jobs_before(services, job, found, against)
    old = job_from_json(jobs[0].job) if jobs else None
    return RowWhy(
        job_hash=job.hash,
        job_name=job.name,
        row=walked.number,
        sample=walked.sample,
        calls=tuple(_calls(services, job, steps, walked, columns, jobs)),
        problem=walked.problem,
        before=jobs[0].job_hash if jobs else None,
        changes=() if old is None else job_differences(old, job),
    )


def _found(
    services: Services, job: Job, steps: Sequence[PreparedStep], document: Path | None, row: str, sample: int
) -> tuple[WalkedRow, Columns]:
    """The row, and the columns that it has of the table, as far as that is not told by its steps."""
    if sample >= job.sample:
        raise NotFound(f"the job asks for {job.sample} answers per row, counted from 0; there is no sample {sample}")
    with planned_table(services, job, document=document) as table:
        if job.graph:
            return _found_in_graph(services, job, table, steps, row, sample)
        rows: Iterator[tuple[int, Row]] = enumerate(chain.from_iterable(table.batches()))
        if _CALL_HASH.fullmatch(row):
            for walked in walk(services.ledger, steps, rows, samples=job.sample):
                if any(visit.call.call_hash == row for visit in walked.visits):
                    return walked, None
            raise NotFound(f"no row of job {job.hash} ({job.name}) needs the call {row}")
        column, is_key, text = row.partition("=")
        for number, values in rows:
            if _text(values.get(column)) == text if is_key else number == _number(row):
                return list(walk(services.ledger, steps, [(number, values)], samples=sample + 1))[-1], None
        raise NotFound(f"the table of job {job.hash} ({job.name}) has {table.rows} rows from 0 on, and none is {row!r}")


def _found_in_graph(
    services: Services, job: Job, table: Table, steps: Sequence[PreparedStep], row: str, sample: int
) -> tuple[WalkedRow, Columns]:
    """A row of the graph's first table that asks something, or, by the hash of a call, of any."""
    column, is_key, text = row.partition("=")
    by_hash = _CALL_HASH.fullmatch(row) is not None
    first = next(number for number, stage in enumerate(stages_of(job.graph)) if asking_steps(stage.steps))
    for each in chain.from_iterable(dry_rows(services, job, table, steps)):
        if isinstance(each, Hidden):
            continue
        walked, columns = each.walked, table.schema.names if each.table == 0 else ()
        if each.table == first:
            walked.number //= job.sample
        if by_hash:
            is_it = any(visit.call.call_hash == row for visit in walked.visits)
        elif is_key:
            is_it = each.table == first and walked.sample == sample and _text(walked.values.get(column)) == text
        else:
            is_it = each.table == first and walked.sample == sample and walked.number == _number(row)
        if is_it:
            return walked, columns
    raise NotFound(f"no row of job {job.hash} ({job.name}) is {row!r}, as far as its graph is answered")


def _number(row: str) -> int:
    if row.isdecimal():
        return int(row)
    raise NotFound(f"{row!r} is no row: write its number from 0, `column=value`, or the hash of one of its calls")


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _jobs_before(services: Services, job: Job, found: Named, against: str | None) -> list[Submission]:
    """The jobs whose calls may be near: the one that is named, else those of the same document, newest first."""
    if against is not None:
        return [find_job(services, against)]
    name = found.document.name if found.document else None
    if name is None:
        own = services.ledger.submissions(job_hash=job.hash, bodies=False)
        name = own[0].document_name if own else ""
    listed = services.ledger.submissions(document_name=name, bodies=False)
    hashes = list(dict.fromkeys(each.job_hash for each in listed))
    if found.document is None:
        hashes = [job_hash for job_hash in hashes if job_hash != job.hash]
    jobs = [services.ledger.submissions(job_hash=job_hash)[0] for job_hash in hashes[:JOBS_LOOKED_AT]]
    jobs = [each for each in jobs if each.job]
    first = newest_before(services, job, name) if found.document else None
    return sorted(jobs, key=lambda each: first is None or each.job_hash != first.job_hash)


def _calls(
    services: Services,
    job: Job,
    steps: Sequence[PreparedStep],
    row: WalkedRow,
    columns: Columns,
    jobs: Sequence[Submission],
) -> Iterator[CallWhy]:
    known: dict[str, Mapping[int, WalkedRow]] = {}
    for visit in row.visits:
        traces = services.ledger.traces(visit.call.call_hash, job_hash=job.hash)
        near = None
        if visit.answer is None:
            wanted = Wanted(job=job, steps=steps, row=row, visit=visit, columns=columns, known=known)
            near = nearest(services, wanted, jobs)
        yield CallWhy(
            call_hash=visit.call.call_hash,
            step=visit.step,
            step_name=job.steps[visit.step].name,
            state=_state(visit, traces),
            traces=traces,
            nearest=near,
        )


def _state(visit: Visit, traces: Sequence[Trace]) -> CallState:
    if any(trace.is_answer for trace in traces):
        return "answered"
    if any(trace.facts is None and not trace.is_lost for trace in traces):
        return "in flight"
    if any(trace.facts is not None and trace.facts.status == "truncated" for trace in traces):
        return "cut off"
    if visit.answer is not None:
        return "followed"
    if traces and traces[-1].is_lost:
        return "lost"
    return "failed" if traces else "new"
