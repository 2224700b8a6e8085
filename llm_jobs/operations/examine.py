"""What a job would ask, without asking: how many rows it has and its first request. Nothing is spent or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import RowError
from llm_jobs.operations.accept import check_conditions
from llm_jobs.operations.dry_run import Hidden, dry_rows
from llm_jobs.operations.inputs import ASKED_OF_SERVERS, table_told
from llm_jobs.operations.named import read_named
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.planned_table import planned_table
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.providers.base import Request
from llm_jobs.sources.rows import Row, iterate


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """A job before it is run. `request` is None where its first row cannot be asked, which `problem` explains."""

    job_hash: str
    name: str
    models: tuple[str, ...]
    rows: int
    calls: int  # at most: rows, times steps, times samples; of a graph, about
    url: str | None  # where the first request goes; None: nowhere, or to no server
    request: Mapping[str, JsonValue] | None
    problem: str | None = None
    table: str | None = None  # where the rows were read just now, where a run reads them again


def examine_named(services: Services, named: str, overrides: Overrides = NO_OVERRIDES) -> list[Examination]:
    """The jobs that a user names (see `named`), each examined. Raises DocumentError or NotFound."""
    found = read_named(services, named, overrides)
    if found.document is not None:
        check_conditions(services, found.document)
    return [examine(services, job, document=found.path) for job in found.jobs]


def examine(services: Services, job: Job, *, document: Path | None) -> Examination:
    """Read the whole table and render the first row. `document`: the file that the job was read from.

    Raises DocumentError where the table is broken.
    """
    if job.graph:
        return _graph(services, job, document)
    rows, first = _table(services, job, document)
    url, request, problem = _first_request(services, job, first)
    return Examination(
        job_hash=job.hash,
        name=job.name,
        models=tuple(model.name for model in job.models),
        rows=rows,
        calls=rows * job.sample * len(job.steps),
        url=url,
        request=request,
        problem=problem,
        table=table_told(services, job),
    )


def _graph(services: Services, job: Job, document: Path | None) -> Examination:
    """A graph is taken through the ledger: what it would ask cannot be told from its steps alone."""
    calls, asked, problem = 0, None, None
    with planned_table(services, job, document=document) as table:
        for each in chain.from_iterable(dry_rows(services, job, table, prepared_steps(services, job))):
            if isinstance(each, Hidden):
                calls += each.rows * len(each.steps)
                continue
            calls += len(each.walked.visits) + len(each.walked.unreached or ())
            asked = asked or next((visit.call.request for visit in each.walked.visits), None)
            problem = problem or (each.walked.problem if not each.walked.visits else None)
    return Examination(
        job_hash=job.hash,
        name=job.name,
        models=tuple(model.name for model in job.models),
        rows=table.rows,
        calls=calls,
        url=None if asked is None else _url(asked),
        request=None if asked is None else asked.body,
        problem=None if asked is not None or problem is None else f"no row can be asked: {problem}",
        table=table_told(services, job),
    )


def _url(request: Request) -> str | None:
    endpoint = request.endpoint
    return f"{endpoint.base_url}{endpoint.path}" if endpoint.base_url else None


def _table(services: Services, job: Job, document: Path | None) -> tuple[int, Row]:
    """The number of rows, and the first with every column of the table."""
    source = job.input
    if source.kind in ASKED_OF_SERVERS or source.files:
        with planned_table(services, job, document=document) as table:
            return table.rows, next(chain.from_iterable(table.batches(batch_rows=1)), {})
    if source.kind == "batch":
        source = replace(source, url=str(document))
    rows, names = 0, dict[str, None]()
    first: Row = {}
    for batch in iterate(source):
        first = first if rows else batch[0]
        rows += len(batch)
        for row in batch:
            names.update(dict.fromkeys(row))
    return rows, {**dict.fromkeys(names), **first}


def _first_request(
    services: Services, job: Job, row: Row
) -> tuple[str | None, Mapping[str, JsonValue] | None, str | None]:
    try:
        request = prepared_steps(services, job)[0].call(row, 0).request
    except RowError as error:
        return None, None, f"the first row cannot be asked: {error}"
    return _url(request), request.body, None
