"""What is known of jobs, told from the ledger and the names of files; no document, input or result is opened."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.identity import HASH_LENGTH
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import ResultRecord, Submission
from llm_jobs.ledger.batch_records import Waiting
from llm_jobs.operations.job_changes import (
    Changes,
    GateTold,
    Hold,
    all_changes,
    changes_of,
    gate_in_force,
    hold_in_force,
    priority_in_force,
)
from llm_jobs.operations.records import JobLine, SubmittedJob, spent_usd_of, status_of_record
from llm_jobs.operations.services import Services
from llm_jobs.operations.waiting import WaitingJobs, waiting_jobs

NULL_RESULT = "null-result"
WAITING = "waiting"
HELD = "held"
GATED = "gated"
LARGEST_LISTING = 100_000


def latest_jobs(services: Services, limit: int = LARGEST_LISTING) -> list[JobLine]:
    """The latest `limit` jobs, newest first, each with its newest result or `null-result`."""
    submissions = services.ledger.latest_jobs(limit)
    return job_lines(services, submissions)


def job_lines(services: Services, submissions: Sequence[Submission]) -> list[JobLine]:
    """One line per submission, with the job's newest result."""
    records = services.ledger.results([submission.job_hash for submission in submissions])
    waiting = services.ledger.waiting()
    changes = all_changes(services.ledger)
    return [
        _line(
            services,
            submission,
            records.get(submission.job_hash, ()),
            waiting.get(submission.job_hash),
            changes.get(submission.job_hash, {}),
        )
        for submission in submissions
    ]


def _line(
    services: Services,
    submission: Submission,
    records: Sequence[ResultRecord],
    waiting: Waiting | None,
    changes: Changes,
) -> JobLine:
    record = records[0] if records else None
    hold = hold_in_force(changes)
    gate = gate_in_force(changes, submitted_ns=submission.submitted_ns or 0)
    waits = waiting is not None and not waiting.over
    status = WAITING if waits else status_of_record(record) if record else NULL_RESULT
    is_open = status in (NULL_RESULT, "partial", "failed")
    is_held, is_gated = hold is not None and is_open, gate is not None and is_open
    return JobLine(
        name=submission.name,
        job_hash=submission.job_hash,
        status=HELD if is_held else GATED if is_gated else status,
        rows=record.rows if record else None,
        succeeded=record.succeeded if record else None,
        failed=record.failed if record else None,
        cost_usd=_cost(records),
        submitted_at=_time_text(submission.submitted_ns),
        result=services.store.locate(record.path) if record else None,
        waits_for=_waits_for(
            waiting if waits else None, hold if is_held else None, gate if is_gated else None, submission
        ),
    )


def _waits_for(waiting: Waiting | None, hold: Hold | None, gate: GateTold | None, submission: Submission) -> str | None:
    if hold is not None:
        return f"{hold.reason}: llm-jobs approve {submission.job_hash[:8]}"
    if gate is not None:
        return gate.reason
    return None if waiting is None else waiting.reason


def _cost(records: Sequence[ResultRecord]) -> float | None:
    """What the job had cost when its newest result was made; None while nothing ran or a price is not known."""
    if records and "spent_usd" in records[0].facts:
        return spent_usd_of(records[0])
    costs = [record.facts.get("cost_usd") for record in records]
    known = [cost for cost in costs if isinstance(cost, int | float)]
    return sum(known) if known and len(known) == len(costs) else None


def _time_text(time_ns: int | None) -> str:
    return datetime.fromtimestamp((time_ns or 0) / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def find_job(services: Services, hash_or_name: str, *, answered: bool = False) -> Submission:
    """The newest submission of a job by its hash, a unique beginning of it (8 characters or more), or its name.
    `answered`: of several jobs with one name, the newest that has a result, if one has.

    Raises NotFound, with the nearest names.
    """
    if _looks_like_hash(hash_or_name) and (found := services.ledger.submissions(job_hash=hash_or_name)):
        return found[0]
    if found := services.ledger.submissions(name=hash_or_name, bodies=False):
        return _with_bodies(services, _answered(services, found) if answered else found[0])
    latest = services.ledger.latest_jobs(LARGEST_LISTING)
    beginning = [job for job in latest if len(hash_or_name) >= 8 and job.job_hash.startswith(hash_or_name)]
    if len(beginning) == 1:
        return services.ledger.submissions(job_hash=beginning[0].job_hash)[0]
    near = difflib.get_close_matches(hash_or_name, {job.name for job in latest}, n=3)
    hint = f"; nearest names: {', '.join(near)}" if near else ""
    raise NotFound(f"no job with hash or name {hash_or_name!r}{hint}; `llm-jobs status` lists the jobs")


def _answered(services: Services, submissions: Sequence[Submission]) -> Submission:
    """The newest whose job has a result, else the newest."""
    results = services.ledger.results([submission.job_hash for submission in submissions])
    return next((submission for submission in submissions if results.get(submission.job_hash)), submissions[0])


def _with_bodies(services: Services, submission: Submission) -> Submission:
    return services.ledger.submissions(job_hash=submission.job_hash)[0]


def _looks_like_hash(text: str) -> bool:
    return len(text) == HASH_LENGTH and all(character in "0123456789abcdef" for character in text)


def submitted(services: Services, job_hashes: Sequence[str]) -> Mapping[str, SubmittedJob]:
    """The newest submission of each of `job_hashes` that the ledger knows."""
    found = {}
    for job_hash in job_hashes:
        if submissions := services.ledger.submissions(job_hash=job_hash):
            found[job_hash] = submitted_job(services, submissions[0], changes_of(services.ledger, job_hash))
    return found


def unfinished(services: Services) -> list[SubmittedJob]:
    """Jobs that wait for a run, oldest submission first: they have not ended since they were last submitted, and what
    they wait for is there. What is held for approval is not among them.

    A job that ended with failures waits until it is submitted again: the same question may cost the same again.
    """
    waiting = waiting_jobs(services)
    changes = all_changes(services.ledger)
    hashes = [
        job_hash
        for job_hash in services.ledger.unfinished()
        if job_hash not in waiting.held and hold_in_force(changes.get(job_hash, {})) is None
    ]
    ended_ns = _ended_ns(services, hashes)
    submitted_ns = _submitted_ns(services) if ended_ns else {}
    return [
        replace(
            submitted_job(services, submissions[0], changes.get(job_hash, {})),
            waited_ns=waiting.since_ns.get(job_hash, 0),
        )
        for job_hash in hashes
        if ended_ns.get(job_hash, -1) < max(submitted_ns.get(job_hash, 0), _waits_since(waiting, job_hash))
        and (submissions := services.ledger.submissions(job_hash=job_hash))
    ]


def _waits_since(waiting: WaitingJobs, job_hash: str) -> int:
    """When the job began to wait for what is there now: it may have ended before, and been asked for again."""
    return waiting.since_ns.get(job_hash, 0) if job_hash in waiting.ready else 0


def _ended_ns(services: Services, job_hashes: Sequence[str]) -> dict[str, int]:
    """When each job last ended, with a result or with the reason why there is none."""
    ended = {job_hash: records[0].recorded_ns or 0 for job_hash, records in services.ledger.results(job_hashes).items()}
    for letter in services.ledger.dead_letters():
        if letter.kind == "job" and letter.job_hash is not None:
            ended[letter.job_hash] = max(ended.get(letter.job_hash, 0), letter.recorded_ns or 0)
    return ended


def _submitted_ns(services: Services) -> dict[str, int]:
    """When each job was last submitted."""
    return {job.job_hash: job.submitted_ns or 0 for job in services.ledger.latest_jobs(LARGEST_LISTING)}


def submitted_job(services: Services, submission: Submission, changes: Changes | None = None) -> SubmittedJob:
    """A submission with what its frozen job says, and what was changed of it since."""
    job = job_from_json(submission.job)
    return SubmittedJob(
        job_hash=submission.job_hash,
        name=submission.name,
        submitter=submission.submitter,
        priority=priority_in_force(job, changes or {}, submitted_ns=submission.submitted_ns or 0),
        submitted_ns=submission.submitted_ns or 0,
        providers=tuple(sorted({model.provider for model in job.models})),
        document_path=str(services.settings.jobs / submission.job_hash),
        input_path=job.input.url,
        origin=submission.origin,
        rules=job.policy.launch,
        destinations=tuple(sorted({output.destination for output in job.policy.outputs})),
    )
