"""`llm-jobs stacks`: the stacks of the home folder, with their parameters."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.listings import print_listing
from llm_jobs.operations.reusable import stacks


@click.command(
    "stacks",
    short_help="List the stacks of the home folder, with their parameters.",
    epilog="""\b
Examples:
  llm-jobs stacks
  llm-jobs stacks --json""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per version and nothing else.")
@click.pass_obj
def command(entry: Entry, as_json: bool) -> None:
    """List the stacks of the home folder, with their parameters."""
    with entry.open_services() as services:
        rows = stacks(services)
        folder = services.settings.stacks
    empty = f"There is no stack in {folder}. A stack is a file NAME/VERSION.yaml with `prompts`, `steps` or `phases`."
    print_listing(rows, as_json=as_json, empty=empty)
