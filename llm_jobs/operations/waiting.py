"""Which jobs wait for something that no process of theirs works on, and for what; which of them can go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_jobs.ledger.batch_records import Waiting
from llm_jobs.operations.services import Services


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitingJobs:
    """`held`: jobs that are not to be launched, with what each waits for. `ready`: jobs whose wait is over and that
    nobody has launched since. `since_ns`: when each job that ever waited began to, the last time."""

    held: Mapping[str, Waiting]
    ready: frozenset[str]
    since_ns: Mapping[str, int]


def waiting_jobs(services: Services, job_hashes: Sequence[str] | None = None) -> WaitingJobs:
    """Of some jobs, or of all."""
    every = services.ledger.waiting(job_hashes)
    waiting = {job_hash: each for job_hash, each in every.items() if not each.over}
    held = {job_hash: each for job_hash, each in waiting.items() if _is_held(services, each)}
    return WaitingJobs(
        held=held,
        ready=frozenset(waiting.keys() - held.keys()),
        since_ns={job_hash: each.since_ns or 0 for job_hash, each in every.items()},
    )


def _is_held(services: Services, waiting: Waiting) -> bool:
    ledger = services.ledger
    if waiting.not_before_ns > services.clock.now_ns():
        return True
    if open_owners := ledger.owners_alive(waiting.owners):
        # A batch that ended is collected by the run of its job, if nobody did it before.
        batches = ledger.batches(job_hash=waiting.job_hash, unfinished=True)
        ended = {state.batch.owner_id for state in batches if state.phase == "ended"}
        if not open_owners <= ended:
            return True
    holders = set(ledger.holders(waiting.calls).values()) if waiting.calls else set()
    return bool(ledger.owners_alive(sorted(holders)))
