"""Rows kept in a nameless temporary file until the types of their columns are known.

Types are those of every value and never of a sample, so a table that does not state them is written down as it is read,
and typed at its end: a server can be read only once, and to read JSON strictly again takes four times as long as to
read back what is known to be sound. Memory: one row. The file has no name and goes with the process.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

import orjson
import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import INPUT_ERROR
from llm_jobs.sources.frozen_file import MARK_COLUMN, FrozenWriter, json_text, refuse_mark
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.shapes import TableShape
from llm_jobs.sources.types import DeclaredTypes

Row = dict[str, JsonValue]
SLOW = b" "  # begins a line that the standard library writes and reads


class Spool:
    """Rows on their way to a frozen file. `add` them all, then `write` once."""

    def __init__(self, folder: Path, types: DeclaredTypes, problems: Problems, *, names: Iterable[str] = ()) -> None:
        """`names`: the columns, where they are known before the first row."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - closed by __exit__
        self._types = types
        self._problems = problems
        self._shape = TableShape(names)
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, row: Row | None) -> None:
        """Take the next row, of which the declared columns are converted; None for one that was noted as a problem.
        Raises DocumentError."""
        self.rows += 1
        if row is not None:
            self._types.apply(row, self.rows)
        if (reason := self._problems.taken()) is not None:
            row = {INPUT_ERROR: reason}
        if row is not None:  # otherwise the table will be refused
            self.keep(row, self.rows)

    def keep(self, row: Row, line: int) -> None:
        """Take the next row as it was read at `line`: converted, or marked as one that cannot be used."""
        if not (self._problems.is_tolerant and INPUT_ERROR in row):
            self._shape.see(row, line)
        self._file.write(_line(row))

    def write(self, path: Path, shown: Mapping[str, pa.DataType]) -> None:
        """Write the Parquet file. `shown`: the types that the result shows of columns that hold their text here.

        Raises DocumentError where values of two types meet in one column.
        """
        self._problems.refuse()
        columns = self._shape.columns(self._problems, types=self._types.types)
        refuse_mark(self._shape.names, self._problems)
        face = pa.schema([pa.field(each.name, shown.get(each.name, each.type)) for each in columns])
        stored = [*columns, MARK_COLUMN] if self._problems.is_tolerant else columns
        self._file.seek(0)
        with FrozenWriter(path, stored, face) as writer:
            for _ in writer.through(self._read()):
                pass

    def _read(self) -> Iterator[Row]:
        for line in self._file:
            yield json.loads(line) if line.startswith(SLOW) else orjson.loads(line)


def _line(row: Row) -> bytes:
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer of more than 64 bits, which orjson would read back as another number
        return SLOW + json_text(row).encode() + b"\n"
