"""`llm-jobs priority`: a job that was submitted goes before others, or behind them."""

from __future__ import annotations

from typing import cast

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, visible
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.priority import set_priority
from llm_jobs.operations.records import Priority


@click.command(
    "priority",
    short_help="Put a submitted job before others, or behind them.",
    epilog="""\b
Examples:
  llm-jobs priority reviews hot
  llm-jobs priority 4f0c21aa cold --why "the night is long" """,
)
@click.argument("job", metavar="HASH|NAME")
@click.argument("priority", type=click.Choice(["hot", "cold"]))
@click.option("--why", metavar="TEXT", help="A reason, for the record.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
@click.pass_obj
def command(entry: Entry, job: str, priority: str, why: str | None, as_json: bool) -> None:
    """Put a submitted job before others, or behind them.

    Calls of hot jobs are sent before those of cold ones on the same quota; calls that wait change their place at once.
    """
    with entry.open_services() as services:
        submission = find_job(services, job)
        set_priority(services, submission, cast("Priority", priority), why=why)
    if as_json:
        click.echo(compact_json({"job_hash": submission.job_hash, "name": submission.name, "priority": priority}))
    else:
        click.echo(f"{visible(submission.name)} ({submission.job_hash}) is {priority}.")
