"""`llm-jobs graph`: the graph of a document as a picture's text, or in another form that means the same job."""

from __future__ import annotations

import json
from pathlib import PurePath

import click

from llm_jobs.cli.documents import document_options
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.operations.graphs import graphs_of
from llm_jobs.operations.overrides import Overrides
from llm_jobs.pipelines.builder import Builder

FORMS = ("mermaid", "json", "dependencies", "yaml", "python")


@click.command(
    "graph",
    short_help="Print the graph of a document: Mermaid, JSON, YAML or Python.",
    epilog="""\b
Examples:
  llm-jobs graph examples/summarise.yaml
  llm-jobs graph pipeline.json --format yaml
  llm-jobs graph graph.py --format json""",
)
@click.argument("document", metavar="DOCUMENT")
@click.option("--format", "form", type=click.Choice(FORMS), default="mermaid", show_default=True, help="What to print.")
@document_options
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job: its name, and its graph.")
@click.pass_obj
def command(entry: Entry, document: str, overrides: Overrides, form: str, as_json: bool) -> None:
    """Print the graph of a document; spends nothing.

    DOCUMENT is a document of any format, a job submitted before, or a Python script that builds a `graph`. Every form
    but mermaid means the same job, prompts in line; where it is delivered and when it runs is not in it.
    """
    with entry.open_services() as services:
        script = entry.working_directory / document if PurePath(document).suffix == ".py" else None
        for graph in graphs_of(services, document, overrides, script=script):
            value = _in_form(graph, form)
            if as_json:
                click.echo(compact_json({"name": graph.members["name"], "format": form, "graph": value}))
            else:
                text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False) + "\n"
                click.echo(text, nl=False)


def _in_form(graph: Builder, form: str) -> JsonValue:
    if form == "json":
        return graph.to_json()
    if form == "dependencies":
        return graph.to_dependency_json()
    return {"mermaid": graph.to_mermaid, "yaml": graph.to_yaml, "python": graph.to_python}[form]()
