"""`llm-jobs budgets`: what each budget has spent, what calls in flight reserve, and its cap."""

from __future__ import annotations

from dataclasses import asdict

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, count, dollars, visible
from llm_jobs.operations.budgets import FILE_NAME, BudgetLine, budget_lines

COLUMNS = ("budget", "of", "spent", "reserved", "cap", "tokens", "token cap")


@click.command(
    "budgets",
    short_help="Show what each budget has spent, what is reserved, and its cap.",
    epilog="""\b
Examples:
  llm-jobs budgets
  llm-jobs budgets --json""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per budget and nothing else.")
@click.pass_obj
def command(entry: Entry, as_json: bool) -> None:
    """Show what each budget has spent, what is reserved, and its cap.

    Jobs state theirs in the document; providers (per UTC day) and labels (per UTC month) have theirs in budgets.yaml.
    """
    with entry.open_services() as services:
        lines = budget_lines(services)
        file = services.settings.home / FILE_NAME
    if as_json:
        for line in lines:
            click.echo(compact_json(asdict(line)))
    elif lines:
        _print(lines)
    else:
        click.echo(f"No budget is stated. A document states `budget: {{max_cost_usd: 5}}`; {file} those of others.")


def _print(lines: list[BudgetLine]) -> None:
    # Rich takes a tenth of a second to import, which --json does not need.
    from llm_jobs.cli.tables import print_table

    print_table(COLUMNS, [_row(line) for line in lines], right=COLUMNS[2:])


def _row(line: BudgetLine) -> tuple[str, ...]:
    state = line.state
    return (
        visible(line.key, most=60),
        visible(line.name, most=40),
        dollars(state.spent_usd),
        dollars(state.reserved_usd),
        "" if line.max_cost_usd is None else dollars(line.max_cost_usd),
        count(state.spent_tokens + state.reserved_tokens),
        count(line.max_tokens),
    )
