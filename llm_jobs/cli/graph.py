"""`llm-jobs graph`: the graph of a document as a picture, or in a form that means the same job."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath

import click

from llm_jobs.cli.documents import document_options
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.files import Draft
from llm_jobs.operations.graphs import graphs_of
from llm_jobs.operations.overrides import Overrides
from llm_jobs.pipelines.builder import Builder
from llm_jobs.pipelines.picture import picture
from llm_jobs.pipelines.svg import png, svg

FORMS = ("mermaid", "svg", "png", "json", "dependencies", "yaml", "python")
FORM_OF_SUFFIX = {
    ".mmd": "mermaid",
    ".svg": "svg",
    ".png": "png",
    ".json": "json",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".py": "python",
}
MODE = 0o644


@click.command(
    "graph",
    short_help="Draw the graph of a document, or print it as Mermaid, JSON, YAML or Python.",
    epilog="""\b
Examples:
  llm-jobs graph examples/summarise.yaml
  llm-jobs graph examples/summarise.yaml --output summarise.png
  llm-jobs graph pipeline.json --format yaml
  llm-jobs graph graph.py --format json""",
)
@click.argument("document", metavar="DOCUMENT")
@click.option("--format", "form", type=click.Choice(FORMS), help="Default: that of FILE's name, else mermaid.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Save to FILE, which must not exist.")
@document_options
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job: its name, and its graph.")
@click.pass_obj
def command(
    entry: Entry, document: str, overrides: Overrides, form: str | None, output: Path | None, as_json: bool
) -> None:
    """Draw or print the graph of a document; spends nothing.

    DOCUMENT is a document of any format, a job submitted before, or a Python script that builds a `graph`. Every form
    but mermaid and the pictures (svg, png) means the same job, prompts in line; where it is delivered and when it runs
    is not in it. png needs `pip install 'llm-jobs[png]'`.
    """
    chosen = form or _form_of(output)
    if chosen == "png" and as_json:
        raise click.UsageError("a PNG is no text that JSON could hold; choose --format svg, or leave --json out")
    if chosen == "png" and output is None and sys.stdout.isatty():
        raise click.UsageError("PNG is not for terminals; add --output FILE, or a pipe")
    with entry.open_services() as services:
        script = entry.working_directory / document if PurePath(document).suffix == ".py" else None
        content = _content(list(graphs_of(services, document, overrides, script=script)), chosen, as_json=as_json)
    if output is None:
        click.echo(content, nl=False)
    else:
        _save(content, entry.working_directory / output)


def _form_of(output: Path | None) -> str:
    """The form that the name of a file says; Mermaid where there is none."""
    if output is None:
        return "mermaid"
    if output.suffix.lower() not in FORM_OF_SUFFIX:
        raise click.UsageError(f"{output.name} says no format; add --format png, or another")
    return FORM_OF_SUFFIX[output.suffix.lower()]


def _content(graphs: Sequence[Builder], form: str, *, as_json: bool) -> bytes:
    """The graphs in this form, one after the other; the pictures of all are one."""
    if as_json:
        lines = ({"name": graph.members["name"], "format": form, "graph": _in_form(graph, form)} for graph in graphs)
        return "".join(compact_json(line) + "\n" for line in lines).encode()
    if form in ("svg", "png"):
        drawn = picture([(str(graph.members["name"]), graph.steps) for graph in graphs])
        return png(drawn) if form == "png" else svg(drawn).encode()
    values = (_in_form(graph, form) for graph in graphs)
    texts = (value if isinstance(value, str) else _indented(value) for value in values)
    return "".join(texts).encode()


def _in_form(graph: Builder, form: str) -> JsonValue:
    if form == "json":
        return graph.to_json()
    if form == "dependencies":
        return graph.to_dependency_json()
    texts = {"mermaid": graph.to_mermaid, "svg": graph.to_svg, "yaml": graph.to_yaml, "python": graph.to_python}
    return texts[form]()


def _indented(value: JsonValue) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _save(content: bytes, target: Path) -> None:
    draft = Draft(target)
    try:
        draft.path.write_bytes(content)
        draft.sync()
        draft.publish(mode=MODE)
    finally:
        draft.discard()
    click.echo(f"the graph is in {target}")
