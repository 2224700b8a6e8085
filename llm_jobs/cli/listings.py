"""Lists of what the home folder holds: a table on a terminal, a line of JSON each for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from llm_jobs.cli.texts import cell, compact_json


def print_listing(rows: Sequence[Mapping[str, object]], *, as_json: bool, empty: str) -> None:
    """The rows, which have the same columns; `empty` is said where there is none."""
    if as_json:
        for row in rows:
            click.echo(compact_json(row))
    elif not rows:
        click.echo(empty)
    else:
        # Rich takes a tenth of a second to import, which --json does not need.
        from llm_jobs.cli.tables import print_table

        columns = list(rows[0])
        print_table(columns, [[cell(row[name]) for name in columns] for row in rows])
