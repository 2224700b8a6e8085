"""Which process works for a run, written on the run itself, so that anybody can tell whether it is still alive.

Dagster's default launcher has no health check: where worker and code server die together, the run stays `STARTED` for
ever and keeps its jobs and its slots. A process on another host is left to Dagster's run monitoring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import dagster as dg

from llm_jobs.ledger.base import OwnerIdentity
from llm_jobs.ledger.owners import is_alive, this_process

PROCESS_TAG = ".dagster/llm_jobs/process"  # the page hides what begins so
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tag() -> str:
    """The value of `PROCESS_TAG` that names the calling process."""
    return json.dumps(asdict(this_process()), separators=(",", ":"))


def sign(instance: dg.DagsterInstance, run: dg.DagsterRun, tags: Mapping[str, str]) -> None:
    """Write on `run` which process works for it, together with other `tags`."""
    instance.add_run_tags(run.run_id, {PROCESS_TAG: process_tag(), **tags})


def may_be_alive(run: dg.DagsterRun) -> bool:
    """False if the run has ended, or if its process on this host is gone."""
    if run.is_finished:
        return False
    signed = run.tags.get(PROCESS_TAG)
    if signed is None:
        return True
    owner = OwnerIdentity(**json.loads(signed))
    # The start stands in for both times: a process of an earlier boot is dead, one elsewhere cannot be judged.
    started_ns = int(owner.started * 1e9)
    return is_alive(owner, last_heartbeat_ns=started_ns, now_ns=started_ns)


def is_run_alive(instance: dg.DagsterInstance, run_id: str) -> bool:
    """As `may_be_alive`; a run that does not exist is not alive."""
    run = instance.get_run_by_id(run_id)
    return run is not None and may_be_alive(run)


def bury_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Report as failed the runs whose process is gone, free their slots, and return the runs that are going."""
    going = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if may_be_alive(run):
            going.append(run)
        else:
            instance.report_run_failed(run, "The process that worked for this run is gone.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return going
