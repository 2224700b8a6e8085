"""Accept documents: parse, freeze into jobs, keep the text, record who submitted it. Nothing is spent here.

Accepting is idempotent: the same document again is one more submission of the same job. The document is kept before
the submission is recorded, so that a kill in between leaves a file too many and never a row without its document.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from llm_jobs.documents.destinations import delivery_key
from llm_jobs.documents.frozen import job_to_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.conditions import check_connections
from llm_jobs.operations.inputs import dated
from llm_jobs.operations.keep import keep, short_name
from llm_jobs.operations.locking import check_models, lock_of, lock_path, under_lock
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.placing import setup_error
from llm_jobs.operations.recency import run_due
from llm_jobs.operations.resolve import resolve
from llm_jobs.operations.services import Services
from llm_jobs.operations.templates import kept_text
from llm_jobs.operations.watchers_places import check_channels, check_log


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    job: Job
    submission_id: int
    document_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadDocument:
    """A document that was found good: its file's name, its text, the jobs that it describes, the lock that it was
    read under, and what each job was before it was resolved, with the lines of its text."""

    name: str
    text: bytes
    jobs: tuple[Job, ...]
    lock: bytes | None = None
    parsed: tuple[ParsedDocument, ...] = field(default=(), compare=False, repr=False)


OUTPUTS = "outputs"  # a submission's detail: the keys of its destinations, so that nobody has to read the job for them


def read_jobs(services: Services, path: Path, overrides: Overrides) -> list[Job]:
    """The jobs that a document describes, frozen; writes nothing. Raises DocumentError with all that is wrong."""
    return list(read_document(services, path, overrides).jobs)


def read_document(
    services: Services,
    path: Path,
    overrides: Overrides = NO_OVERRIDES,
    *,
    as_of_ns: int | None = None,
    text: bytes | None = None,
    locked_beside: Path | None = None,
) -> ReadDocument:
    """The same with the document's text, for `record`. `as_of_ns`: which time queries and APIs are read as of, where
    that is not for `inputs.dated` to find. `text`: the document's, where it is no longer what lies at `path`; its lock
    then lies beside `locked_beside`, if it has one."""
    locked_beside = path if text is None else locked_beside
    lock = None if locked_beside is None else lock_of(locked_beside)
    services = under_lock(services, lock, path)
    text = path.read_bytes() if text is None else text
    parsed = parsed_documents(services, path, text, overrides)
    for document in parsed:
        check_log(services.settings, document)
    jobs = [resolve(services, document, path=path, concurrency=overrides.concurrency) for document in parsed]
    check_models(lock, jobs, path)
    asked = tuple(run_due(services, dated(services, job, document_name=path.name, as_of_ns=as_of_ns)) for job in jobs)
    kept = kept_text(services, path.name, text, overrides.parameters)
    lock_text = lock_path(locked_beside).read_bytes() if lock is not None and locked_beside is not None else None
    return ReadDocument(name=path.name, text=kept, jobs=asked, lock=lock_text, parsed=tuple(parsed))


def parsed_documents(
    services: Services, path: Path, text: bytes, overrides: Overrides = NO_OVERRIDES
) -> list[ParsedDocument]:
    """What a document says, before any file or model that it names is looked at. Raises DocumentError."""
    return parse_document(
        path.name,
        text,
        profile=overrides.profile,
        parameters=overrides.parameters,
        input_override=overrides.input,
        epoch=overrides.epoch,
        models=overrides.models,
        environment=services.environment,
        stacks=services.stacks.get,
        max_bytes=services.settings.max_document_bytes,
    )


def accept(
    services: Services, path: Path, *, origin: str, overrides: Overrides = NO_OVERRIDES, as_of_ns: int | None = None
) -> list[Accepted]:
    """Accept one document; returns its jobs. Raises DocumentError before anything is recorded."""
    read = read_document(services, path, overrides, as_of_ns=as_of_ns)
    return record(services, read, origin=origin, as_of_ns=as_of_ns)


def check_conditions(services: Services, document: ReadDocument) -> None:
    """Raise SetupError where a condition names a connection that is not there."""
    for job, parsed in zip(document.jobs, document.parsed, strict=True):
        with _told_at(parsed, "conditions"):
            check_connections(services, job.policy.launch)


def _check_alerts(services: Services, document: ReadDocument) -> None:
    """Raise SetupError or DocumentError where an alert could not be sent from here, or may not be."""
    for job, parsed in zip(document.jobs, document.parsed, strict=True):
        with _told_at(parsed, "alerts"):
            check_channels(services, job)


@contextmanager
def _told_at(document: ParsedDocument, key: str) -> Iterator[None]:
    """What is raised within is told with the place of a key of the job."""
    at = ("job", key)
    try:
        yield
    except SetupError as error:
        raise setup_error(document, at, error) from None
    except DocumentError as error:
        told = [document.problem(at, each.what, rule=each.rule, remedy=each.remedy) for each in error.problems]
        raise DocumentError(told) from None


def record(
    services: Services,
    document: ReadDocument,
    *,
    origin: str,
    as_of_ns: int | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> list[Accepted]:
    """Keep a document that was read, and record that it was submitted. `details`: what brought that about. Raises
    SetupError where an alert of it could not be sent, or a condition names a connection that is not there."""
    [accepted] = record_all(services, [document], origin=origin, as_of_ns=as_of_ns, details=details)
    return accepted


def record_all(
    services: Services,
    documents: Sequence[ReadDocument],
    *,
    origin: str,
    as_of_ns: int | None = None,
    details: Mapping[str, JsonValue] | None = None,
) -> list[list[Accepted]]:
    """The same of several documents: of all, or of none where it raises."""
    for document in documents:
        _check_alerts(services, document)
        check_conditions(services, document)
    return [_recorded(services, document, origin, as_of_ns, details or {}) for document in documents]


def _recorded(
    services: Services, document: ReadDocument, origin: str, as_of_ns: int | None, details: Mapping[str, JsonValue]
) -> list[Accepted]:
    for job in document.jobs:
        kept = services.settings.jobs / job.hash / f"{services.clock.now_ns()}_{short_name(document.name)}"
        if document.lock is not None:
            keep(lock_path(kept), document.lock)
        keep(kept, document.text)
    ids = services.ledger.submit(
        [
            replace(
                _submission(job, document.name, document.text, origin, as_of_ns),
                details={**details, OUTPUTS: [delivery_key(output) for output in job.policy.outputs]},
            )
            for job in document.jobs
        ]
    )
    return [
        Accepted(job=job, submission_id=submission_id, document_name=document.name)
        for job, submission_id in zip(document.jobs, ids, strict=True)
    ]


def _submission(job: Job, document_name: str, text: bytes, origin: str, as_of_ns: int | None) -> Submission:
    return Submission(
        job_hash=job.hash,
        name=job.name,
        document_name=document_name,
        document=text,
        job=job_to_json(job),
        submitter=getpass.getuser(),
        origin=origin,
        version=job.policy.version,
        labels=job.policy.labels,
        as_of_ns=job.input.as_of_ns or as_of_ns,
    )
