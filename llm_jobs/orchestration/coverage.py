"""Which jobs a run covers, and how a set of jobs is put into runs.

A run says what it covers in one of three public ways: one partition, a range of partitions, or a list in its
configuration. The list is for sets with gaps; such a run reports its partitions itself, because Dagster derives
planned partitions from tags alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
DEFERRED_TAG = "dagster/defer_asset_events"

OP_NAME = "answer_jobs"  # the operation behind `results`
DELIVER_OP_NAME = "deliver_results"  # the operation behind `deliveries`

# A run costs seconds of process start: short ranges are gathered into one list rather than started one by one.
SHORTEST_RANGE = 16
# Dagster writes one planned event per asset and partition before a run starts, some 13 ms each.
MOST_JOBS_PER_RUN = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """The jobs of one run. `contiguous`: they are a range of the registered keys."""

    job_hashes: tuple[str, ...]
    contiguous: bool

    def tags(self) -> dict[str, str]:
        if not self.contiguous:
            return {DEFERRED_TAG: "true"}
        if len(self.job_hashes) == 1:
            return {PARTITION_TAG: self.job_hashes[0]}
        return {RANGE_START_TAG: self.job_hashes[0], RANGE_END_TAG: self.job_hashes[-1]}

    def run_config(self, op_name: str, **more: object) -> dict[str, object]:
        """The configuration that lists the jobs where tags do not, and says `more`."""
        config = more if self.contiguous else {"job_hashes": list(self.job_hashes), **more}
        return {"ops": {op_name: {"config": config}}} if config else {}


def cover(wanted: Iterable[str], registered: Sequence[str], *, shortest_range: int = SHORTEST_RANGE) -> list[Coverage]:
    """As few runs as will do for the jobs `wanted`, in the order in which they were registered."""
    wanted_set = set(wanted)
    spans = [part for span in _spans(wanted_set, registered) for part in _parts(span)]
    if len(spans) > 1:
        ranges = [span for span in spans if len(span) >= shortest_range]
        scattered = [key for span in spans if len(span) < shortest_range for key in span]
    else:
        ranges, scattered = spans, []
    covers = [Coverage(job_hashes=tuple(span), contiguous=True) for span in ranges]
    return covers + [Coverage(job_hashes=tuple(part), contiguous=len(part) == 1) for part in _parts(scattered)]


def covered(run: dg.DagsterRun, registered: Sequence[str], *, op_name: str) -> set[str]:
    """The jobs that `run` covers; `registered` resolves its range."""
    tags = run.tags
    if PARTITION_TAG in tags:
        return {tags[PARTITION_TAG]}
    if RANGE_START_TAG in tags and RANGE_END_TAG in tags:
        return set(_between(registered, tags[RANGE_START_TAG], tags[RANGE_END_TAG]))
    return set(_listed(run.run_config, op_name))


def _spans(wanted: set[str], registered: Sequence[str]) -> list[list[str]]:
    spans: list[list[str]] = []
    previous = False
    for key in registered:
        if key in wanted:
            if not previous:
                spans.append([])
            spans[-1].append(key)
        previous = key in wanted
    return spans


def _parts(keys: list[str]) -> list[list[str]]:
    return [keys[start : start + MOST_JOBS_PER_RUN] for start in range(0, len(keys), MOST_JOBS_PER_RUN)]


def _between(registered: Sequence[str], first: str, last: str) -> Sequence[str]:
    try:
        return registered[registered.index(first) : registered.index(last) + 1]
    except ValueError:
        return [first, last]


def _listed(run_config: object, op_name: str) -> Sequence[str]:
    found: object = run_config
    for member in ("ops", op_name, "config", "job_hashes"):
        if not isinstance(found, Mapping):
            return []
        found = found.get(member)
    return [str(key) for key in found] if isinstance(found, list) else []
