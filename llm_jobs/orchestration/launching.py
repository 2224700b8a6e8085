"""What to run next: the difference between the jobs that are unfinished and what runs cover. No clock, no cursor.

A tick that is cut off is made good by the next one, because nothing is remembered: a job is asked for while it has not
ended, no run that is going covers it, and fewer than `MOST_TRIES` runs of it died since it was last submitted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from llm_jobs.operations.records import SubmittedJob
from llm_jobs.orchestration.coverage import cover, covered
from llm_jobs.orchestration.owners import UNFINISHED, bury_dead_runs
from llm_jobs.orchestration.partitions import register, registered
from llm_jobs.orchestration.scope import NAME_TAG, names_tag

MOST_TRIES = 3
ENDED_RUNS_READ = 1_000
HOT_TAGS = {"dagster/priority": "10"}
ENDED = [status for status in dg.DagsterRunStatus if status not in UNFINISHED]


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An asset job whose runs cover jobs: its name, its operation, and the asset that it makes."""

    job_name: str
    op_name: str
    asset_key: dg.AssetKey

    def made_by(self, run: dg.DagsterRun) -> bool:
        """Whether `run` makes the asset; runs from the asset pages bear another job's name."""
        selection = run.asset_selection
        return run.job_name == self.job_name if selection is None else self.asset_key in selection


def run_requests(
    instance: dg.DagsterInstance, target: Target, unfinished: Sequence[SubmittedJob]
) -> list[dg.RunRequest]:
    """The runs to ask for. Registers partitions that are new, and reports runs whose process is gone as failed."""
    going = bury_dead_runs(instance)
    register(instance, (job.job_hash for job in unfinished))
    keys = registered(instance)
    in_flight = set().union(*(_covered(run, target, keys) for run in going))
    waiting = [job for job in unfinished if job.job_hash not in in_flight]
    tries = _tries(instance, target, waiting, keys) if waiting else {}
    due = {job.job_hash: job for job in waiting if tries[job.job_hash] < MOST_TRIES}
    return list(_requests(target, due, tries, keys))


def _requests(
    target: Target, due: dict[str, SubmittedJob], tries: dict[str, int], keys: Sequence[str]
) -> Iterator[dg.RunRequest]:
    for priority, tags in (("hot", HOT_TAGS), ("cold", {})):  # a run is as slow as its slowest job: never mixed
        for runs in cover((key for key, job in due.items() if job.priority == priority), keys):
            jobs = [due[job_hash] for job_hash in runs.job_hashes]
            yield dg.RunRequest(
                run_key=_run_key(jobs, tries),
                job_name=target.job_name,
                tags={**runs.tags(), **tags, NAME_TAG: names_tag(job.name for job in jobs)},
                run_config=runs.run_config(target.op_name),
            )


def _run_key(jobs: Iterable[SubmittedJob], tries: dict[str, int]) -> str:
    """Differs with the set, with each new submission, wait and try: Dagster never repeats a key."""
    digest = hashlib.sha256()
    for job in jobs:
        since_ns = max(job.submitted_ns, job.waited_ns)
        digest.update(f"{job.job_hash} {since_ns} {tries[job.job_hash]}\n".encode())
    return digest.hexdigest()[:32]


def _tries(
    instance: dg.DagsterInstance, target: Target, jobs: Sequence[SubmittedJob], keys: Sequence[str]
) -> dict[str, int]:
    """How many runs of each job ended since its newest submission, or since it last came to wait for something."""
    since_s = {job.job_hash: max(job.submitted_ns, job.waited_ns) / 1e9 for job in jobs}
    tries = dict.fromkeys(since_s, 0)
    for record in instance.get_run_records(dg.RunsFilter(statuses=ENDED), limit=ENDED_RUNS_READ):
        for job_hash in _covered(record.dagster_run, target, keys) & tries.keys():
            tries[job_hash] += record.create_timestamp.timestamp() > since_s[job_hash]
    return tries


def _covered(run: dg.DagsterRun, target: Target, keys: Sequence[str]) -> set[str]:
    return covered(run, keys, op_name=target.op_name) if target.made_by(run) else set()
