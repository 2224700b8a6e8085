"""`llm-jobs approve`: a job that is held for its estimate is launched."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, visible
from llm_jobs.operations.approve import approve_job
from llm_jobs.operations.describe import find_job


@click.command(
    "approve",
    short_help="Let a job that is held for its estimate be launched.",
    epilog="""\b
Examples:
  llm-jobs approve reviews
  llm-jobs approve 4f0c21aa --why "agreed with the team" """,
)
@click.argument("job", metavar="HASH|NAME")
@click.option("--why", metavar="TEXT", help="A reason, for the record.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
@click.pass_obj
def command(entry: Entry, job: str, why: str | None, as_json: bool) -> None:
    """Let a job that is held for its estimate be launched.

    Documents in the inbox that may cost more than LLM_JOBS_HOLD_ABOVE_USD, or have no price, are held.
    """
    with entry.open_services() as services:
        submission = find_job(services, job)
        hold = approve_job(services, submission, why=why)
    if as_json:
        facts = {"job_hash": submission.job_hash, "name": submission.name, "was_held": hold is not None}
        click.echo(compact_json({**facts, "reason": None if hold is None else hold.reason}))
    elif hold is None:
        click.echo(f"{visible(submission.name)} ({submission.job_hash}) is not held; nothing was changed.")
    else:
        click.echo(
            f"{visible(submission.name)} ({submission.job_hash}) is approved. It was held: {visible(hold.reason)}"
        )
