"""`llm-jobs templates`: the templates of the home folder, with their parameters."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.listings import print_listing
from llm_jobs.operations.reusable import templates


@click.command(
    "templates",
    short_help="List the templates of the home folder, with their parameters.",
    epilog="""\b
Examples:
  llm-jobs templates
  llm-jobs templates --json""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per template and nothing else.")
@click.pass_obj
def command(entry: Entry, as_json: bool) -> None:
    """List the templates of the home folder, with their parameters."""
    with entry.open_services() as services:
        rows = templates(services)
        folder = services.settings.templates
    empty = f"There is no template in {folder}. A template is a file NAME.yaml with `template:` and its `job`."
    print_listing(rows, as_json=as_json, empty=empty)
