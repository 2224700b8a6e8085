"""Put documents off until what they need is done: those with `depends_on`, and the jobs of a pipeline.

Everything about them that can be wrong is looked for now; only the table may still be missing, for another job may
write it. Raises before anything is recorded.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.documents.formats.pipeline_of_jobs import KEY, ParsedPipeline, PipelineJob
from llm_jobs.documents.identity import hash_of
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.launch_rules import OnPartial
from llm_jobs.documents.parsing import read_pipeline
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.operations.accept import parsed_documents, read_document
from llm_jobs.operations.deferred import Deferrals, Deferred, Tie, record_deferred
from llm_jobs.operations.dependencies import Standing
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.finding import document_in, document_names, named_document
from llm_jobs.operations.keep import keep, short_name
from llm_jobs.operations.locking import lock_path
from llm_jobs.operations.named import document_named
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.records import DeferredDocument
from llm_jobs.operations.services import Services

_MARKS = (b"depends_on", b"result_of", KEY.encode())  # a document without these words waits for nothing
_INPUT = "job.input"

Prepared = tuple[Deferred, bytes]


def defer(
    services: Services,
    path: Path,
    *,
    origin: str,
    deferrals: Deferrals | None = None,
) -> list[Deferred]:
    """Record the jobs of a document that wait for others, and what for; none where it waits for nothing. `deferrals`:
    of whoever takes in many.

    Raises DocumentError, NotFound or SetupError, and has then recorded nothing.
    """
    return put_off(services, prepare(services, path, origin=origin, deferrals=deferrals))


def prepare(
    services: Services,
    path: Path,
    *,
    origin: str,
    overrides: Overrides = NO_OVERRIDES,
    as_of_ns: int | None = None,
    details: Mapping[str, JsonValue] | None = None,
    deferrals: Deferrals | None = None,
) -> list[Prepared]:
    """What `defer` would record: each with its text. `details`: of the submission that each will be. Writes nothing.
    Raises as `defer`."""
    text = path.read_bytes()
    if not _may_wait(path, text):
        return []
    pipeline = read_pipeline(path.name, text, max_bytes=services.settings.max_document_bytes)
    writer = _Writer(services, origin, overrides, as_of_ns, details or {}, deferrals)
    if pipeline is None:
        return writer.of_document(path, text)
    if overrides != NO_OVERRIDES:
        raise DocumentError([_no_overrides(pipeline)])
    return writer.of_pipeline(pipeline, path)


def put_off(services: Services, prepared: Sequence[Prepared]) -> list[Deferred]:
    """Keep and record what was prepared."""
    for each, content in prepared:
        kept, lock = services.settings.home / each.kept, lock_path(Path(each.path))
        if lock.is_file():
            keep(lock_path(kept), lock.read_bytes())
        keep(kept, content)
        record_deferred(services, each)
    return [each for each, _ in prepared]


def told(deferred: Sequence[Deferred]) -> list[DeferredDocument]:
    return [DeferredDocument(document_name=each.document_name, name=each.name, needs=each.needs) for each in deferred]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The jobs of a document by name; those that wait for others have no hash yet."""

    names: tuple[str, ...]
    job_hashes: tuple[str, ...] = ()

    def facts(self) -> dict[str, object]:
        """The members of a line of `llm-jobs submit --json`."""
        waiting = {} if self.job_hashes else {"deferred": list(self.names)}
        return {"job_hashes": list(self.job_hashes), **waiting}


def check_pipeline(services: Services, named: str) -> Checked | None:
    """The jobs of the pipeline that `named` means; None where it means no pipeline. Writes nothing. Raises
    DocumentError, NotFound or SetupError."""
    path = document_named(services, named)
    if path is None or not _may_wait(path, text := path.read_bytes()):
        return None
    if read_pipeline(path.name, text, max_bytes=services.settings.max_document_bytes) is None:
        return None
    return check_document(services, path)


def check_document(services: Services, path: Path) -> Checked:
    """The jobs of a document or a pipeline; writes nothing. Raises as `prepare` and `read_document`."""
    if prepared := prepare(services, path, origin="check"):
        return Checked(names=tuple(each.name for each, _ in prepared))
    jobs = read_document(services, path).jobs
    return Checked(names=tuple(job.name for job in jobs), job_hashes=tuple(job.hash for job in jobs))


def _may_wait(path: Path, text: bytes) -> bool:
    """Does the document say that it waits for anything? A table of requests never does."""
    return path.suffix.lower() not in (".jsonl", ".ndjson") and any(mark in text for mark in _MARKS)


class _Writer:
    """Makes the records of one submission; writes nothing."""

    def __init__(
        self,
        services: Services,
        origin: str,
        overrides: Overrides,
        as_of_ns: int | None,
        details: Mapping[str, JsonValue],
        deferrals: Deferrals | None,
    ) -> None:
        self._services = services
        self._deferrals = deferrals
        self._origin = origin
        self._overrides = overrides
        self._as_of_ns = as_of_ns
        self._details = details
        self._who = getpass.getuser()

    def of_document(self, path: Path, text: bytes) -> list[Prepared]:
        parsed = parsed_documents(self._services, path, text, self._overrides)
        rules = parsed[0].policy.launch
        if not rules.depends_on:
            return []
        name = parsed[0].name
        if cycle := Standing(self._services, self._deferrals).cycle(name, rules.depends_on):
            at = ("job", "depends_on")
            raise DocumentError(
                [
                    parsed[0].problem(
                        at,
                        f"the jobs wait for each other: {' → '.join(cycle)}",
                        rule="a job starts when others are done, and never waits for itself",
                        remedy="remove one of the dependencies",
                    )
                ]
            )
        self._check(path, text, self._overrides)
        return [(self._deferred(name, path, text, rules.depends_on, rules.on_partial, None), text)]

    def of_pipeline(self, pipeline: ParsedPipeline, path: Path) -> list[Prepared]:
        identity = hash_of([pipeline.name, path.name, str(self._services.clock.now_ns())])
        made: list[Prepared] = []
        problems: list[Problem] = []
        for job in pipeline.jobs:
            try:
                made.append(self._member(pipeline, job, path, identity))
            except DocumentError as error:
                problems += error.problems
        if problems:
            raise DocumentError(problems)
        return made

    def _member(self, pipeline: ParsedPipeline, job: PipelineJob, path: Path, identity: str) -> tuple[Deferred, bytes]:
        at, text = self._document(pipeline, job, path)
        parsed = parsed_documents(self._services, at, text)
        rules = parsed[0].policy.launch
        needs = tuple(dict.fromkeys((*job.needs, *rules.depends_on)))
        self._check(at, text, NO_OVERRIDES, has_needs=bool(needs))
        tie = Tie(id=identity, name=pipeline.name, member=job.id)
        return self._deferred(parsed[0].name, at, text, needs, rules.on_partial, tie), text

    def _document(self, pipeline: ParsedPipeline, job: PipelineJob, path: Path) -> tuple[Path, bytes]:
        """Where a job's document lies and its text: beside the pipeline, kept under its name, or submitted before."""
        settings = self._services.settings
        beside = None if path.parent == settings.inbox else document_in(path.parent, job.name)
        found = beside or named_document(settings, job.name)
        if found is not None:
            return found, found.read_bytes()
        try:
            submission = find_job(self._services, job.name)
        except NotFound:
            raise DocumentError([self._unknown(pipeline, job)]) from None
        return settings.documents / submission.document_name, submission.document

    def _unknown(self, pipeline: ParsedPipeline, job: PipelineJob) -> Problem:
        names = document_names(self._services.settings)
        return pipeline.source.problem(
            job.at,
            f"there is no document named {job.name!r}",
            rule="looked for beside the pipeline, in documents/ and recurring/ of the home folder, in examples/, and "
            "among the jobs that were submitted",
            remedy=did_you_mean(job.name, names, otherwise="put the document into documents/"),
        )

    def _check(self, path: Path, text: bytes, overrides: Overrides, *, has_needs: bool = True) -> None:
        """Raise where the document cannot become a job; what it needs may still have to write its table."""
        try:
            read_document(self._services, path, overrides, text=text)
        except DocumentError as error:
            problems = [each for each in error.problems if not (has_needs and (each.key or "").startswith(_INPUT))]
            if problems:
                raise DocumentError(problems) from None

    def _deferred(
        self, name: str, path: Path, text: bytes, needs: tuple[str, ...], on_partial: OnPartial, tie: Tie | None
    ) -> Deferred:
        now_ns = self._services.clock.now_ns()
        identity = hash_of([name, path.name, text.decode(errors="replace"), str(now_ns)])
        home = self._services.settings.home
        kept = self._services.settings.jobs / identity / f"{now_ns}_{short_name(path.name)}"
        return Deferred(
            id=identity,
            name=name,
            document_name=path.name,
            path=str(path),
            kept=str(kept.relative_to(home)),
            needs=needs,
            on_partial=on_partial,
            origin=self._origin,
            submitter=self._who,
            as_of_ns=self._as_of_ns,
            overrides=self._overrides,
            tie=tie,
            details=self._details,
        )


def _no_overrides(pipeline: ParsedPipeline) -> Problem:
    return pipeline.source.problem(
        (KEY,),
        "a pipeline takes no --model, --profile, --param, --input, --epoch or --concurrency",
        rule="they are of one job",
        remedy="write them in the documents of its jobs, or run a job by itself",
    )
