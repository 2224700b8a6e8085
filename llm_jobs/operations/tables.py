"""A job's table: inline rows, or its input as it was frozen when it was first read. The rows of a batch file are read
from the document as it was kept when the job was accepted."""

from __future__ import annotations

from dataclasses import replace
from glob import escape
from pathlib import Path

from llm_jobs.documents.job import Input, Job
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.keep import keep, short_name
from llm_jobs.operations.services import Services
from llm_jobs.sources.freeze import FrozenInput, freeze
from llm_jobs.sources.tables import Table, open_table


def job_table(services: Services, submission: Submission, job: Job, *, epoch_ns: int) -> Table:
    """The table of a job, frozen if it is read for the first time. Raises DocumentError where it is none."""
    if job.input.kind == "inline":
        return open_table(job.input)
    source = with_document(services, submission, job.input)
    return open_table(source, frozen(services, job, source, services.settings.inputs / job.hash, epoch_ns=epoch_ns))


def frozen(services: Services, job: Job, source: Input, folder: Path, *, epoch_ns: int) -> FrozenInput:
    """The input of a job, frozen in `folder` as its policy says. Raises DocumentError, or SetupError where a server
    cannot be used."""
    tolerant = job.policy.input_errors is not None and job.policy.input_errors.tolerates
    return freeze(source, folder, epoch_ns=epoch_ns, reach=services.reach, is_tolerant=tolerant)


def with_document(services: Services, submission: Submission, source: Input) -> Input:
    """`source` with the path of its document; from the ledger where another machine accepted it."""
    if source.kind != "batch":
        return source
    folder = services.settings.jobs / submission.job_hash
    kept = sorted(folder.glob(f"*_{escape(short_name(submission.document_name))}")) if folder.is_dir() else []
    path = kept[-1] if kept else keep(folder / _name(services, submission), submission.document)
    return replace(source, url=str(path))


def _name(services: Services, submission: Submission) -> str:
    return f"{services.clock.now_ns()}_{short_name(submission.document_name)}"
