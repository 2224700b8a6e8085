"""`llm-jobs models history`: who set what of a model, when and why."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import cell, compact_json


@click.command(
    "history",
    short_help="List what was set of a model: who, when, what, why.",
    epilog="""\b
Example:
  llm-jobs models history simulated""",
)
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per change and nothing else.")
@click.pass_obj
def history(entry: Entry, model: str, as_json: bool) -> None:
    """List what was set of MODEL, oldest first: when, who, what, why."""
    # SQLAlchemy takes a third of a second to import, which `--help` does not need.
    from llm_jobs.operations.models import model_history, set_at

    with entry.open_services() as services:
        versions = model_history(services, model)
    rows: list[dict[str, object]] = [
        {"set_at": set_at(each), "who": each.who, "set": dict(each.definition), "why": each.why} for each in versions
    ]
    if as_json:
        for row in rows:
            click.echo(compact_json({"model": model, **row}))
    elif not rows:
        click.echo(f"Nothing was ever set of {cell(model)}; models.yaml and the provider's own values are in force")
    else:
        # Rich takes a tenth of a second to import, which --json does not need.
        from llm_jobs.cli.tables import print_table

        columns = list(rows[0])
        print_table(columns, [[cell(row[name], most=300) for name in columns] for row in rows])
