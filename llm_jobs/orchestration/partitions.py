"""The one partitions definition: a job is a partition, its hash the key.

Keys are only ever added. Deleting the key of a run that is going would lose its work.
"""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

JOBS = dg.DynamicPartitionsDefinition(name="jobs")


def register(instance: dg.DagsterInstance, job_hashes: Iterable[str]) -> list[str]:
    """Add the keys that are not known yet, in order and in one call, so that a batch is one contiguous range.

    Returns the keys that were added.
    """
    known = set(registered(instance))
    missing = [key for key in dict.fromkeys(job_hashes) if key not in known]
    if missing:
        instance.add_dynamic_partitions(JOBS_NAME, missing)
    return missing


def registered(instance: dg.DagsterInstance) -> list[str]:
    """Every key, in the order in which it was added, which is the order of ranges."""
    return list(instance.get_dynamic_partitions(JOBS_NAME))


JOBS_NAME = "jobs"
