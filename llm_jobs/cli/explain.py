"""`llm-jobs explain`: the job that a document is, with where each value was written."""

from __future__ import annotations

import click

from llm_jobs.cli.documents import document_options
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, visible_lines
from llm_jobs.operations.explain import explain_document
from llm_jobs.operations.finding import document_named
from llm_jobs.operations.overrides import Overrides


@click.command(
    "explain",
    short_help="Print the resolved job of a document, with where each value comes from.",
    epilog="""\b
Examples:
  llm-jobs explain examples/summarise.yaml
  llm-jobs explain examples/reviews.yaml --param temperature=0.5 --json""",
)
@click.argument("document", metavar="DOCUMENT")
@document_options
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job and nothing else.")
@click.pass_obj
def command(entry: Entry, document: str, overrides: Overrides, as_json: bool) -> None:
    """Print the resolved job of a document, with where each value comes from; spends nothing.

    What is printed is a document that means the same job: template, stack, profile, parameters, variables and library
    prompts are put in. Behind each value stands its line, profile, option, parameter, library prompt, variable or
    `default`. Secrets stay the names of their variables.
    """
    with entry.open_services() as services:
        path = document_named(services.settings, document, working_directory=services.working_directory)
        explanations = explain_document(services, path, overrides)
    for index, each in enumerate(explanations):
        if as_json:
            facts = {"job_hash": each.job_hash, "file": each.file, "document": each.document, "origins": each.origins}
            click.echo(compact_json(facts))
        else:
            click.echo(("---\n" if index else "") + f"# {each.file}: job {each.job_hash}")
            click.echo(visible_lines(each.text), nl=False)
