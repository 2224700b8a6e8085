"""`llm-jobs prompts`: what the prompt library holds."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.listings import print_listing
from llm_jobs.operations.inventories import prompt_library


@click.command(
    "prompts",
    short_help="List the prompts of the library.",
    epilog="""\b
Examples:
  llm-jobs prompts
  llm-jobs prompts --json""",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per version and nothing else.")
@click.pass_obj
def command(entry: Entry, as_json: bool) -> None:
    """List the prompts of the library, with every version."""
    with entry.open_services() as services:
        rows = prompt_library(services).rows
        folder = services.library.folder
    empty = f"There is no prompt in {folder}. A prompt is a file NAME/VERSION.yaml with `text` or `messages`."
    print_listing(rows, as_json=as_json, empty=empty)
