"""`llm-jobs origin`: from a result to its job, by its path alone. Opens nothing, not even the ledger."""

from __future__ import annotations

import click

from llm_jobs.cli.texts import compact_json
from llm_jobs.errors import NotFound
from llm_jobs.results.layout import job_of


@click.command(
    "origin",
    short_help="Print the job that a result belongs to; opens no file.",
    epilog="""\b
Examples:
  llm-jobs origin data/results/00112233445566778899aabbccddeeff/1763000000000000000.parquet""",
)
@click.argument("result_path", metavar="RESULT_PATH")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
def command(result_path: str, as_json: bool) -> None:
    """Print the job that a result belongs to; opens no file.

    `llm-jobs status` tells the name of a job and who submitted it.
    """
    try:
        job_hash = job_of(result_path)
    except ValueError as error:
        raise NotFound(str(error)) from None
    click.echo(compact_json({"result": result_path, "job_hash": job_hash}) if as_json else job_hash)
