"""`llm-jobs create-job-from-template`: a job document of a template and its parameters, printed, saved or submitted."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json
from llm_jobs.documents.choices import read_parameters
from llm_jobs.errors import ImmutableError
from llm_jobs.operations.accept import read_jobs
from llm_jobs.operations.intake import place_in_inbox
from llm_jobs.operations.overrides import NO_OVERRIDES
from llm_jobs.operations.services import Services
from llm_jobs.operations.templates import MadeDocument, in_a_file, make_document


@click.command(
    "create-job-from-template",
    short_help="Make a job document of a template, with its parameters filled in.",
    epilog="""\b
Examples:
  llm-jobs create-job-from-template analysis_template --param input_table=reviews --name review_analysis
  llm-jobs create-job-from-template labels.yaml --param model_name=simulated --out tonight.yaml
  llm-jobs create-job-from-template labels --param language=German --name labels_de --submit""",
)
@click.argument("template", metavar="TEMPLATE")
@click.option("--param", "parameters", multiple=True, metavar="K=V", help="Give a parameter of the template.")
@click.option("--name", "job_name", metavar="JOB", help="Name the new job; else it is named as the template.")
@click.option("--out", metavar="FILE", help="Write the document to FILE, which must not exist.")
@click.option("--submit", is_flag=True, help="Place the document in the inbox.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON that tells what was made.")
@click.pass_obj
def command(
    entry: Entry,
    template: str,
    parameters: tuple[str, ...],
    job_name: str | None,
    out: str | None,
    submit: bool,
    as_json: bool,
) -> None:
    """Make a job document of a template, with its parameters filled in; spends nothing.

    TEMPLATE is a name in the home folder's `templates/`, or a file. The document is printed, unless --out or --submit
    say where it goes.
    """
    with entry.open_services() as services:
        made = make_document(services, template, read_parameters(parameters), job_name=job_name)
        placed = _submitted(services, made) if submit else None
    saved = None if out is None else _saved(entry.working_directory / out, made.text)
    if as_json:
        facts = {"template": made.template, "document": made.text, "file": saved, "inbox": placed}
        click.echo(compact_json(facts))
    elif saved is None and placed is None:
        click.echo(made.text, nl=False)
    else:
        click.echo("\n".join(path for path in (saved, placed) if path))


def _submitted(services: Services, made: MadeDocument) -> str:
    with TemporaryDirectory(prefix="llm-jobs-") as folder:
        path = in_a_file(made, Path(folder))
        read_jobs(services, path, NO_OVERRIDES)
        return str(place_in_inbox(services, path))


def _saved(path: Path, text: str) -> str:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ImmutableError(f"{path} exists; choose another name, or remove it") from None
    return str(path)
