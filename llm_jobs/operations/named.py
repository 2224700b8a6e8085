"""From what a user names to jobs: a document's file, a document that is kept under a name, or the name or hash of a job
that was submitted before.

A name is looked for in this order: a file, the home folder's `documents/` and `recurring/`, the jobs that were
submitted, `examples/`. A kept document comes before the jobs that were made of it, so that editing it has effect.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.accept import ReadDocument, read_document, record_all
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.finding import document_names, example_document, kept_document
from llm_jobs.operations.keep import newest_kept
from llm_jobs.operations.locking import lock_path
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.recency import run_before
from llm_jobs.operations.services import Services
from llm_jobs.operations.tables import with_document


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """The jobs that a user named. `document` is to be recorded; None: they are submitted already."""

    jobs: tuple[Job, ...]
    document: ReadDocument | None
    path: Path | None  # where the document lies, as far as its jobs need it


def read_named(services: Services, named: str, overrides: Overrides = NO_OVERRIDES) -> Named:
    """The jobs that `named` means; records nothing. Raises DocumentError or NotFound."""
    path = document_named(services, named)
    if path is not None:
        document = read_document(services, path, overrides)
        return Named(jobs=document.jobs, document=document, path=path)
    submission = _submission(services, named)
    if overrides != NO_OVERRIDES:
        with _copy(services, submission) as copy:
            document = read_document(services, copy, overrides)
        return Named(jobs=document.jobs, document=document, path=None)
    job = job_from_json(submission.job)
    url = with_document(services, submission, job.input).url
    return Named(jobs=(job,), document=None, path=Path(url) if url and job.input.kind == "batch" else None)


def check_starts_at_once(named: Named) -> None:
    """Raise DocumentError where a job of these waits for conditions or for other jobs."""
    for job in named.jobs:
        rules = job.policy.launch
        if not (rules.depends_on or rules.has_conditions):
            continue
        key = "depends_on" if rules.depends_on else "conditions"
        what = f"the job {job.name} does not start at once: it has {key}"
        rule = "what runs a job in this process waits for nothing"
        remedy = "start it with `llm-jobs run`, which waits, or say ignore_conditions=True"
        parsed = next(iter(named.document.parsed), None) if named.document is not None else None
        if parsed is None:
            raise DocumentError([Problem(what=what, key=key, rule=rule, remedy=remedy)])
        raise DocumentError([parsed.problem(("job", key), what, rule=rule, remedy=remedy)])


def document_named(services: Services, named: str) -> Path | None:
    """The document that `named` means; None: it is a job that was submitted, or nothing at all."""
    path = services.working_directory / named
    if path.is_file():
        return path
    if kept := kept_document(services.settings, named):
        return kept
    example = example_document(services.settings, named)
    return None if example is None or _is_submitted(services, named) else example


def _is_submitted(services: Services, named: str) -> bool:
    try:
        find_job(services, named)
    except NotFound:
        return False
    return True


def accept_named(
    services: Services, named: Sequence[str], overrides: Overrides = NO_OVERRIDES, *, origin: str
) -> list[tuple[Job, ...]]:
    """The jobs that each of `named` means, submitted: all of them, or none where one is refused.

    A job that is named by its name or hash alone is not submitted again. Raises DocumentError or NotFound.
    """
    read = [read_named(services, each, overrides) for each in named]
    record_all(services, [each.document for each in read if each.document is not None], origin=origin)
    return [each.jobs for each in read]


def submission_named(services: Services, named: str) -> Submission:
    """A submission of the first job that `named` means, the newest that has a result if one has.

    Raises DocumentError or NotFound.
    """
    if not (services.working_directory / named).is_file():
        return _submission(services, named, answered=True)
    job = read_named(services, named).jobs[0]
    for run in (job, run_before(job)):
        if submissions := services.ledger.submissions(job_hash=run.hash):
            return submissions[0]
    raise NotFound(
        f"{named} as it is now was never submitted (its job would be {job.hash}); run it: llm-jobs run {named}, or "
        "name a job: `llm-jobs status` lists them"
    )


def _submission(services: Services, named: str, *, answered: bool = False) -> Submission:
    try:
        return find_job(services, named, answered=answered)
    except NotFound as error:
        kept = did_you_mean(named, document_names(services.settings), otherwise="")
        hint = f"; among the documents that are kept, {kept}" if kept else ""
        raise NotFound(f"there is no file {named!r}, and {error}{hint}") from None


@contextmanager
def _copy(services: Services, submission: Submission) -> Iterator[Path]:
    """The document of a submission under its own name, with the lock that it was kept with: other choices over it make
    another job."""
    with TemporaryDirectory(prefix="llm-jobs-") as folder:
        copy = Path(folder) / submission.document_name
        copy.write_bytes(submission.document)
        kept = services.settings.jobs / submission.job_hash
        newest = newest_kept(kept, submission.document_name)
        if newest is not None and lock_path(newest).is_file():
            lock_path(copy).write_bytes(lock_path(newest).read_bytes())
        yield copy
