"""Rows of a CSV file (RFC 4180: commas, double quotes), or of a TSV file, the same with tabs: text as it stands, empty
is "". Streams.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.table_sources import INPUT_ERROR
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.text import LARGEST_ROW_BYTES, text_lines
from llm_jobs.sources.types import DeclaredTypes

if TYPE_CHECKING:
    import _csv


def csv_rows(
    stream: BinaryIO, types: DeclaredTypes, problems: Problems, *, delimiter: str = ","
) -> Iterator[tuple[int, dict[str, JsonValue]]]:
    """(line, row) for each record. Blank lines are no records. Raises DocumentError."""
    # The module's limit is the process's; its default of 128 KiB is less than one long document.
    csv.field_size_limit(LARGEST_ROW_BYTES)
    reader = csv.reader(text_lines(stream, problems), delimiter=delimiter, strict=True)
    try:
        header = _header(reader, problems)
        types.check_columns(header)
        yield from _records(reader, header, types, problems)
    except csv.Error as error:
        raise problems.fatal(
            f"broken CSV: {error}",
            line=reader.line_num,
            rule='fields are separated by commas, quoted with " where needed, and a " inside is doubled',
            remedy="correct the quotes of this record",
        ) from None


def csv_header(stream: BinaryIO, problems: Problems, *, delimiter: str = ",") -> list[str]:
    """The names of the columns. Raises DocumentError."""
    return _header(csv.reader(text_lines(stream, problems), delimiter=delimiter, strict=True), problems)


def _header(reader: Iterator[list[str]], problems: Problems) -> list[str]:
    header = next((record for record in reader if record), None)
    if header is None:
        raise problems.fatal("the file is empty", rule="a CSV file begins with a header", remedy="write one")
    for index, name in enumerate(header):
        if not name.strip():
            problems.add(
                f"column {index + 1} has no name",
                line=1,
                rule="every column has a name",
                remedy="name it in the header",
            )
        elif name in header[:index]:
            problems.add(
                "a column is named twice", line=1, key=name, rule="column names are unique", remedy="rename one of them"
            )
    problems.refuse()
    return header


def _records(
    reader: _csv.Reader, header: list[str], types: DeclaredTypes, problems: Problems
) -> Iterator[tuple[int, dict[str, JsonValue]]]:
    width = len(header)
    line = reader.line_num + 1
    for record in reader:
        if len(record) == width:
            row: dict[str, JsonValue] = dict(zip(header, record, strict=True))
            types.apply(row, line)
        elif record:
            problems.add(
                f"the record has {len(record)} fields",
                line=line,
                value=",".join(record),
                rule=f"the header has {width}",
                remedy='write every field, and put a field that contains a comma in "quotes"',
            )
        if (reason := problems.taken()) is not None:
            yield line, {INPUT_ERROR: reason}
        elif len(record) == width and not problems:
            yield line, row
        line = reader.line_num + 1
    problems.refuse()
