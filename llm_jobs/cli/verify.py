"""`llm-jobs verify`: are the results what was recorded, and does the ledger contradict itself."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.exits import DONE, ROWS_FAILED
from llm_jobs.cli.texts import compact_json, number, visible
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.verify import Verification, verify


@click.command(
    "verify",
    short_help="Recompute digests and audit the ledger.",
    epilog="""\b
Examples:
  llm-jobs verify
  llm-jobs verify reviews --json""",
)
@click.argument("job", required=False, metavar="[HASH|NAME]")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
@click.pass_obj
def command(entry: Entry, job: str | None, as_json: bool) -> int:
    """Recompute digests and audit the ledger.

    Lists results that changed, and every call that was sent and not recorded: it may have been paid. Exits with 1
    where something is damaged.
    """
    with entry.open_services() as services:
        found = verify(services, None if job is None else find_job(services, job).job_hash)
    if as_json:
        click.echo(compact_json({"intact": found.intact, **asdict(found)}))
    else:
        _print(found)
    return DONE if found.intact else ROWS_FAILED


def _print(found: Verification) -> None:
    audit = found.ledger
    beside = f" and {number(found.tables_checked, 'table')} of steps" if found.tables_checked else ""
    click.echo(f"{number(found.results_checked, 'result')}{beside} checked, {len(found.damaged):,} damaged")
    click.echo(
        f"ledger: {number(audit.submissions, 'submission')}, {number(audit.intents, 'intent')}, "
        f"{number(audit.outcomes, 'outcome')}, {number(audit.answers, 'answer')}; {audit.paid_twice:,} paid twice, "
        f"{audit.late:,} late"
    )
    for damage in found.damaged:
        click.echo(f"damaged: {visible(damage)}")
    for sentence in audit.inconsistencies:
        click.echo(f"inconsistent: {visible(sentence)}")
    for path in found.unlisted:
        click.echo(f"not in the ledger (a run was killed before it was recorded): {visible(path)}")
    for call in found.unrecorded:
        when = datetime.fromtimestamp(call.intended_ns / 1e9, UTC).isoformat(timespec="milliseconds")
        state = "in flight" if call.owner_alive else "may have been paid"
        click.echo(f"{state}: call {call.call_hash} of job {call.job_hash}, {visible(call.model)}, {when}")
    click.echo("Everything is as it was recorded." if found.intact else "Something is damaged.")
