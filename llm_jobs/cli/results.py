"""`llm-jobs results`: the newest result of a job, or what is answered up to now, printed or saved in any format."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.tabular import FORMATS, format_of, print_batches, save_batches, write_batches
from llm_jobs.deliveries.formats import TableFormat
from llm_jobs.documents.frozen import job_from_json
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import Submission
from llm_jobs.operations.named import submission_named
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import Batches, answered_so_far
from llm_jobs.operations.step_rows import step_table
from llm_jobs.results.single import read_result


@click.command(
    "results",
    short_help="Print or save the newest result of a job.",
    epilog="""\b
Examples:
  llm-jobs results reviews
  llm-jobs results examples/reviews.yaml --output reviews.csv
  llm-jobs results report --step summary --json
  llm-jobs results 3f2a9c1d --so-far --format jsonl | head""",
)
@click.argument("job", metavar="HASH|NAME|DOCUMENT")
@click.option("--step", metavar="NAME", help="The table of this step, where it is not the result's.")
@click.option("--so-far", is_flag=True, help="The rows answered up to now, of a job that is under way.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="Default: that of FILE's name, else table.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Save to FILE, which must not exist.")
@click.pass_obj
def command(
    entry: Entry, job: str, step: str | None, so_far: bool, form: str | None, as_json: bool, output: Path | None
) -> None:
    """Print or save the newest result of a job.

    The table shows the first rows, cut to fit; every other format holds every row and column. Of a graph that groups or
    splits rows, --step gives the table that a step's answers are in.
    """
    chosen = "jsonl" if as_json else form or format_of(output)
    if chosen == "table" and output is not None:
        raise click.UsageError("a table is for the terminal; choose another --format for --output")
    if step is not None and so_far:
        raise click.UsageError("--so-far tells the rows of the result to be; leave --step out")
    with entry.open_services() as services:
        batches = _batches(services, submission_named(services, job), step=step, so_far=so_far)
        if output is not None:
            save_batches(batches, entry.working_directory / output, cast(TableFormat, chosen))
        elif chosen == "table":
            print_batches(batches)
        else:
            write_batches(batches, cast(TableFormat, chosen))


def _batches(services: Services, submission: Submission, *, step: str | None, so_far: bool) -> Batches:
    records = services.ledger.results([submission.job_hash]).get(submission.job_hash, ())
    if so_far and not any(record.failed == 0 for record in records):
        return answered_so_far(services, submission)
    if not records:
        raise NotFound(
            f"job {submission.job_hash} ({submission.name}) has no result yet; run it, or see what is answered up to "
            f"now: llm-jobs results {submission.job_hash[:12]} --so-far"
        )
    path = records[0].path if step is None else step_table(job_from_json(submission.job), records[0], step)
    return read_result(services.store, path)
