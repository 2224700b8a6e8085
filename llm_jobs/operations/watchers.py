"""Opens what documents ask for beside their answers: metrics, a log of the job, alerts, a message at the end.

The process that runs a job watches it and sends its messages; of two that run one job at once, the first that has
something to tell. Nothing of this stops a job or makes it wait; only the end of a run waits some seconds for messages
under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.identity import hash_of
from llm_jobs.documents.job import Job
from llm_jobs.documents.watched import Monitoring, Watching
from llm_jobs.errors import LlmJobsError
from llm_jobs.events import Listener, broadcast
from llm_jobs.ledger.base import BudgetState, Ledger, Notice, Submission
from llm_jobs.ledger.owners import this_process
from llm_jobs.observability.channels import Channels
from llm_jobs.observability.figures import Figures
from llm_jobs.observability.job_logs import job_logged
from llm_jobs.observability.listeners import listening
from llm_jobs.observability.messages import Subject, undelivered_message
from llm_jobs.observability.outbox import Outbox
from llm_jobs.observability.telemetry import Telemetry
from llm_jobs.observability.watchers import Board, JobWatcher
from llm_jobs.operations.job_changes import budget_in_force, changes_of
from llm_jobs.operations.scrubbing import without_secrets
from llm_jobs.operations.services import Services
from llm_jobs.operations.watchers_places import log_path, may_hold_log

LOG = logging.getLogger(__name__)
PORTS = range(9464, 9480)  # of the scrape endpoint, where a document asks for one and the environment names none
BEAT_EVERY_S = 20.0
DAGSTER_URL = "LLM_JOBS_DAGSTER_URL"
_MARK = b'"watching":{'  # in a job's JSON, where its document says anything of this
_Watched = list[tuple[Submission, Job, Watching]]


@asynccontextmanager
async def watched(
    services: Services, job_hashes: Sequence[str], listener: Listener, *, run_id: str | None
) -> AsyncIterator[Listener]:
    """`listener`, with who watches those of the jobs whose documents ask for it. The others cost one look each."""
    jobs = await asyncio.to_thread(_asked, services, job_hashes)
    if not jobs:
        yield listener
        return
    with ExitStack() as stack:
        owner_id = await asyncio.to_thread(_owner, services.ledger, run_id, stack)
        opening = _Opening(services, listener, run_id, owner_id, stack)
        watchers = await asyncio.to_thread(opening.watchers, jobs)
        board = Board(watchers, loop=asyncio.get_running_loop())
        looking = asyncio.gather(board.keep_looking(), _keep_beating(services.ledger, owner_id))
        try:
            yield broadcast(listener, board)
        finally:
            await asyncio.sleep(0)  # ends that a thread told are judged first
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            await asyncio.to_thread(stack.close)


def _asked(services: Services, job_hashes: Sequence[str]) -> _Watched:
    """Those of the jobs whose documents ask to be watched."""
    found = []
    for job_hash in dict.fromkeys(job_hashes):
        submission = next(iter(services.ledger.submissions(job_hash=job_hash)), None)
        if submission is not None and _MARK in submission.job:
            job = job_from_json(submission.job)
            if job.policy.watching is not None:
                found.append((submission, job, job.policy.watching))
    return found


def tell_undelivered(services: Services, job: Job, places: Sequence[str], *, since_ns: int) -> None:
    """Send what `on_output_error: {alert: true}` asks for, if the job does, of destinations that were not reached.

    Once per episode: of a place that was not reached before, since its result was made at `since_ns`, nothing more is
    told. Returns when the message left or was given up.
    """
    watching = job.policy.watching
    if watching is None or not watching.tells_undelivered:
        return
    with ExitStack() as stack:
        is_first = _FirstToTell(services.ledger, job.hash, _owner(services.ledger, None, stack), before={})
        new = [place for place in places if is_first(f"undelivered {place} {since_ns}", 1)]
        if new:
            outbox = stack.enter_context(Outbox(Channels(services.environment)))
            outbox.send(undelivered_message(_subject(services, job, None), new), watching.channels)


def _owner(ledger: Ledger, run_id: str | None, stack: ExitStack) -> int:
    """Who tells, until `stack` is closed: an owner of its own, alive as long as these jobs are watched."""
    owner_id = ledger.open_owner(this_process(run_id))
    stack.callback(ledger.close_owner, owner_id)
    return owner_id


async def _keep_beating(ledger: Ledger, owner_id: int) -> None:
    """A ledger that fails fails the calls too, and is told there."""
    while True:
        await asyncio.sleep(BEAT_EVERY_S)
        with suppress(LlmJobsError):
            await asyncio.to_thread(ledger.heartbeat, owner_id)


class _FirstToTell:
    """Whether this process tells about something of a job for the so-many-th time, not counting what was told `before`,
    or another does. Where the ledger cannot say so, it tells: twice is better than never."""

    def __init__(self, ledger: Ledger, job_hash: str, owner_id: int, *, before: Mapping[str, int]) -> None:
        self._ledger = ledger
        self._job_hash = job_hash
        self._owner_id = owner_id
        self._before = before

    def __call__(self, about: str, number: int) -> bool:
        name = hash_of(about)  # conditions and places are as long as somebody writes them
        before = self._before.get(name, 0)
        notice = Notice(job_hash=self._job_hash, about=name, number=before + number, owner_id=self._owner_id)
        try:
            return self._ledger.tell(notice)
        except LlmJobsError as error:
            LOG.warning("whether a message of job %s was sent is not known: %s", self._job_hash, error)
            return True


def _subject(services: Services, job: Job, run_id: str | None) -> Subject:
    page = services.environment.get(DAGSTER_URL)
    link = f"{page.rstrip('/')}/runs/{run_id}" if page and run_id else None
    return Subject(name=job.name, job_hash=job.hash, link=link or (run_id and f"Dagster run {run_id}"))


class _Opening:
    """Opens watchers, and on `stack` what they share."""

    def __init__(self, services: Services, tell: Listener, run_id: str | None, owner_id: int, stack: ExitStack) -> None:
        self._services = services
        self._tell = tell
        self._run_id = run_id
        self._owner_id = owner_id
        self._stack = stack
        self._outbox = stack.enter_context(Outbox(Channels(services.environment)))  # closed last
        self._telemetry = Telemetry.from_environment(services.environment)
        self._exporters: dict[Telemetry, Listener] = {}
        self._scrub = partial(without_secrets, environment=services.environment)

    def watchers(self, watched: _Watched) -> dict[str, JobWatcher]:
        """By job hash."""
        return {job.hash: self._watcher(submission, job, watching) for submission, job, watching in watched}

    def _watcher(self, submission: Submission, job: Job, watching: Watching) -> JobWatcher:
        ledger = self._services.ledger
        return JobWatcher(
            _subject(self._services, job, self._run_id),
            watching,
            figures=self._figures(submission, job),
            listeners=[*self._log(job, watching), *self._exporter(watching.monitoring)],
            tell=self._tell,
            outbox=self._outbox,
            models=frozenset(model.name for model in job.models),
            is_first=_FirstToTell(ledger, job.hash, self._owner_id, before=ledger.told(job.hash)),
        )

    def _figures(self, submission: Submission, job: Job) -> Figures:
        ledger, now_ns = self._services.ledger, self._services.clock.now_ns()
        submitted_ns = submission.submitted_ns or 0
        budget = budget_in_force(job, changes_of(ledger, job.hash), submitted_ns=submitted_ns)
        key = f"job:{job.hash}"
        spent = ledger.budget_state([key]).get(key, BudgetState()) if budget is not None else BudgetState()
        return Figures(budget=budget, spent_usd=spent.spent_usd, spent_tokens=spent.spent_tokens, spent_ns=now_ns)

    def _log(self, job: Job, watching: Watching) -> Iterator[Listener]:
        log, settings = watching.log, self._services.settings
        if log is None:
            return
        path = None
        if log.destination == "file":
            path = log_path(settings, log.path, name=job.name, job_hash=job.hash)
            if not may_hold_log(settings, path):  # what was allowed when the job was submitted is so no more
                LOG.error("job %s has no log: %s lies outside the allowed folders", job.hash, path)
                return
        yield self._stack.enter_context(job_logged(log, path=path, scrub=self._scrub))

    def _exporter(self, monitoring: Monitoring | None) -> Iterator[Listener]:
        """What shows the metrics of a job, where nothing that the environment switches on does."""
        if monitoring is None or not monitoring.is_exported:
            return
        own = self._telemetry
        if monitoring.push_url is not None and monitoring.push_url != own.push_url:
            yield self._listening(Telemetry(push_url=monitoring.push_url, push_every_s=own.push_every_s))
        elif monitoring.push_url is None and not own.counts:
            yield self._listening(Telemetry(metrics_ports=PORTS, metrics_address=own.metrics_address))

    def _listening(self, telemetry: Telemetry) -> Listener:
        if telemetry not in self._exporters:
            self._exporters[telemetry] = self._stack.enter_context(listening(telemetry, scrub=self._scrub))
        return self._exporters[telemetry]
