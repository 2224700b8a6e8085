"""From what a user names to jobs: a document's file, or the name or hash of a job that was submitted before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.accept import NO_OVERRIDES, Overrides, accept, read_jobs
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.services import Services

Reader = Callable[[Path], list[Job]]


def read_named(services: Services, named: str, overrides: Overrides = NO_OVERRIDES) -> list[Job]:
    """The jobs that `named` means; writes nothing. Raises DocumentError or NotFound."""
    return _jobs(services, named, overrides, lambda path: read_jobs(services, path, overrides))


def accept_named(
    services: Services, named: Sequence[str], overrides: Overrides = NO_OVERRIDES, *, origin: str
) -> list[list[Job]]:
    """The jobs that each of `named` means, submitted: all of them, or none where one is refused.

    A job named by its name or hash alone is not submitted again. Raises DocumentError or NotFound.
    """
    if len(named) > 1:
        for each in named:
            read_named(services, each, overrides)

    def accepted(path: Path) -> list[Job]:
        return [each.job for each in accept(services, path, origin=origin, overrides=overrides)]

    return [_jobs(services, each, overrides, accepted) for each in named]


def submitted_as(services: Services, named: str) -> Submission:
    """The newest submission of the one job that `named` means. Raises DocumentError or NotFound."""
    path = services.working_directory / named
    if not path.is_file():
        return _submission(services, named)
    job = read_jobs(services, path, NO_OVERRIDES)[0]
    if submissions := services.ledger.submissions(job_hash=job.hash):
        return submissions[0]
    raise NotFound(
        f"{named} as it is now was never submitted (job {job.hash}); run it first: llm-jobs run {named}, or name the "
        "job: `llm-jobs status` lists them"
    )


def _jobs(services: Services, named: str, overrides: Overrides, read: Reader) -> list[Job]:
    path = services.working_directory / named
    if path.is_file():
        return read(path)
    submission = _submission(services, named)
    if overrides == NO_OVERRIDES:
        return [job_from_json(submission.job)]
    with _document(submission) as copy:
        return read(copy)


def _submission(services: Services, named: str) -> Submission:
    try:
        return find_job(services, named)
    except NotFound as error:
        raise NotFound(f"there is no file {named!r}, and {error}") from None


@contextmanager
def _document(submission: Submission) -> Iterator[Path]:
    """The document of a submission under its own name: other choices over it make another job."""
    with TemporaryDirectory(prefix="llm-jobs-") as folder:
        copy = Path(folder) / submission.document_name
        copy.write_bytes(submission.document)
        yield copy
