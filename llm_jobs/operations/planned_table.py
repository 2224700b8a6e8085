"""A job's table as a run of it would read it, for who only looks: what has to be frozen for that goes away again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from llm_jobs.documents.job import Job
from llm_jobs.operations.services import Services
from llm_jobs.operations.tables import frozen
from llm_jobs.sources.freeze import find_frozen
from llm_jobs.sources.tables import Table, open_table


@contextmanager
def planned_table(services: Services, job: Job, *, document: Path | None) -> Iterator[Table]:
    """The table of `job`; `document` is the file that it was read from, whose lines are the rows of a batch file.

    Raises DocumentError where the input is no table, InputChanged where it is another one than the job's.
    """
    if job.input.kind == "inline":
        yield open_table(job.input)
        return
    source = replace(job.input, url=str(document)) if job.input.kind == "batch" and document else job.input
    folder = services.settings.inputs / job.hash
    if (source.format == "parquet" and not source.files) or (folder.is_dir() and find_frozen(folder) is not None):
        yield open_table(source, frozen(services, job, source, folder, epoch_ns=0))  # it is there already
        return
    with TemporaryDirectory(prefix="llm-jobs-plan-") as temporary:
        yield open_table(source, frozen(services, job, source, Path(temporary), epoch_ns=0))
