"""`llm-jobs status`: the latest jobs, or what is known of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, count, dollars, visible
from llm_jobs.operations.describe import find_job, job_lines
from llm_jobs.operations.overview import deferred_lines, overview
from llm_jobs.operations.records import JobLine
from llm_jobs.operations.services import Services

SHOWN_JOBS = 50
HASH_SHOWN = 8  # as many as a job can be named by
COLUMNS = ("name", "job", "status", "rows", "failed", "cost", "submitted")


@click.command(
    "status",
    short_help="List the latest jobs, or tell what is known of one.",
    epilog="""\b
Examples:
  llm-jobs status
  llm-jobs status reviews --json""",
)
@click.argument("job", required=False, metavar="[HASH|NAME]")
@click.option("--limit", type=click.IntRange(min=1), default=SHOWN_JOBS, show_default=True, help="Jobs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job and nothing else.")
@click.pass_obj
def command(entry: Entry, job: str | None, limit: int, as_json: bool) -> None:
    """List the latest jobs, or tell what is known of one.

    A job without a result is shown as null-result. Opens no document, input or result.
    """
    with entry.open_services() as services:
        lines = overview(services, limit) if job is None else _lines_of(services, job)
    if as_json:
        for line in lines:
            click.echo(compact_json(asdict(line)))
    elif job is not None:
        _print_one(lines[0])
    elif lines:
        _print_all(lines)
    else:
        click.echo("No job was submitted yet. Try: llm-jobs run examples/reviews.yaml")


def _lines_of(services: Services, job: str) -> list[JobLine]:
    """The line of a job, or of a document of that name that is no job yet."""
    waiting = [line for line in deferred_lines(services) if line.name == job]
    return waiting[:1] or job_lines(services, [find_job(services, job)])


def _print_one(line: JobLine) -> None:
    for name, value in asdict(line).items():
        click.echo(f"{name:<13} {'' if value is None else visible(str(value))}".rstrip())


def _print_all(lines: Sequence[JobLine]) -> None:
    # Rich takes a tenth of a second to import, which --json does not need.
    from llm_jobs.cli.tables import print_table

    print_table(COLUMNS, [_row(line) for line in lines], right=("rows", "failed", "cost"))
    for line in lines:
        if line.waits_for is not None:
            click.echo(f"{_shown(line)} is {line.status}: {visible(line.waits_for)}")


def _shown(line: JobLine) -> str:
    return f"{visible(line.name)} ({line.job_hash[:HASH_SHOWN]})" if line.job_hash else visible(line.name)


def _row(line: JobLine) -> tuple[str, ...]:
    return (
        visible(line.name, most=40),
        line.job_hash[:HASH_SHOWN],
        line.status,
        count(line.rows),
        count(line.failed),
        "" if line.result is None else dollars(line.cost_usd),
        line.submitted_at,
    )
