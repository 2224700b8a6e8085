"""What a deferred document waits for, told from the ledger: is what it needs done, and if not, why not.

A need is looked for among the jobs of its own pipeline, then as a hash, then as a name, of which the newest submission
counts. Done is a job that has a result in which no row failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from llm_jobs.documents.graphs import cycle_of
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import ResultRecord, Submission
from llm_jobs.operations.deferred import Deferrals, Deferred, in_force, newest_waiting
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.services import Services

HASH_SHOWN = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Why a document cannot start. `hopeless`: somebody has to mend something first; `behind`: what it waits for has
    not started either."""

    reason: str
    hopeless: bool = False
    behind: bool = False


class Standing:
    """One look at what is deferred. What is read of the ledger is read once."""

    def __init__(self, services: Services, deferrals: Deferrals | None = None) -> None:
        """`deferrals`: of whoever looks often."""
        self._services = services
        self.every = (deferrals or Deferrals(services.ledger)).look()
        self._submitted: dict[str, Submission | None] = {}

    @cached_property
    def _members(self) -> dict[tuple[str, str], Deferred]:
        """The jobs of pipelines, by the pipeline's submission and their id in it."""
        return {(each.tie.id, each.tie.member): each for each in self.every if each.tie is not None}

    @cached_property
    def open(self) -> list[Deferred]:
        """What still waits or was refused, and was not replaced, oldest first."""
        return in_force(self._services, self.every)

    def wait(self, each: Deferred) -> Wait | None:
        """What the document waits for, the hopeless first; None: everything is done. Refused ones say why."""
        if each.state == "refused":
            return Wait(reason=f"it was refused: {each.error}", hopeless=True)
        waits = [wait for need in each.needs if (wait := self._wait(each, need)) is not None]
        return next((wait for wait in waits if wait.hopeless), waits[0] if waits else None)

    def cycle(self, name: str, needs: Sequence[str]) -> list[str]:
        """The names of documents that would wait for each other for ever, were `name` to wait for `needs`."""
        if not any(name in each.needs for each in self.every) and name not in needs:
            return []
        graph = {each.name: list(each.needs) for each in newest_waiting(self.every) if each.tie is None}
        path = cycle_of({name: needs, **{key: value for key, value in graph.items() if key != name}})
        return path if name in path else []

    def _wait(self, each: Deferred, need: str) -> Wait | None:
        member = self._members.get((each.tie.id, need)) if each.tie else None
        if member is not None:
            return self._of_deferred(each, need, member)
        named = next((other for other in reversed(self.open) if other.name == need and other.id != each.id), None)
        submission = self._submission(need)
        if named is not None and (submission is None or named.since_ns > (submission.submitted_ns or 0)):
            return self._of_deferred(each, need, named)
        if submission is None:
            return Wait(reason=f"it waits for {need}, which was never submitted")
        return self._of_job(each, submission)

    def _submission(self, need: str) -> Submission | None:
        if need not in self._submitted:
            try:
                self._submitted[need] = find_job(self._services, need)
            except NotFound:
                self._submitted[need] = None
        return self._submitted[need]

    def _of_deferred(self, each: Deferred, need: str, other: Deferred) -> Wait | None:
        if other.state == "waiting":
            return Wait(reason=f"it waits for {_told(need, other.name)}, which waits itself", behind=True)
        if other.state == "refused":
            return Wait(
                reason=f"it waits for {_told(need, other.name)}, which was refused: {other.error}", hopeless=True
            )
        for job_hash in other.job_hashes:
            wait = self._of_job(each, self._services.ledger.submissions(job_hash=job_hash, bodies=False)[0])
            if wait is not None:
                return wait
        return None

    def _of_job(self, each: Deferred, submission: Submission) -> Wait | None:
        told = f"it waits for {submission.name} ({submission.job_hash[:HASH_SHOWN]}), which "
        repair = f"; llm-jobs run {submission.name} asks for what is missing"
        records = self._services.ledger.results([submission.job_hash]).get(submission.job_hash, ())
        if any(not record.failed for record in records):
            return None
        ended_ns, ended = self._end(submission, records[0] if records else None)
        if ended_ns < (submission.submitted_ns or 0):
            return Wait(reason=told + "has not ended yet")
        if records and records[0].succeeded and each.on_partial == "run":
            return None
        hint = "" if not (records and records[0].succeeded) else ", and `on_partial: run` does without"
        return Wait(reason=f"{told}{ended}{repair}{hint}", hopeless=True)

    def _end(self, submission: Submission, record: ResultRecord | None) -> tuple[int, str]:
        """When the job last ended, and how; -1 where it never did."""
        ended_ns, ended = -1, ""
        if record is not None:
            ended_ns = record.recorded_ns or 0
            ended = f"ended with {record.failed:,} of {record.rows:,} rows failed"
        reason = self._broken.get(submission.job_hash)
        return max((ended_ns, ended), reason or (-1, ""))

    @cached_property
    def _broken(self) -> dict[str, tuple[int, str]]:
        """Of the jobs that ended without a result: when the last time, and why."""
        return {
            letter.job_hash: (letter.recorded_ns or 0, f"failed: {letter.reason}")
            for letter in self._services.ledger.dead_letters()
            if letter.kind == "job" and letter.job_hash is not None
        }


def _told(need: str, name: str) -> str:
    return name if need == name else f"{need} ({name})"
