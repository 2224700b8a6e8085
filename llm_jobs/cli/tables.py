"""Tables on standard output for people. What stands in a cell is text and nothing else: no markup, no control codes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_OF_FILES = 200  # columns, where there is no terminal that has a width


def console() -> Console:
    """Standard output as it is now."""
    is_terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if is_terminal else WIDTH_OF_FILES,
    )


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Print rows of texts that `texts.cell` or its like made. `right`: columns of numbers."""
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(Text(column), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(value) for value in row))
    console().print(table)
