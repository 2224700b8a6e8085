"""Runs jobs in this process, through Dagster, in front of the person who asked: what `llm-jobs run` calls.

The run is like any other: it has its page, its events, its partitions. The jobs are covered exactly, in one run while
they are at most `coverage.MOST_JOBS_PER_RUN`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import dagster as dg

from llm_jobs.events import Listener, ignore
from llm_jobs.operations.records import JobReport
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.audience import Audience, hear_nothing
from llm_jobs.orchestration.build import build_definitions, in_process
from llm_jobs.orchestration.coverage import MOST_JOBS_PER_RUN, cover
from llm_jobs.orchestration.jobs import DELIVER, RUN_JOBS
from llm_jobs.orchestration.launching import Target
from llm_jobs.orchestration.owners import PROCESS_TAG, bury_dead_runs, process_tag
from llm_jobs.orchestration.partitions import register, registered
from llm_jobs.orchestration.use_cases import UseCases

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True, kw_only=True, slots=True)
class ForegroundRun:
    """What came of the jobs, in the order in which they ended, and the Dagster runs that did it."""

    reports: list[JobReport] = field(default_factory=list)
    run_ids: list[str] = field(default_factory=list)

    @property
    def links(self) -> list[str]:
        """Where the runs are shown, below the address of the Dagster page."""
        return [f"/runs/{run_id}" for run_id in self.run_ids]


def run_in_foreground(
    use_cases: UseCases,
    job_hashes: Sequence[str],
    *,
    instance: dg.DagsterInstance,
    listener: Listener = ignore,
    hear: Callable[[JobReport], None] = hear_nothing,
    quiet: bool = True,
) -> ForegroundRun:
    """Run the jobs, deliver those with an output, and return the reports; `hear` is told each as its job ends. What is
    finished, and shown so by this instance, is reported without a run.

    A job that fails is a report. What breaks the run itself (a ledger that cannot be written) is raised.
    """
    bury_dead_runs(instance)
    register(instance, job_hashes)
    done = ForegroundRun()
    shown = _shown_as_finished(use_cases, job_hashes, instance)

    def told(report: JobReport) -> None:
        done.reports.append(report)
        hear(report)

    for report in shown.values():
        told(report)
    definitions = build_definitions(resources=in_process(use_cases, Audience(listener=listener, hear=told)))
    run_config = QUIET if quiet else {}
    left = [job_hash for job_hash in job_hashes if job_hash not in shown]
    done.run_ids.extend(_execute(definitions, RUN_JOBS, left, instance, run_config))
    waiting = {job.job_hash for job in use_cases.undelivered()}.intersection(job_hashes)
    done.run_ids.extend(_execute(definitions, DELIVER, waiting, instance, run_config))
    return done


def deliver_in_foreground(
    use_cases: UseCases,
    job_hashes: Sequence[str],
    *,
    instance: dg.DagsterInstance,
    listener: Listener = ignore,
    again: bool = False,
) -> list[str]:
    """Deliver the newest results of the jobs; `listener` is told what became of each. Returns the runs' ids."""
    bury_dead_runs(instance)
    register(instance, job_hashes)
    definitions = build_definitions(resources=in_process(use_cases, Audience(listener=listener)))
    return list(_execute(definitions, DELIVER, job_hashes, instance, QUIET, config={"again": True} if again else {}))


def _shown_as_finished(
    use_cases: UseCases, job_hashes: Sequence[str], instance: dg.DagsterInstance
) -> dict[str, JobReport]:
    """Reports of the jobs that are finished and that this instance shows as such: a run would tell nothing new."""
    finished = use_cases.finished_reports(job_hashes)
    shown = instance.get_materialized_partitions(evidence.RESULTS) if finished else set()
    return {job_hash: report for job_hash, report in finished.items() if job_hash in shown}


def _execute(
    definitions: dg.Definitions,
    target: Target,
    job_hashes: Collection[str],
    instance: dg.DagsterInstance,
    run_config: Mapping[str, object],
    config: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[str]:
    """`config`: what is said to the operation beside the jobs."""
    job = definitions.resolve_job_def(target.job_name)
    for runs in cover(job_hashes, registered(instance), shortest_range=MOST_JOBS_PER_RUN):
        run_id = str(uuid.uuid4())
        with suppress(dg.Failure):  # raised where jobs failed: their reports tell
            job.execute_in_process(
                run_config={**run_config, **runs.run_config(target.op_name, **config)},
                instance=instance,
                run_id=run_id,
                tags={**runs.tags(), PROCESS_TAG: process_tag()},
            )
        yield run_id
