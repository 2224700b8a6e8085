"""`llm-jobs schema`: the JSON Schema of documents, for editors."""

from __future__ import annotations

import json

import click

from llm_jobs.cli.texts import compact_json
from llm_jobs.documents.schema import NAMES, SchemaName, document_schema


@click.command(
    "schema",
    short_help="Print the JSON Schema of documents, for editors.",
    epilog="""\b
Examples:
  llm-jobs schema >job.schema.json
  llm-jobs schema --format task_graph --json""",
)
@click.option("--format", "name", type=click.Choice(NAMES), default="job", show_default=True, help="Which documents.")
@click.option("--json", "as_json", is_flag=True, help="Print it in one line.")
def command(name: SchemaName, as_json: bool) -> None:
    """Print the JSON Schema of documents, for editors; reads nothing.

    `job`: jobs, templates and pipelines of jobs, in YAML or JSON. `pair`: a configuration and a prompt.
    `pipeline`: nodes and edges. `task_graph`, `task_message`: those and lists of them. `batch`: one line of the file.
    """
    schema = document_schema(name)
    click.echo(compact_json(schema) if as_json else json.dumps(schema, indent=2, ensure_ascii=False))
