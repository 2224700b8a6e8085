"""`llm-jobs submit`: documents into the inbox, each whole or not at all, after all of them were found good."""

from __future__ import annotations

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json
from llm_jobs.errors import NotFound
from llm_jobs.operations.deferring import check_document
from llm_jobs.operations.intake import place_all_in_inbox


@click.command(
    "submit",
    short_help="Place documents in the inbox, where a running instance answers them.",
    epilog="""\b
Examples:
  llm-jobs submit examples/reviews.yaml
  llm-jobs submit tonight/*.jsonl""",
)
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENT...")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per document and nothing else.")
@click.pass_obj
def command(entry: Entry, documents: tuple[str, ...], as_json: bool) -> None:
    """Place documents in the inbox, where a running instance answers them.

    Every document is checked first; where one is refused, none is placed. `make ui` starts an instance.
    """
    with entry.open_services() as services:
        click.echo(f"Ledger: {services.ledger.url}", err=as_json)
        paths = [services.working_directory / document for document in documents]
        if missing := [document for document, path in zip(documents, paths, strict=True) if not path.is_file()]:
            raise NotFound("\n".join(f"there is no file {document!r}" for document in missing))
        jobs = [check_document(services, path) for path in paths]
        placed_at = place_all_in_inbox(services, paths)
        for path, found, placed in zip(paths, jobs, placed_at, strict=True):
            if as_json:
                facts = {"document": path.name, "inbox": str(placed), **found.facts()}
                click.echo(compact_json(facts))
            else:
                click.echo(f"{placed}: {', '.join(found.job_hashes or found.names)}")
