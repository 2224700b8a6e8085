"""A job's table: inline rows, or its input as it was frozen when it was first read. The rows of a batch file are read
from the document as it was kept when the job was accepted."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from llm_jobs.documents.job import Input, Job
from llm_jobs.errors import DocumentError, Problem, SetupError
from llm_jobs.events import InputRowsUnreadable, Listener
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.keep import keep, newest_kept, short_name
from llm_jobs.operations.services import Services
from llm_jobs.sources.freeze import FrozenInput, freeze
from llm_jobs.sources.reach import Reach
from llm_jobs.sources.tables import Table, open_table

LOG = logging.getLogger(__name__)
FIRST_WAIT_S = 1.0  # before a server is tried again; each wait is twice the one before


def job_table(services: Services, submission: Submission, job: Job, *, epoch_ns: int) -> Table:
    """The table of a job, frozen if it is read for the first time. Raises DocumentError where it is none."""
    if job.input.kind == "inline":
        return open_table(job.input)
    source = with_document(services, submission, job.input)
    return open_table(source, frozen(services, job, source, services.settings.inputs / job.hash, epoch_ns=epoch_ns))


def frozen(
    services: Services, job: Job, source: Input, folder: Path, *, epoch_ns: int, reach: Reach | None = None
) -> FrozenInput:
    """The input of a job, frozen in `folder` as its policy says. Raises DocumentError, or SetupError where a server
    cannot be used."""
    reach = reach or services.reach
    errors = job.policy.input_errors
    retries = errors.max_retries if errors is not None and errors.strategy == "retry" else 0
    is_tolerant = errors is not None and errors.tolerates
    for tried in range(retries + 1):
        try:
            read = freeze(source, folder, epoch_ns=epoch_ns, reach=reach, is_tolerant=is_tolerant)
            return read if is_tolerant else _whole(read)
        except SetupError:
            if tried == retries:
                raise
            reach.sleep(FIRST_WAIT_S * 2**tried)
    raise AssertionError


def _whole(read: FrozenInput) -> FrozenInput:
    """A table that was read while its job tolerated bad rows, for one that does not any more."""
    if read.bad_rows:
        problem = Problem(
            what=f"rows of the table that cannot be read: {read.bad_rows}, the first: {read.bad_row}",
            rule="the document does not say what becomes of them",
            remedy="correct the input, or write error_handling: {on_input_error: {strategy: skip}}",
        )
        raise DocumentError([problem])
    return read


def tell_bad_rows(job: Job, table: Table, emit: Listener) -> None:
    """Say how many rows could not be read, as the job asks. Each is in the result with its own reason."""
    errors = job.policy.input_errors
    if errors is None or not table.bad_rows:
        return
    emit(InputRowsUnreadable(job.hash, job.name, table.bad_rows, table.bad_row or "", errors.alerts))
    if errors.log:
        LOG.warning("job %s: rows that could not be read: %s, the first: %s", job.name, table.bad_rows, table.bad_row)


def with_document(services: Services, submission: Submission, source: Input) -> Input:
    """`source` with the path of its document; from the ledger where another machine accepted it."""
    if source.kind != "batch":
        return source
    folder = services.settings.jobs / submission.job_hash
    path = newest_kept(folder, submission.document_name)
    if path is None:
        name = f"{services.clock.now_ns()}_{short_name(submission.document_name)}"
        path = keep(folder / name, submission.document)
    return replace(source, url=str(path))
