"""`llm-jobs results`: the newest result of a job, or what is answered up to now, printed or saved in any format."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import IO, BinaryIO, cast

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import cell, number, visible_lines
from llm_jobs.deliveries.formats import TableFormat, write_table
from llm_jobs.errors import NotFound
from llm_jobs.files import Draft
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.named import submission_named
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import Batches, answered_so_far
from llm_jobs.results.columns import ERROR, PREFIX, STATUS
from llm_jobs.results.single import read_result

FORMATS = ("table", "csv", "json", "jsonl", "parquet", "markdown")
FORMAT_OF_SUFFIX = {
    ".csv": "csv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".md": "markdown",
}
TABLE_ROWS = 100
MODE = 0o644


@click.command(
    "results",
    short_help="Print or save the newest result of a job.",
    epilog="""\b
Examples:
  llm-jobs results reviews
  llm-jobs results examples/reviews.yaml --output reviews.csv
  llm-jobs results 3f2a9c1d --so-far --format jsonl | head""",
)
@click.argument("job", metavar="HASH|NAME|DOCUMENT")
@click.option("--so-far", is_flag=True, help="The rows answered up to now, of a job that is under way.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: that of FILE's name, else table.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Save to FILE, which must not exist.")
@click.pass_obj
def command(entry: Entry, job: str, so_far: bool, form: str | None, as_json: bool, output: Path | None) -> None:
    """Print or save the newest result of a job.

    The table shows the first rows, cut to fit; every other format holds every row and column.
    """
    chosen = "jsonl" if as_json else form or _format_of(output)
    if chosen == "table" and output is not None:
        raise click.UsageError("a table is for the terminal; choose another --format for --output")
    with entry.open_services() as services:
        batches = _batches(services, submission_named(services, job), so_far=so_far)
        if output is not None:
            _save(batches, entry.working_directory / output, cast(TableFormat, chosen))
        elif chosen == "table":
            _print(batches)
        else:
            _write(batches, cast(TableFormat, chosen))


def _format_of(output: Path | None) -> str:
    if output is None:
        return "table"
    if output.suffix.lower() not in FORMAT_OF_SUFFIX:
        raise click.UsageError(f"{output.name} says no format; add --format csv, or another")
    return FORMAT_OF_SUFFIX[output.suffix.lower()]


def _batches(services: Services, submission: Submission, *, so_far: bool) -> Batches:
    records = services.ledger.results([submission.job_hash]).get(submission.job_hash, ())
    if so_far and not any(record.failed == 0 for record in records):
        return answered_so_far(services, submission)
    if not records:
        raise NotFound(
            f"job {submission.job_hash} ({submission.name}) has no result yet; run it, or see what is answered up to "
            f"now: llm-jobs results {submission.job_hash[:12]} --so-far"
        )
    return read_result(services.store, records[0].path)


def _save(batches: Batches, target: Path, form: TableFormat) -> None:
    draft = Draft(target)
    try:
        with draft.path.open("wb") as stream:
            rows = write_table(batches, stream, form)
        draft.sync()
        draft.publish(mode=MODE)
    finally:
        draft.discard()
    click.echo(f"{number(rows, 'row')} in {target}")


def _write(batches: Batches, form: TableFormat) -> None:
    stdout = sys.stdout.buffer
    if not stdout.isatty():
        write_table(batches, stdout, form)
    elif form == "parquet":
        raise click.UsageError("Parquet is not for terminals; add --output FILE, or a pipe")
    else:
        write_table(batches, cast(BinaryIO, _Visible(stdout)), form)
    stdout.flush()


class _Visible(io.RawIOBase):
    """Answers on their way to a terminal, control characters written out."""

    def __init__(self, terminal: IO[bytes]) -> None:
        self._terminal = terminal

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        self._terminal.write(visible_lines(chunk.decode()).encode())
        return len(chunk)


def _print(batches: Batches) -> None:
    # Rich takes a tenth of a second to import, which the other formats do not need.
    from llm_jobs.cli.tables import print_table

    names = list(batches.schema.names)
    first: list[dict[str, object]] = []
    rows = 0
    for batch in batches:
        if len(first) < TABLE_ROWS:
            first += batch.slice(0, TABLE_ROWS - len(first)).to_pylist()
        rows += batch.num_rows
    failed = any(row.get(STATUS) != "succeeded" for row in first)
    shown = [name for name in names if not name.startswith(PREFIX)] + [STATUS] + ([ERROR] if failed else [])
    print_table([cell(name) for name in shown], [[cell(row.get(name)) for name in shown] for row in first])
    rest = f"; the first {len(first):,} are shown, --format csv has all" if rows > len(first) else ""
    click.echo(f"{number(rows, 'row')}{rest}")
