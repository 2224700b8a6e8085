"""`llm-jobs validate`: is a document good, which jobs is it, what would be asked. Spends and records nothing."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from llm_jobs.cli.documents import document_options
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.exits import BAD_DOCUMENT, DONE, code_of, problems_of, told
from llm_jobs.cli.texts import compact_json, number, visible, visible_lines
from llm_jobs.errors import LlmJobsError
from llm_jobs.operations.deferring import Checked, check_pipeline
from llm_jobs.operations.examine import Examination, examine_named
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.services import Services


@click.command(
    "validate",
    short_help="Check documents and show what would be asked; spends nothing.",
    epilog="""\b
Examples:
  llm-jobs validate examples/reviews.yaml
  llm-jobs validate examples/reviews.yaml --model anthropic/claude-haiku-4-5 --json""",
)
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENT...")
@document_options
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job and nothing else.")
@click.pass_obj
def command(entry: Entry, documents: tuple[str, ...], overrides: Overrides, as_json: bool) -> int:
    """Check documents and show what would be asked; spends nothing.

    Prints each job's hash, its rows and its first request. DOCUMENT is a file or a job submitted before. Every document
    is looked at, whatever is wrong with those before it. With --json, a document that is refused is one line with its
    `problems`.
    """
    code = DONE
    with entry.open_services() as services:
        for document in documents:
            try:
                code = max(code, _validated(services, document, overrides, as_json=as_json))
            except LlmJobsError as error:
                code = max(code, _refused(document, error, as_json=as_json))
    return code


def _validated(services: Services, document: str, overrides: Overrides, *, as_json: bool) -> int:
    if (pipeline := check_pipeline(services, document)) is not None:
        _print_pipeline(document, pipeline, as_json=as_json)
        return DONE
    code = DONE
    for found in examine_named(services, document, overrides):
        code = BAD_DOCUMENT if found.problem else code
        if as_json:
            click.echo(compact_json(asdict(found)))
        else:
            _print(found)
    return code


def _refused(document: str, error: LlmJobsError, *, as_json: bool) -> int:
    if not as_json:
        return told(error)
    click.echo(compact_json({"document": document, "problems": problems_of(error)}))
    return code_of(error)


def _print_pipeline(document: str, pipeline: Checked, *, as_json: bool) -> None:
    if as_json:
        click.echo(compact_json({"pipeline": document, "jobs": list(pipeline.names)}))
    else:
        click.echo(f"{visible(document)}: a pipeline of {', '.join(visible(name) for name in pipeline.names)}")


def _print(found: Examination) -> None:
    models = ", ".join(visible(model) for model in found.models)
    click.echo(
        f"{found.job_hash}  {visible(found.name)}  {number(found.rows, 'row')}, at most "
        f"{number(found.calls, 'call')} of {models}"
    )
    if found.table is not None:
        click.echo(f"table {visible(found.table)}")
    if found.problem is not None:
        click.echo(f"error: {visible(found.problem)}", err=True)
    else:
        click.echo(f"first request{f' to {found.url}' if found.url else ''}:")
        click.echo(visible_lines(json.dumps(found.request, indent=2, ensure_ascii=False)))
