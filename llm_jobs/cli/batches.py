"""`llm-jobs batches`: the vendors' batches, polled on demand; and to forget one that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, count, visible

if TYPE_CHECKING:
    from llm_jobs.operations.batches import BatchLine

HASH_SHOWN = 8
COLUMNS = ("batch", "job", "model", "at the vendor", "phase", "status", "calls", "done", "submitted")


@click.group(
    "batches",
    invoke_without_command=True,
    short_help="List the vendors' batches, poll them, or forget one.",
    epilog="""\b
Examples:
  llm-jobs batches
  llm-jobs batches --poll
  llm-jobs batches forget 12 --why "its project was deleted" """,
)
@click.option("--poll", is_flag=True, help="Ask the vendors first, and collect what has ended.")
@click.option("--all", "every", is_flag=True, help="List those too that are done with.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per batch and nothing else.")
@click.pass_context
def command(context: click.Context, poll: bool, every: bool, as_json: bool) -> None:
    """List the vendors' batches that are not done with.

    A running Dagster polls them by itself. Without one, poll here, and run the job again when its batches have ended.
    """
    if context.invoked_subcommand is not None:
        return
    # SQLAlchemy takes a third of a second to import, which `--help` does not need.
    from llm_jobs.operations import batches
    from llm_jobs.operations.waiting import waiting_jobs

    entry: Entry = context.obj
    with entry.open_services() as services:
        problems = [each for each in batches.poll(services) if each.problem is not None] if poll else []
        lines = batches.batch_lines(services, unfinished=not every)
        ready = sorted(waiting_jobs(services).ready)
    for polled in problems:
        click.echo(f"batch {polled.batch_id}: {visible(polled.problem or '')}", err=True)
    if as_json:
        for line in lines:
            click.echo(compact_json(asdict(line)))
        return
    _print(lines)
    for job_hash in ready:
        click.echo(f"Ready: llm-jobs run {job_hash[:HASH_SHOWN]}")


@command.command(
    "forget",
    short_help="Give up a batch that cannot be told.",
    epilog='Example:  llm-jobs batches forget 12 --why "its project was deleted"',
)
@click.argument("batch", type=click.IntRange(min=1))
@click.option("--why", metavar="TEXT", help="A reason, for the record.")
@click.pass_obj
def forget(entry: Entry, batch: int, why: str | None) -> None:
    """Give up BATCH: its calls are asked again when their job runs. If its vendor has it all the same, they are paid
    twice; what comes of it is then kept as late."""
    from llm_jobs.operations import batches

    with entry.open_services() as services:
        line = batches.forget_batch(services, batch, why=why)
    click.echo(f"Batch {line.batch} ({line.calls:,} calls of {line.job_hash[:HASH_SHOWN]}) is given up.")


def _print(lines: Sequence[BatchLine]) -> None:
    if not lines:
        click.echo("No batch is under way.")
        return
    from llm_jobs.cli.tables import print_table

    print_table(COLUMNS, [_row(line) for line in lines], right=("batch", "calls", "done"))


def _row(line: BatchLine) -> tuple[str, ...]:
    return (
        str(line.batch),
        line.job_hash[:HASH_SHOWN],
        visible(line.model, most=32),
        visible(line.vendor_id or "", most=40),
        line.phase,
        visible(line.status or "", most=20),
        count(line.calls),
        count(line.done),
        line.submitted_at,
    )
