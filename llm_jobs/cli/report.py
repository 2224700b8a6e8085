"""`llm-jobs report`: a job's newest result as one HTML page, kept in the home folder or in a file of the user's."""

from __future__ import annotations

from pathlib import Path

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, number
from llm_jobs.operations.named import submission_named
from llm_jobs.operations.report import LIMIT, keep_report, report_against, report_of, write_report


@click.command(
    "report",
    short_help="Make one HTML page of a result: figures, plots, prompts, rows and answers.",
    epilog="""\b
Examples:
  llm-jobs report reviews
  llm-jobs report reviews --out reviews.html --limit 1000
  llm-jobs report reviews-small --against reviews-large --on id""",
)
@click.argument("job", metavar="HASH|NAME|DOCUMENT")
@click.option(
    "--against", metavar="HASH|NAME|DOCUMENT", help="Show the answers of this job beside, what differs first."
)
@click.option("--on", multiple=True, metavar="COLUMN", help="With --against: match rows by COLUMN, or by several.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Save to FILE, which must not exist.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=LIMIT,
    show_default=True,
    metavar="N",
    help="How many rows of each status the page shows, failures first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
@click.pass_obj
def command(
    entry: Entry, job: str, against: str | None, on: tuple[str, ...], out: Path | None, limit: int, as_json: bool
) -> None:
    """Make one HTML page of the newest result of a job.

    The page needs no network and asks for none. Unless --out is given it is kept in the home folder, under reports/.
    With --against, rows match by all input columns that both jobs have, unless --on names others.
    """
    if on and against is None:
        raise click.UsageError("--on is for two jobs; add --against")
    with entry.open_services() as services:
        submission = submission_named(services, job)
        other = None if against is None else submission_named(services, against)
        with (
            report_of(services, submission, limit=limit)
            if other is None
            else report_against(services, submission, other, on=on, limit=limit)
        ) as report:
            target = None if out is None else entry.working_directory / out
            written = keep_report(services, report) if target is None else write_report(report, target)
    if as_json:
        told = {"report": str(written.path), "rows": written.rows, "shown": written.shown}
        click.echo(compact_json({"job_hash": submission.job_hash, **told}))
    else:
        click.echo(f"{number(written.rows, 'row')}, {written.shown:,} shown: {written.path}")
