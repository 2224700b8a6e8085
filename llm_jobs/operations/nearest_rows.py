"""The rows of another job's graph that are nearest to one row, as far as the ledger has answers. Asks nothing.

A graph makes rows of other rows, so a row has no number that another job knows it by. Nearest is the one that shares
its key, then its sample, then most of its values; of several the one in the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import LlmJobsError
from llm_jobs.operations.counterparts import KEYS
from llm_jobs.operations.dry_run import DryRow, dry_rows
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs.operations.walking import WalkedRow
from llm_jobs.sources.tables import Table

_Closeness = tuple[bool, bool, int, bool]


def nearest_rows(services: Services, job: Job, table: Table, wanted: WalkedRow) -> dict[int, WalkedRow]:
    """By step that asks (its place in `job.steps`), the row of `job` that is nearest to `wanted` among those that the
    step was asked about. Nothing where a task of the job is there no longer. Memory: one row per step."""
    found: dict[int, tuple[_Closeness, WalkedRow]] = {}
    try:
        for each in chain.from_iterable(dry_rows(services, job, table, prepared_steps(services, job))):
            if isinstance(each, DryRow):
                closeness = _closeness(wanted, each.walked)
                for step in {visit.step for visit in each.walked.visits}:
                    if step not in found or closeness > found[step][0]:
                        found[step] = closeness, each.walked
    except LlmJobsError:
        return {}
    return {step: row for step, (closeness, row) in found.items() if any(closeness)}


def _closeness(wanted: WalkedRow, row: WalkedRow) -> _Closeness:
    return (
        _has_same_key(wanted.values, row.values),
        wanted.sample == row.sample,
        sum(name in row.values and row.values[name] == value for name, value in wanted.values.items()),
        wanted.number == row.number,
    )


def _has_same_key(one: Mapping[str, JsonValue], other: Mapping[str, JsonValue]) -> bool:
    key = next((name for name in KEYS if name in one and name in other), None)
    return key is not None and one[key] == other[key]
