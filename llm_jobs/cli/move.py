"""`llm-jobs move`: a job that was submitted is asked online, or in batches, from now on."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, visible


@click.command(
    "move",
    short_help="Have a submitted job asked online, or in batches at half the price.",
    epilog="""\b
Examples:
  llm-jobs move reviews --to batch
  llm-jobs move 4f0c21aa --to online --why "needed today" """,
)
@click.argument("job", metavar="HASH|NAME")
@click.option("--to", type=click.Choice(["online", "batch"]), required=True, help="How it is asked from now on.")
@click.option("--why", metavar="TEXT", help="A reason, for the record.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
@click.pass_obj
def command(entry: Entry, job: str, to: str, why: str | None, as_json: bool) -> None:
    """Have a submitted job asked online, or in its vendor's batches.

    Answers that are there count for both. Moved online, its batches are cancelled at the vendor; what they did is kept.
    """
    # SQLAlchemy takes a third of a second to import, which `--help` does not need.
    from llm_jobs.operations.describe import find_job
    from llm_jobs.operations.move import move_job

    with entry.open_services() as services:
        submission = find_job(services, job)
        problems = move_job(services, submission, "batch" if to == "batch" else "online", why=why)
    for problem in problems:
        click.echo(visible(problem), err=True)
    if as_json:
        click.echo(compact_json({"job_hash": submission.job_hash, "name": submission.name, "mode": to}))
        return
    click.echo(f"{visible(submission.name)} ({submission.job_hash}) is asked {'in batches' if to == 'batch' else to}.")
