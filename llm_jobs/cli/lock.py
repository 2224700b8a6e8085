"""`llm-jobs lock`: pin what a document's ranges stand for, in a file beside it."""

from __future__ import annotations

from pathlib import Path

import click

from llm_jobs.cli.entry import Entry
from llm_jobs.cli.exits import BAD_DOCUMENT, DONE
from llm_jobs.cli.texts import compact_json, visible
from llm_jobs.documents.choices import read_parameters
from llm_jobs.documents.locks import lock_differences
from llm_jobs.operations.finding import document_named
from llm_jobs.operations.locking import lock_of, lock_path, make_lock, save_lock


@click.command(
    "lock",
    short_help="Pin the versions of prompts, stacks and models that a document means.",
    epilog="""\b
Examples:
  llm-jobs lock examples/summarise.yaml
  llm-jobs lock examples/summarise.yaml --update""",
)
@click.argument("document", metavar="DOCUMENT")
@click.option("--param", "parameters", multiple=True, metavar="K=V", help="Give a parameter of a template or a stack.")
@click.option("--update", is_flag=True, help="Replace a lock that says otherwise.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON and nothing else.")
@click.pass_obj
def command(entry: Entry, document: str, parameters: tuple[str, ...], update: bool, as_json: bool) -> int:
    """Pin the versions of prompts, stacks and models that a document means; spends nothing.

    Writes DOCUMENT.lock beside it: each range, the version that it stands for under any profile, and the digest of
    what that version says. `run` and `submit` then use exactly those, and refuse one that says something else. Keep
    the lock with the document. Exits with 2 where a lock is there and says otherwise, unless --update is given.
    """
    with entry.open_services() as services:
        path = document_named(services.settings, document, working_directory=services.working_directory)
        old, new = lock_of(path), make_lock(services, path, read_parameters(parameters))
    changes = [] if old is None else lock_differences(old, new)
    saved = old is None or (bool(changes) and update)
    if saved:
        save_lock(path, new)
    pinned = {"prompts": len(new.prompts), "stacks": len(new.stacks), "models": len(new.models)}
    if as_json:
        click.echo(compact_json({"lock": str(lock_path(path)), **pinned, "changes": changes, "written": saved}))
    else:
        _print(lock_path(path), pinned, changes, saved=saved)
    return BAD_DOCUMENT if changes and not saved else DONE


def _print(lock: Path, pinned: dict[str, int], changes: list[str], *, saved: bool) -> None:
    for change in changes:
        click.echo(visible(change))
    counts = ", ".join(f"{count} {what}" for what, count in pinned.items())
    if saved:
        click.echo(f"{lock}: {counts}")
    elif changes:
        click.echo(f"{lock} says otherwise and was left as it is; give --update to accept these changes", err=True)
    else:
        click.echo(f"{lock}: {counts}, unchanged")
