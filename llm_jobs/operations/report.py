"""A job's newest result as one HTML page: figures, plots, and its rows with prompt, input and answer.

A page shows the first rows of each status, failures first, so that it stays small however large the result is. Memory:
some 50 bytes per row of the result, and a few row groups.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from llm_jobs.errors import NotFound
from llm_jobs.files import Draft
from llm_jobs.ledger.base import Submission
from llm_jobs.observability.report_model import Group, Report, ReportedRow
from llm_jobs.observability.report_page import page
from llm_jobs.operations.report_faces import face
from llm_jobs.operations.report_plots import plots
from llm_jobs.operations.report_sides import Sheet, side
from llm_jobs.operations.services import Services
from llm_jobs.results.over_time import over_time
from llm_jobs.results.rows_at import open_rows
from llm_jobs.results.single import read_result
from llm_jobs.results.survey import survey

LIMIT = 200  # rows of each status
MODE = 0o644
AT_ONCE = 64  # rows held while the page is written


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenReport:
    """A page in its place. `rows` are those of the result (or of both), `shown` those on the page."""

    path: Path
    rows: int
    shown: int


def sheet_of(services: Services, submission: Submission) -> Sheet:
    """The newest result of a job. Raises NotFound where it has none."""
    records = services.ledger.results([submission.job_hash]).get(submission.job_hash, ())
    if not records:
        raise NotFound(
            f"job {submission.job_hash} ({submission.name}) has no result yet; run it: llm-jobs run "
            f"{submission.job_hash[:12]}"
        )
    return Sheet.of(submission, records[0], read_result(services.store, records[0].path).schema.names)


@contextmanager
def report_of(services: Services, submission: Submission, *, limit: int = LIMIT) -> Iterator[Report]:
    """The report about a job, its rows to be read before it closes. Raises NotFound."""
    sheet = sheet_of(services, submission)
    found = survey(services.store, sheet.record.path)
    picked = {status: found.numbers(status, limit) for status in found.statuses()}
    groups = [Group(name=name, rows=rows, shown=len(picked[name])) for name, rows in found.statuses().items()]
    drawn = plots({sheet.submission.name: found}, over_time(services.store, sheet.record.path))
    numbers = [(status, number) for status, each in picked.items() for number in each]
    with open_rows(services.store, sheet.record.path) as rows:
        taken = ((place, rows.take([number for _, number in place])) for place in _chunks(numbers))
        yield Report(
            jobs=[face(services, sheet, found)],
            groups=groups,
            plots=drawn,
            rows=(
                ReportedRow(
                    group=status,
                    inputs={name: row[name] for name in sheet.inputs},
                    sides=[side(services, sheet, number, row)],
                )
                for places, each in taken
                for (status, number), row in zip(places, each, strict=True)
                if row is not None
            ),
        )


def write_report(report: Report, target: Path) -> WrittenReport:
    """Write the page to `target`, which must not exist. Raises ImmutableError."""
    draft = Draft(target)
    try:
        with draft.path.open("wb") as stream:
            _write(report, stream)
        draft.sync()
        draft.publish(mode=MODE)
    finally:
        draft.discard()
    return _written(report, target)


def keep_report(services: Services, report: Report) -> WrittenReport:
    """Keep the page in the home folder, as `reports/<job hash>/<epoch of the result>.html`.

    A page of the same bytes is kept once. Another page about the same result (more rows, another program) has a name
    of its own, with the beginning of its SHA-256.
    """
    folder = services.settings.reports / report.jobs[0].job_hash
    with TemporaryFile() as draft:
        digest = _write(report, draft)
        for name in (f"{report.jobs[0].epoch_ns}.html", f"{report.jobs[0].epoch_ns}-{digest[:16]}.html"):
            if not _holds_another(folder / name, digest):
                break
        if not (folder / name).exists():
            draft.seek(0)
            _keep(draft, folder / name)
    return _written(report, folder / name)


def _holds_another(path: Path, digest: str) -> bool:
    if not path.exists():
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() != digest


def _keep(content: BinaryIO, target: Path) -> None:
    draft = Draft(target)
    try:
        with draft.path.open("wb") as stream:
            shutil.copyfileobj(content, stream)
        draft.sync()
        draft.publish()
    finally:
        draft.discard()


def _write(report: Report, stream: BinaryIO) -> str:
    """The SHA-256 of what was written."""
    digest = hashlib.sha256()
    for piece in page(report):
        stream.write(piece)
        digest.update(piece)
    return digest.hexdigest()


def _written(report: Report, target: Path) -> WrittenReport:
    rows, shown = (sum(getattr(group, name) for group in report.groups) for name in ("rows", "shown"))
    return WrittenReport(path=target, rows=rows, shown=shown)


def _chunks(numbers: Iterable[tuple[str, int]]) -> Iterator[Sequence[tuple[str, int]]]:
    remaining = iter(numbers)
    while chunk := list(islice(remaining, AT_ONCE)):
        yield chunk
