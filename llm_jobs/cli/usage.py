"""`llm-jobs usage`: who spent what, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, count, dollars, visible
from llm_jobs.operations.usage import ALL_TIME_NS, GROUPINGS, Grouping, UsageLine, usage

DAYS = 30
FIRST_DAY = date(1970, 1, 1)
DATE = click.DateTime(["%Y-%m-%d"])
NUMBERS = ("calls", "reused", "tokens in", "tokens out", "cost", "saved", "unpriced")


@click.command(
    "usage",
    short_help="Tell what was spent, by day, model, job, label or submitter.",
    epilog="""\b
Examples:
  llm-jobs usage
  llm-jobs usage --by label --since 2026-11-01
  llm-jobs usage --by day --by model --json""",
)
@click.option(
    "--by",
    type=click.Choice(GROUPINGS),
    multiple=True,
    default=("day",),
    show_default=True,
    help="What to sum by; may be given several times.",
)
@click.option("--since", type=DATE, help=f"The first day, UTC. Unless stated, {DAYS} days ago.")
@click.option("--until", type=DATE, help="The last day, UTC. Unless stated, today.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per group and nothing else.")
@click.pass_obj
def command(
    entry: Entry, by: Sequence[Grouping], since: datetime | None, until: datetime | None, as_json: bool
) -> None:
    """Tell what was spent, by day, model, job, label or submitter.

    Who asked first pays: an answer that another job reused is not counted again, and its price stands under `saved`.
    Savings are not known by model. A job with several labels is counted under each.
    """
    with entry.open_services() as services:
        now_s = services.clock.now_ns() / 1e9
        first = since or datetime.fromtimestamp(now_s, UTC) - timedelta(days=DAYS)
        lines = usage(
            services,
            by=tuple(dict.fromkeys(by)),
            since_ns=_midnight_ns(first),
            until_ns=None if until is None else _midnight_ns(until, days_later=1),
        )
    if as_json:
        for line in lines:
            click.echo(compact_json(line.facts()))
    elif lines:
        _print(lines, by)
    else:
        click.echo(f"Nothing was used since {first:%Y-%m-%d} (UTC); `--since` looks further back.")


def _midnight_ns(day: datetime, *, days_later: int = 0) -> int:
    """When the day begins, in UTC; the first or the last time of the ledger for one beyond it."""
    days = (day.date() - FIRST_DAY).days + days_later
    return min(max(days, 0) * 86_400_000_000_000, ALL_TIME_NS)


def _print(lines: Sequence[UsageLine], by: Sequence[Grouping]) -> None:
    # Rich takes a tenth of a second to import, which --json does not need.
    from llm_jobs.cli.tables import print_table

    rows = [_row(line) for line in lines]
    if len(lines) > 1 and "label" not in by:
        rows.append(_row(_sum(lines)))
    print_table((*lines[0].group, *NUMBERS), rows, right=NUMBERS)


def _row(line: UsageLine) -> tuple[str, ...]:
    return (
        *(visible(name, most=40) for name in line.group.values()),
        count(line.calls),
        count(line.calls_reused),
        count(line.prompt_tokens),
        count(line.completion_tokens),
        dollars(line.cost_usd),
        "" if line.saved_usd is None else dollars(line.saved_usd),
        count(line.unpriced) if line.unpriced else "",
    )


def _sum(lines: Sequence[UsageLine]) -> UsageLine:
    """All of them together, under the name `total`."""
    names = ("calls", "calls_reused", "prompt_tokens", "completion_tokens", "cost_usd", "saved_usd", "unpriced")
    known = {name: [value for line in lines if (value := getattr(line, name)) is not None] for name in names}
    group = dict.fromkeys(lines[0].group, "") | {next(iter(lines[0].group)): "total"}
    return UsageLine(group=group, **{name: sum(values) for name, values in known.items() if values})
