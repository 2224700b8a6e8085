"""Documents that somebody runs and waits for: jobs in the order of what they need, each when its conditions hold.

What is left when it is stopped stays recorded, so that an instance, or the same command, goes on with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.operations.accept import record_all
from llm_jobs.operations.deferred import Deferred, all_deferred
from llm_jobs.operations.deferring import Prepared, prepare, put_off
from llm_jobs.operations.dependencies import Standing, Wait
from llm_jobs.operations.describe import submitted
from llm_jobs.operations.launchable import gate_of
from llm_jobs.operations.named import Named, document_named, read_named
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.overview import waits
from llm_jobs.operations.preflight import check_environment
from llm_jobs.operations.release import release
from llm_jobs.operations.services import Services


class ByHand:
    """`asked`: the jobs so far, each with what named it. `reasons`: by name, what the rest waits for."""

    def __init__(
        self,
        services: Services,
        named: Sequence[str],
        overrides: Overrides,
        *,
        origin: str,
        ignore_conditions: bool = False,
    ) -> None:
        """Submit what `named` means: all of it, or nothing where one is refused. `ignore_conditions`: start at once,
        whatever conditions and `depends_on` say; jobs of a pipeline keep their order all the same.

        Raises DocumentError, NotFound or SetupError.
        """
        self._services = services
        self._ignore = ignore_conditions
        self._deferred: dict[str, str] = {}  # id -> what named it
        self._waiting: list[str] = []
        self._told: dict[str, str] = {}
        self.asked: list[tuple[Job, str]] = []
        self.reasons: Mapping[str, str] = {}
        self.is_stuck = False  # what is left needs somebody to mend something
        self._submit(named, overrides, origin)

    @property
    def is_over(self) -> bool:
        return self.is_stuck or not (self._waiting or self._deferred)

    @property
    def deferred(self) -> int:
        """How many documents are no jobs yet."""
        return len(self._deferred)

    def is_news(self, name: str, reason: str) -> bool:
        """Was that not told before?"""
        known, self._told[name] = self._told.get(name), reason
        return known != reason

    def ready(self) -> list[str]:
        """The hashes of the jobs to start now; none while all that is left waits."""
        blocked = self._released()
        gates = self._gates()
        ready = [job_hash for job_hash in self._waiting if job_hash not in gates]
        self._waiting = [job_hash for job_hash in self._waiting if job_hash in gates]
        names = {job.hash: job.name for job, _ in self.asked}
        self.reasons = {
            **{names[job_hash]: reason for job_hash, reason in gates.items()},
            **{each.name: wait.reason for each, wait in blocked},
        }
        hopeless = [wait for _, wait in blocked if wait.hopeless]
        self.is_stuck = bool(hopeless) and not (ready or gates) and all(w.hopeless or w.behind for _, w in blocked)
        return ready

    def _submit(self, named: Sequence[str], overrides: Overrides, origin: str) -> None:
        put: list[tuple[str, list[Prepared]]] = []
        read: list[tuple[str, Named]] = []
        for each in named:
            prepared = self._prepared(each, overrides, origin)
            if prepared:
                put.append((each, prepared))
            else:
                read.append((each, read_named(self._services, each, overrides)))
        record_all(self._services, [one.document for _, one in read if one.document is not None], origin=origin)
        for each, one in read:
            self._ask(one.jobs, each)
        check_environment(self._services, [job for job, _ in self.asked])
        for each, prepared in put:
            self._deferred |= {deferred.id: each for deferred in put_off(self._services, prepared)}

    def _prepared(self, named: str, overrides: Overrides, origin: str) -> list[Prepared]:
        """What is put off of a document: nothing of one whose needs are done already."""
        path: Path | None = document_named(self._services, named)
        if path is None:
            return []
        prepared = prepare(self._services, path, origin=origin, overrides=overrides)
        if any(each.tie is not None for each, _ in prepared):
            return prepared
        return [] if all(self._may_start(each) for each, _ in prepared) else prepared

    def _may_start(self, deferred: Deferred) -> bool:
        return self._ignore or Standing(self._services).wait(deferred) is None

    def _released(self) -> list[tuple[Deferred, Wait]]:
        """Take up what has become jobs, here or in another process; returns what still waits."""
        if not self._deferred:
            return []
        release(self._services, self._deferred)
        frozen = [each for each in all_deferred(self._services.ledger) if each.id in self._deferred]
        for each in (each for each in frozen if each.state == "frozen"):
            found = [self._services.ledger.submissions(job_hash=job_hash)[0] for job_hash in each.job_hashes]
            jobs = [job_from_json(submission.job) for submission in found]
            check_environment(self._services, jobs)
            self._ask(jobs, self._deferred.pop(each.id))
        blocked = waits(self._services, self._deferred)
        open_ids = {each.id for each, _ in blocked}  # what a later submission replaced is nobody's any more
        self._deferred = {key: named for key, named in self._deferred.items() if key in open_ids}
        return blocked

    def _ask(self, jobs: Sequence[Job], named: str) -> None:
        self.asked += [(job, named) for job in jobs]
        self._waiting += [job.hash for job in jobs if job.hash not in self._waiting]

    def _gates(self) -> dict[str, str]:
        """Of the jobs that have conditions and are not finished."""
        waiting = set() if self._ignore else set(self._waiting)
        gated = {job.hash for job, _ in self.asked if job.hash in waiting and job.policy.launch.has_conditions}
        results = self._services.ledger.results(list(gated)) if gated else {}
        open_hashes = [each for each in gated if all(record.failed for record in results.get(each, ()))]
        return gate_of(self._services, list(submitted(self._services, open_hashes).values())) if open_hashes else {}
