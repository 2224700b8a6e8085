"""Tables on their way out of a command: printed, piped or saved, in any format."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import click

from llm_jobs.cli.texts import cell, number, visible_lines
from llm_jobs.deliveries.formats import TableFormat, write_table
from llm_jobs.files import Draft
from llm_jobs.results.columns import ERROR, PREFIX, STATUS

Batches = Any  # a pyarrow.RecordBatchReader, which only the rooms of tables may name
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


def format_of(output: Path | None) -> str:
    """The format that the name of a file says; a table where there is none."""
    if output is None:
        return "table"
    if output.suffix.lower() not in FORMAT_OF_SUFFIX:
        raise click.UsageError(f"{output.name} says no format; add --format csv, or another")
    return FORMAT_OF_SUFFIX[output.suffix.lower()]


def save_batches(batches: Batches, target: Path, form: TableFormat, *, quiet: bool = False) -> None:
    """Save to `target`, which must not exist, and say so unless `quiet`. Raises ImmutableError."""
    draft = Draft(target)
    try:
        with draft.path.open("wb") as stream:
            rows = write_table(batches, stream, form)
        draft.sync()
        draft.publish(mode=MODE)
    finally:
        draft.discard()
    if not quiet:
        click.echo(f"{number(rows, 'row')} in {target}")


def write_batches(batches: Batches, form: TableFormat) -> None:
    """Write to standard output; control characters written out where that is a terminal."""
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


def print_batches(batches: Batches, *, every_column: bool = False) -> None:
    """Print the first rows as a table, cut to fit. Unless `every_column`, of the facts only status and error."""
    # Rich takes a tenth of a second to import, which the other formats do not need.
    from llm_jobs.cli.tables import print_table

    names = list(batches.schema.names)
    first: list[dict[str, object]] = []
    rows = 0
    for batch in batches:
        if len(first) < TABLE_ROWS:
            first += batch.slice(0, TABLE_ROWS - len(first)).to_pylist()
        rows += batch.num_rows
    shown = names if every_column else _shown(names, first)
    print_table([cell(name) for name in shown], [[cell(row.get(name)) for name in shown] for row in first])
    rest = f"; the first {len(first):,} are shown, --format csv has all" if rows > len(first) else ""
    click.echo(f"{number(rows, 'row')}{rest}")


def _shown(names: Sequence[str], rows: Sequence[Mapping[str, object]]) -> list[str]:
    failed = any(row.get(STATUS) != "succeeded" for row in rows)
    return [name for name in names if not name.startswith(PREFIX)] + [STATUS] + ([ERROR] if failed else [])
