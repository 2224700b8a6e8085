"""Runs of a job that may not read every recorded answer: which of them is made now, and since when it may read.

A run is a job of its own: the same in everything but its number. It is the run to be made until every row of it is
answered, so that what was killed or failed is gone on with, and answers of its own are read. Its window begins with
the first submission of a run before it (by the job's name), which no later submission moves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import count

from llm_jobs.documents.job import Job
from llm_jobs.engine.steps import Since
from llm_jobs.ledger.base import Ledger
from llm_jobs.operations.services import Services

LOOKED_AT = 16  # runs

SinceOf = Callable[[str], Since]  # by step


def run_due(services: Services, job: Job) -> Job:
    """The run of `job` that is to be made now: the first that is not finished. Itself where it may read everything."""
    if job.policy.reads_all:
        return job
    for first in count(1, LOOKED_AT):
        runs = [replace(job, run=number, hash="") for number in range(first, first + LOOKED_AT)]
        results = services.ledger.results([run.hash for run in runs])
        for run in runs:
            if all(record.failed for record in results.get(run.hash, ())):
                return run
    raise AssertionError("runs are counted without end")


def run_before(job: Job) -> Job:
    """The run before this one; itself where it is the first."""
    return replace(job, run=job.run - 1, hash="") if job.run > 1 else job


def readable(services: Services, job: Job) -> SinceOf:
    """Since when answers may be read, by step and model."""
    if job.policy.reads_all:
        return lambda step: _always
    begun = _begun(services.ledger, job, now_ns=services.clock.now_ns())

    def since(step: str, model: str) -> int | None:
        policy = job.policy.cache_of(step)
        runs = None if policy is None else policy.runs(model)
        return None if runs is None or runs >= len(begun) else begun[runs]

    return lambda step: partial(since, step)


def _always(model: str) -> int | None:
    return None


def _begun(ledger: Ledger, job: Job, *, now_ns: int) -> list[int]:
    """When this run was first submitted, under whatever name (now, where it was not yet), and those of its name before
    it, newest first."""
    first: dict[str, int] = {}
    for submission in ledger.submissions(name=job.name, bodies=False):  # newest first: the oldest stays
        first[submission.job_hash] = submission.submitted_ns or 0
    first.pop(job.hash, None)
    own = ledger.submissions(job_hash=job.hash, bodies=False)
    own_ns = (own[-1].submitted_ns or now_ns) if own else now_ns
    return [own_ns, *sorted((begun_ns for begun_ns in first.values() if begun_ns < own_ns), reverse=True)]
