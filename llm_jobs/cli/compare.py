"""`llm-jobs compare`: the newest results of several jobs as one table, printed or saved in any format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.tabular import FORMATS, format_of, print_batches, save_batches, write_batches
from llm_jobs.cli.texts import compact_json, count, dollars, number, visible
from llm_jobs.deliveries.formats import TableFormat
from llm_jobs.operations.compare import Comparison, compare, facts, table
from llm_jobs.operations.named import submission_named


@click.command(
    "compare",
    short_help="Set the answers of several jobs side by side, row by row.",
    epilog="""\b
Examples:
  llm-jobs compare reviews-small reviews-large
  llm-jobs compare reviews-small reviews-large --on id --out compared.parquet""",
)
@click.argument("jobs", nargs=-1, required=True, metavar="HASH|NAME|DOCUMENT...")
@click.option("--on", multiple=True, metavar="COLUMN", help="Match rows by COLUMN; may be given several times.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: that of FILE's name, else table.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Save to FILE, which must not exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one line of JSON, and no table.")
@click.pass_obj
def command(
    entry: Entry, jobs: tuple[str, ...], on: tuple[str, ...], form: str | None, out: Path | None, as_json: bool
) -> None:
    """Set the answers of several jobs side by side, row by row.

    Unless --on is given, rows match by all input columns that the jobs have in common; the n-th of several equal rows
    matches the n-th. The column `differs` says whether answers or statuses do.
    """
    if len(jobs) < 2:
        raise click.UsageError("name two jobs or more")
    chosen = form or format_of(out)
    if chosen == "table" and out is not None:
        raise click.UsageError("a table is for the terminal; choose another --format for --out")
    with entry.open_services() as services:
        comparison = compare(services, [submission_named(services, job) for job in jobs], on=on)
        told = _told(comparison, chosen, None if out is None else entry.working_directory / out, quiet=as_json)
    if as_json:
        click.echo(compact_json(told))
    else:
        _summarise(told)


def _told(comparison: Comparison, form: str, target: Path | None, *, quiet: bool) -> dict[str, Any]:
    """What came of the comparison, once its table was handed on."""
    counted: Counter[str] = Counter()
    batches = table(comparison, counted)
    if target is not None:
        save_batches(batches, target, cast(TableFormat, form), quiet=quiet)
    elif quiet:
        for _ in batches:
            pass
    elif form == "table":
        print_batches(batches, every_column=True)
    else:
        write_batches(batches, cast(TableFormat, form))
    return facts(comparison, counted)


def _summarise(told: Mapping[str, Any]) -> None:
    """On standard error: the table may go into a pipe."""
    outcomes = ", ".join(f"{rows:,} {visible(outcome)}" for outcome, rows in told["outcomes"].items())
    click.echo(f"{number(told['rows'], 'row')}: {outcomes}", err=True)
    for label, job in told["jobs"].items():
        tokens = f"{count(job['prompt_tokens'])} prompt and {count(job['completion_tokens'])} completion tokens"
        click.echo(f"{visible(label)}: {number(job['rows'], 'row')}, {dollars(job['cost_usd'])}, {tokens}", err=True)
