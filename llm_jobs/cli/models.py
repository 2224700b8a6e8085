"""`llm-jobs models`: what may be written as a model's name."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import cell, compact_json
from llm_jobs.operations.inventories import model_catalogue
from llm_jobs.providers.vendors import VENDORS


@click.command(
    "models",
    short_help="List the models of the catalogue.",
    epilog="""\b
Examples:
  llm-jobs models
  llm-jobs models --json""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per model and nothing else.")
@click.pass_obj
def command(entry: Entry, as_json: bool) -> None:
    """List the models of the catalogue.

    Any other model of a provider may be written as PROVIDER/NAME.
    """
    with entry.open_services() as services:
        rows = model_catalogue(services).rows
        file = services.settings.models_file
    if as_json:
        for row in rows:
            click.echo(compact_json(row))
        return
    # Rich takes a tenth of a second to import, which --json does not need.
    from llm_jobs.cli.tables import print_table

    columns = list(rows[0])
    print_table(columns, [[cell(row[name]) for name in columns] for row in rows], right=columns[3:])
    forms = ", ".join(f"{kind}/NAME" for kind in VENDORS if kind != "simulated")
    click.echo(f"Also: {forms}. Names of your own, quotas and prices go into {file}")
