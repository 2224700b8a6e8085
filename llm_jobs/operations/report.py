"""A job's newest result as one HTML page: figures, plots, and its rows with prompt, input and answer; or two jobs'.

A page shows the first rows of each status, failures first, so that it stays small however large the result is. Memory:
some 50 bytes per row of the result, and a few row groups; for two jobs that of `compare` as well.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from llm_jobs.errors import ImmutableError, LlmJobsError
from llm_jobs.files import Draft
from llm_jobs.ledger.base import Submission
from llm_jobs.observability.report_model import Group, Report, ReportedRow
from llm_jobs.observability.report_page import page
from llm_jobs.operations.compare import DIFFERS, SAME, Comparison, compare
from llm_jobs.operations.report_faces import face
from llm_jobs.operations.report_plots import plots
from llm_jobs.operations.report_sides import Sides
from llm_jobs.operations.run import newest_submission
from llm_jobs.operations.services import Services
from llm_jobs.operations.sheets import Sheet, sheet_of
from llm_jobs.results.over_time import over_time
from llm_jobs.results.rows_at import RowsAt, open_rows
from llm_jobs.results.survey import survey

LOG = logging.getLogger(__name__)
LIMIT = 200  # rows of each status
LINKED_LIMIT = 50  # of pages that every run makes
MODE = 0o644
AT_ONCE = 64  # rows held while the page is written


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenReport:
    """A page in its place. `rows` are those of the result (or of both), `shown` those on the page."""

    path: Path
    rows: int
    shown: int


@contextmanager
def report_of(services: Services, submission: Submission, *, limit: int = LIMIT) -> Iterator[Report]:
    """The report about a job, its rows to be read before it closes. Raises NotFound."""
    sheet = sheet_of(services, submission)
    found = survey(services.store, sheet.record.path)
    picked = {status: found.numbers(status, limit) for status in found.statuses()}
    with open_rows(services.store, sheet.record.path) as rows:
        yield Report(
            jobs=[face(services, sheet, found)],
            groups=[Group(name=each, rows=count, shown=len(picked[each])) for each, count in found.statuses().items()],
            plots=plots({sheet.submission.name: found}, over_time(services.store, sheet.record.path)),
            rows=_rows(services, sheet, rows, [(status, each) for status, those in picked.items() for each in those]),
        )


def _rows(services: Services, sheet: Sheet, rows: RowsAt, picked: Sequence[tuple[str, int]]) -> Iterator[ReportedRow]:
    """The rows that were picked, by status and number."""
    sides = Sides(services, sheet)
    for start in range(0, len(picked), AT_ONCE):
        places = picked[start : start + AT_ONCE]
        taken = rows.take([number for _, number in places])
        sides.ahead({number: row for (_, number), row in zip(places, taken, strict=True) if row is not None})
        for (status, number), row in zip(places, taken, strict=True):
            if row is not None:
                inputs = {name: row[name] for name in sheet.inputs}
                yield ReportedRow(group=status, inputs=inputs, sides=[sides.of(number, row)])


@contextmanager
def report_against(
    services: Services, first: Submission, second: Submission, *, on: Sequence[str] = (), limit: int = LIMIT
) -> Iterator[Report]:
    """The report about two jobs side by side, what differs first. Raises as `compare`."""
    comparison = compare(services, [first, second], on=on)
    places = _places(comparison)
    picked = {outcome: list(islice(each, limit)) for outcome, each in places.items()}
    surveys = [survey(services.store, sheet.record.path) for sheet in comparison.sheets]
    faces = [face(services, sheet, found) for sheet, found in zip(comparison.sheets, surveys, strict=True)]
    yield Report(
        jobs=[replace(each, name=label) for each, label in zip(faces, comparison.labels, strict=True)],
        groups=[Group(name=each, rows=len(those), shown=len(picked[each])) for each, those in places.items()],
        plots=plots(dict(zip(comparison.labels, surveys, strict=True)), ()),
        notes=[_matched_by(comparison)],
        rows=_pairs(services, comparison, picked),
    )


def _places(comparison: Comparison) -> dict[str, Sequence[int]]:
    """Places by outcome: those that differ first, the same ones last."""
    found: dict[str, array[int]] = {}
    for each in comparison.read():
        found.setdefault(comparison.outcome(each), array("q")).append(each.place)
    return dict(sorted(found.items(), key=lambda each: (each[0] == SAME, each[0] != DIFFERS, each[0])))


def _matched_by(comparison: Comparison) -> str:
    on = ", ".join(comparison.matching.on)
    return f"Rows match by {on}." if on else "The jobs have no table: the first row matches the first, and so on."


def _pairs(services: Services, comparison: Comparison, picked: Mapping[str, Sequence[int]]) -> Iterator[ReportedRow]:
    sides = [Sides(services, sheet) for sheet in comparison.sheets]
    for outcome, places in picked.items():
        for each in comparison.read(names=[None, None], places=places, at_once=AT_ONCE):
            there = next(place for place, row in enumerate(each.rows) if row is not None)
            row = each.rows[there] or {}
            yield ReportedRow(
                group=outcome,
                inputs={name: row[name] for name in comparison.sheets[there].inputs},
                sides=[
                    None if row is None or number is None else made.of(number, row)
                    for made, number, row in zip(sides, each.numbers, each.rows, strict=True)
                ],
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
    of its own, with its SHA-256.
    """
    folder = services.settings.reports / report.jobs[0].job_hash
    with TemporaryFile() as draft:
        digest = _write(report, draft)
        epoch_ns = report.jobs[0].epoch_ns
        for name in (f"{epoch_ns}.html", f"{epoch_ns}-{digest}.html"):
            if _kept(draft, folder / name, digest):
                break
    return _written(report, folder / name)


def linked_report(services: Services, job_hash: str) -> str | None:
    """Keep a small page about the newest result of a job, for the metadata of its materialisation; returns its path.

    None where previews are off: then nothing of a row leaves the results. None, and a warning in the log, where it
    cannot be made: what was paid for is in the result, and no run fails for a page about it.
    """
    if not services.settings.preview:
        return None
    try:
        with report_of(services, newest_submission(services, job_hash), limit=LINKED_LIMIT) as report:
            return str(keep_report(services, report).path)
    except (LlmJobsError, OSError) as error:
        LOG.warning("no page was made about the result of job %s: %s", job_hash, error)
        return None
    except Exception as error:
        # Pages are made of what strangers wrote, and no run fails for one.
        LOG.error("the page about the result of job %s met a defect", job_hash, exc_info=error)
        return None


def _kept(content: BinaryIO, target: Path, digest: str) -> bool:
    """Is the content in `target` now? False where another page is."""
    content.seek(0)
    try:
        draft = Draft(target)
        try:
            with draft.path.open("wb") as stream:
                shutil.copyfileobj(content, stream)
            draft.sync()
            draft.publish()
        finally:
            draft.discard()
    except ImmutableError:  # it was there already, or another process made it first
        with target.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == digest
    return True


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
