"""Rows of an OpenAI batch file: one request per line. Whether a request makes sense is the document's to say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.sources.json_rows import json_line_rows
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.types import DeclaredTypes

MEMBERS: dict[str, type] = {"custom_id": str, "method": str, "url": str, "body": dict}
RULE = "a line of a batch file is {custom_id, method, url, body}"


def batch_rows(
    stream: BinaryIO, types: DeclaredTypes, problems: Problems
) -> Iterator[tuple[int, dict[str, JsonValue]]]:
    """(line, row) with exactly the members custom_id, method, url (text) and body (an object). Raises DocumentError."""
    for line, row in json_line_rows(stream, types, problems):
        if row.keys() != MEMBERS.keys():
            _note_members(row, line, problems)
        for name, kind in MEMBERS.items():
            if name in row and not isinstance(row[name], kind):
                what = "text" if kind is str else "an object"
                problems.add(
                    f"{name} is not {what}", line=line, key=name, value=row[name], rule=RULE, remedy="correct it"
                )
        if not problems:
            yield line, {name: row[name] for name in MEMBERS}


def _note_members(row: dict[str, JsonValue], line: int, problems: Problems) -> None:
    for name in MEMBERS.keys() - row.keys():
        problems.add(f"{name} is missing", line=line, key=name, rule=RULE, remedy="add it")
    for name in row.keys() - MEMBERS.keys():
        problems.add("unknown member", line=line, key=name, value=row[name], rule=RULE, remedy="remove it")
