"""`llm-jobs find`: from the name of a submitted file to its results. Opens no document, input or result."""

from __future__ import annotations

from pathlib import PurePath

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json
from llm_jobs.errors import NotFound
from llm_jobs.operations.find import find_results


@click.command(
    "find",
    short_help="Print where the results of a submitted file lie; opens no file.",
    epilog="""\b
Examples:
  llm-jobs find reviews.yaml
  llm-jobs find reviews.yaml --json""",
)
@click.argument("file_name", metavar="FILE_NAME")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per result and nothing else.")
@click.pass_obj
def command(entry: Entry, file_name: str, as_json: bool) -> None:
    """Print where the results of a submitted file lie, newest first; opens no file.

    FILE_NAME is the name under which a document was submitted; folders before it do not count.
    """
    name = PurePath(file_name).name
    with entry.open_services() as services:
        paths = find_results(services, name)
        if not paths and not services.ledger.submissions(document_name=name):
            raise NotFound(f"no document was submitted as {name!r}; `llm-jobs status` lists the jobs")
    for path in paths:
        click.echo(compact_json({"document": name, "result": path}) if as_json else path)
    if not paths:
        click.echo("null-result: the document was submitted and has no result yet", err=True)
