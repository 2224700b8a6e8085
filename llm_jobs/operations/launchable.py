"""Which of the jobs that wait for a run may start now, and what holds the others back.

What gates a job is recorded when it changes, so that other processes can tell it; what is recorded decides nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from llm_jobs.ledger.base import JobChange
from llm_jobs.operations.conditions import Conditions, Gate
from llm_jobs.operations.describe import unfinished
from llm_jobs.operations.job_changes import Changes, all_changes, gate_in_force
from llm_jobs.operations.records import GatedJob, Launchable, SubmittedJob
from llm_jobs.operations.services import Services

WHO = "launch"
TOLD_AGAIN_NS = 600_000_000_000  # a count may change at each look; what is told of it is kept for ever
MOST_TOLD = 200  # in one look; each is a synced row here and an event there
OUTDATED = Gate(kind="tick", reason="a later tick submitted it anew before it could start")


def launchable(services: Services, among: Collection[str] | None = None) -> Launchable:
    """The jobs that may start now, oldest submission first, and those that are gated, with the reasons; of all jobs,
    or of those whose hashes are `among` some."""
    waiting = [job for job in unfinished(services) if among is None or job.job_hash in among]
    gates = _gates(services, [job for job in waiting if job.rules.has_conditions])
    told = _record(services, [job for job in waiting if job.job_hash in gates], gates)
    return Launchable(
        jobs=tuple(job for job in waiting if gates.get(job.job_hash) is None),
        gated=tuple(
            GatedJob(job_hash=job.job_hash, name=job.name, reason=gate.reason, is_news=job.job_hash in told)
            for job in waiting
            if (gate := gates.get(job.job_hash)) is not None
        ),
    )


def gate_of(services: Services, jobs: Sequence[SubmittedJob]) -> dict[str, str]:
    """By job, why it may not start now; those that may are left out. Recorded as `launchable` does."""
    gates = _gates(services, [job for job in jobs if job.rules.has_conditions])
    _record(services, jobs, gates)
    return {job_hash: gate.reason for job_hash, gate in gates.items() if gate is not None}


def _gates(services: Services, jobs: Sequence[SubmittedJob]) -> dict[str, Gate | None]:
    """Checked in any order: where checks are slow, it is not always the same jobs that are left for the next look."""
    newest: dict[str, int] = {}
    for job in jobs:
        if job.origin == "schedule":
            newest[job.name] = max(newest.get(job.name, 0), job.submitted_ns)
    conditions = Conditions(services)
    gates: dict[str, Gate | None] = {}
    for job in services.random.sample(jobs, len(jobs)):
        outdated = job.origin == "schedule" and job.submitted_ns < newest[job.name]
        gates[job.job_hash] = OUTDATED if outdated else conditions.gate(job.rules)
    return gates


def _record(services: Services, jobs: Iterable[SubmittedJob], gates: dict[str, Gate | None]) -> set[str]:
    """Record what changed since it was last told; returns the jobs of which that is news."""
    if not gates:
        return set()
    changes = all_changes(services.ledger)
    news: set[str] = set()
    for job in jobs:
        gate = gates.get(job.job_hash)
        if len(news) == MOST_TOLD:
            break
        if _is_news(services, job, gate, changes.get(job.job_hash, {})):
            value = None if gate is None else {"reason": gate.reason, "kind": gate.kind}
            services.ledger.record_change(JobChange(job_hash=job.job_hash, field="gated", value=value, who=WHO))
            news.add(job.job_hash)
    return news


def _is_news(services: Services, job: SubmittedJob, gate: Gate | None, changes: Changes) -> bool:
    told = gate_in_force(changes, submitted_ns=job.submitted_ns)
    if gate is None or told is None:
        return (gate is None) != (told is None)
    rested = services.clock.now_ns() - told.since_ns > TOLD_AGAIN_NS
    return gate.kind != told.kind or (rested and gate.reason != told.reason)
