"""`llm-jobs models`: what may be written as a model's name, what is in force of each, and how to change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.models_history import history
from llm_jobs.cli.models_set import set_values
from llm_jobs.cli.texts import cell, compact_json

_NAMES = ("model", "provider", "upstream", "set_by", "set_at")
_ALWAYS = ("model", "provider", "upstream", "requests_per_minute", "tokens_per_minute", "concurrency")


@click.group(
    "models",
    short_help="List the models of the catalogue, or set what one allows.",
    invoke_without_command=True,
    epilog="""\b
Examples:
  llm-jobs models
  llm-jobs models --json
  llm-jobs models set simulated --rpm 3000 --concurrency none --why "the new contract"
  llm-jobs models history simulated""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per model and nothing else.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the models of the catalogue with what is in force, and since when where somebody set it.

    Any other model of a provider may be written as PROVIDER/NAME.
    """
    if context.invoked_subcommand is None:
        _list(context.find_object(Entry), as_json)


command.add_command(set_values)
command.add_command(history)


def _list(entry: Entry | None, as_json: bool) -> None:
    # SQLAlchemy takes a third of a second to import, which `--help` does not need.
    from llm_jobs.operations.inventories import model_catalogue
    from llm_jobs.providers.vendors import VENDORS

    assert entry is not None
    with entry.open_services() as services:
        rows = model_catalogue(services).rows
        file = services.settings.models_file
    if as_json:
        for row in rows:
            click.echo(compact_json(row))
        return
    _print(rows)
    forms = ", ".join(f"{kind}/NAME" for kind in VENDORS if kind != "simulated")
    click.echo(f"Also: {forms}. Names of your own, quotas and prices go into {file}")
    click.echo("`llm-jobs models set MODEL` changes a quota, weight or price while jobs run")


def _print(rows: Sequence[Mapping[str, object]]) -> None:
    """A table of the columns that say something of some model."""
    # Rich takes a tenth of a second to import, which --json does not need.
    from llm_jobs.cli.tables import print_table

    said = [name for name in rows[0] if name in _ALWAYS or any(row[name] not in (None, 1.0) for row in rows)]
    right = [name for name in said if name not in _NAMES]
    print_table(said, [[cell(row[name]) for name in said] for row in rows], right=right)
