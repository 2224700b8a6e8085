"""The Python API: one document or job, run in this process without Dagster, in scripts and notebooks alike.

    result = JobExecutor("reviews.yaml", model="openai/gpt-4.1-mini").run()
    result.to_pandas()

An entry point: it reads the environment and the working directory when it runs. Callbacks: `start()`,
`progress(percent)`, `complete(result)`, `error(error)`. `progress` is called from another thread, at most once per
whole percent. What a callback raises is raised by `run` once the result is safe.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError, LlmJobsError, NotFound, Problem
from llm_jobs.events import Event, Listener, broadcast
from llm_jobs.observability.progress import Progress
from llm_jobs.operations.accept import record
from llm_jobs.operations.named import check_starts_at_once, read_named
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.preflight import check_environment
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs, run_jobs_async
from llm_jobs.operations.services import Services, open_services
from llm_jobs.operations.telemetry import telemetry_of
from llm_jobs.results.base import ResultStore
from llm_jobs.results.single import read_result
from llm_jobs.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from llm_jobs.results.reading import Table

EventName = Literal["start", "progress", "complete", "error"]
EVENTS: tuple[EventName, ...] = ("start", "progress", "complete", "error")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult(JobReport):
    """A job's report, and its rows. `status` is done, partial or failed, or waiting where a vendor's batch has not
    ended; a failed row is a row with a reason."""

    store: ResultStore = field(repr=False, compare=False)

    def to_arrow(self) -> Table:
        """The result as a table: input columns, outputs, then the facts with the prefix `llm_`. Raises NotFound."""
        if self.result is None:
            raise NotFound(f"job {self.job_hash} ({self.name}) has no result: {self.error}")
        return read_result(self.store, self.store.relative(self.result)).read_all()

    def to_pandas(self) -> pd.DataFrame:
        """The same as a DataFrame. Raises NotFound."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame


class JobExecutor:
    """Runs one document, or a job that was submitted before, and waits for it."""

    def __init__(
        self,
        name_or_path: str | os.PathLike[str],
        *,
        home: str | os.PathLike[str] | None = None,
        model: str | None = None,
        profile: str | None = None,
        parameters: Mapping[str, JsonValue] | None = None,
        input: str | os.PathLike[str] | None = None,  # the word of the command line
        epoch: str | None = None,
        concurrency: int | None = None,
        ignore_conditions: bool = False,
    ) -> None:
        """`home`: the home folder, else as the command line finds it. `ignore_conditions`: start at once, whatever the
        `conditions` and `depends_on` of the document say; without it, such a document is refused, for nothing here
        waits. The rest is what `llm-jobs run` takes."""
        self._named = os.fspath(name_or_path)
        self._ignore_conditions = ignore_conditions
        self._home = home
        self._overrides = Overrides(
            models=() if model is None else (model,),
            profile=profile,
            parameters=dict(parameters or {}),
            input=None if input is None else os.fspath(input),
            epoch=epoch,
            concurrency=concurrency,
        )
        self._callbacks: dict[EventName, list[Callable[..., object]]] = {event: [] for event in EVENTS}

    def on(self, event: EventName, callback: Callable[..., object]) -> Self:
        """Have `callback` called at `start`, `progress` (with the percent), `complete` (with the result) or `error`
        (with the exception). Returns itself."""
        if event not in self._callbacks:
            problem = Problem(
                what="there is no such event", value=event, rule=f"one of {', '.join(EVENTS)}", remedy="choose one"
            )
            raise DocumentError([problem])
        self._callbacks[event].append(callback)
        return self

    def run(self) -> JobResult:
        """Run the job and return its result. Works where an event loop is running, too.

        Raises DocumentError, NotFound or SetupError before anything is spent.
        """
        with self._telling() as teller, self._opened() as (services, telemetry):
            job_hash = self._accepted(services)
            teller.start()
            [report] = run_jobs(services, [job_hash], listener=broadcast(teller, telemetry))
            result = _result(services, report)
            teller.complete(result)
        return result

    def _accepted(self, services: Services) -> str:
        """The hash of the job, submitted."""
        read = read_named(services, self._named, self._overrides)
        if not self._ignore_conditions:
            check_starts_at_once(read)
        if read.document is not None:
            record(services, read.document, origin="python")
        check_environment(services, read.jobs)
        return read.jobs[0].hash

    @contextmanager
    def _opened(self) -> Iterator[tuple[Services, Listener]]:
        environment: Mapping[str, str] = os.environ
        if self._home is not None:
            environment = {**environment, "LLM_JOBS_HOME": os.fspath(self._home)}
        folder = Path.cwd()
        settings = Settings.from_environment(environment, working_directory=folder)
        with (
            telemetry_of(environment) as telemetry,
            open_services(settings, environment=environment, working_directory=folder) as services,
        ):
            yield services, telemetry

    @contextmanager
    def _telling(self) -> Iterator[_Teller]:
        teller = _Teller(self._callbacks)
        try:
            yield teller
        except LlmJobsError as error:
            teller.failed(error)
            raise
        teller.raise_late()


class AsyncJobExecutor(JobExecutor):
    """The same for a running event loop, which it does not block."""

    async def run_async(self) -> JobResult:
        """Run the job and return its result. Cancelling stops sending; what was answered is kept. Raises as `run`."""
        with self._telling() as teller:
            opened = self._opened()
            services, telemetry = await asyncio.to_thread(opened.__enter__)
            try:
                job_hash = await asyncio.to_thread(self._accepted, services)
                teller.start()
                listener = broadcast(teller, telemetry)
                async with aclosing(run_jobs_async(services, [job_hash], listener=listener)) as reports:
                    result = _result(services, await anext(reports))
                teller.complete(result)
            finally:
                opened.__exit__(None, None, None)
        return result


class _Teller:
    """Calls the callbacks. A callback that raises stops nothing: the first such error is kept for the end."""

    def __init__(self, callbacks: Mapping[EventName, list[Callable[..., object]]]) -> None:
        self._callbacks = callbacks
        self._progress = Progress()
        self.wants = self._progress.wants
        self._told_percent = -1
        self._late: Exception | None = None

    def __call__(self, event: Event) -> None:
        self._progress(event)
        percent = self._progress.percent
        if percent is not None and self._progress.jobs_started and int(percent) > self._told_percent:
            self._told_percent = int(percent)
            self._call("progress", self._told_percent)

    def start(self) -> None:
        self._call("start")

    def complete(self, result: JobResult) -> None:
        if result.result is None and result.status != "waiting":
            self._call("error", LlmJobsError(result.error or "the job has no result"))
            return
        if self._told_percent < 100 and result.status != "waiting":
            self._told_percent = 100
            self._call("progress", 100)
        self._call("complete", result)

    def failed(self, error: LlmJobsError) -> None:
        self._call("error", error)

    def raise_late(self) -> None:
        if self._late is not None:
            raise self._late

    def _call(self, event: EventName, *arguments: object) -> None:
        for callback in self._callbacks[event]:
            try:
                callback(*arguments)
            except Exception as error:  # noqa: BLE001 - the user's own code; raised again by `raise_late`
                self._late = self._late or error


def _result(services: Services, report: JobReport) -> JobResult:
    members: dict[str, Any] = {member.name: getattr(report, member.name) for member in fields(report)}
    return JobResult(**members, store=services.store)
