"""`llm-jobs show`: one row as it was asked and answered, byte for byte but for control characters."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, visible, visible_lines
from llm_jobs.operations.named import submission_named
from llm_jobs.operations.show import Attempt, ShownRow, show_row


@click.command(
    "show",
    short_help="Show the exact request and the raw answer of one row.",
    epilog="""\b
Examples:
  llm-jobs show reviews --row 0
  llm-jobs show 3f2a9c1d --row 12 --json""",
)
@click.argument("job", metavar="HASH|NAME|DOCUMENT")
@click.option("--row", type=click.IntRange(min=0), required=True, metavar="N", help="The row's number, from 0.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
@click.pass_obj
def command(entry: Entry, job: str, row: int, as_json: bool) -> None:
    """Show the exact request and the raw answer of one row.

    Every attempt at the row's last call is shown, oldest first, as the ledger recorded it.
    """
    with entry.open_services() as services:
        shown = show_row(services, submission_named(services, job).job_hash, row)
    if as_json:
        click.echo(compact_json(_facts(shown)))
    else:
        _print(shown)


def _facts(shown: ShownRow) -> dict[str, object]:
    attempts = [
        {
            "intent_id": attempt.intent_id,
            **asdict(attempt.facts),
            "request": _text(attempt.request),
            "answer": None if attempt.answer is None else _text(attempt.answer),
        }
        for attempt in shown.attempts
    ]
    return {"job_hash": shown.job_hash, "row": shown.number, "values": shown.row, "attempts": attempts}


def _text(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")


def _print(shown: ShownRow) -> None:
    click.echo(f"row {shown.number} of job {shown.job_hash}")
    for name, value in shown.row.items():
        if value is not None:
            click.echo(f"  {visible(name)}: {visible(value if isinstance(value, str) else str(value))}")
    if not shown.attempts:
        click.echo("This row was not asked: the ledger has no attempt.")
    for number, attempt in enumerate(shown.attempts, 1):
        _print_attempt(number, attempt)


def _print_attempt(number: int, attempt: Attempt) -> None:
    reason = f": {visible(attempt.facts.error)}" if attempt.facts.error else ""
    click.echo(f"\nattempt {number}: {attempt.facts.status}{reason}")
    click.echo(f"request:\n{_readable(attempt.request)}")
    click.echo(
        "no answer came, or it was erased" if attempt.answer is None else f"answer:\n{_readable(attempt.answer)}"
    )


def _readable(body: bytes) -> str:
    """JSON indented, anything else as it is."""
    try:
        return visible_lines(json.dumps(json.loads(body), indent=2, ensure_ascii=False))
    except ValueError:
        return visible_lines(_text(body))
