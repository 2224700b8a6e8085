"""Inputs for the tests of the room: files written and described as a submission would."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import zstandard

from llm_jobs.documents.identity import rows_digest
from llm_jobs.documents.job import FileFormat, Input
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.sources.digest import digest_file
from llm_jobs.sources.freeze import FrozenInput, freeze
from llm_jobs.sources.rows import iterate
from llm_jobs.sources.tables import open_table

Row = dict[str, JsonValue]
COMPRESS: Mapping[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def file_input(path: Path, form: FileFormat, *, types: Mapping[str, str] | None = None) -> Input:
    """The input that a document which names `path` has when it is submitted."""
    return Input(kind="file", digest=digest_file(str(path)), url=str(path), format=form, types=types or {})


def written(folder: Path, content: str | bytes, form: FileFormat, *, types: Mapping[str, str] | None = None) -> Input:
    """An input file with `content`."""
    path = folder / f"table.{form}"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return file_input(path, form, types=types)


def batch_input(path: Path) -> Input:
    """The input of a batch file."""
    unknown = Input(kind="batch", digest="", url=str(path))
    return Input(kind="batch", digest=rows_digest(rows_of(unknown)), url=str(path))


def rows_of(source: Input) -> list[Row]:
    """All rows as they stand."""
    return [row for batch in iterate(source) for row in batch]


def frozen_rows(source: Input, folder: Path, *, batch_rows: int = 1024) -> list[Row]:
    """All rows of the frozen table."""
    return [row for batch in open_table(source, frozen(source, folder)).batches(batch_rows=batch_rows) for row in batch]


def frozen(source: Input, folder: Path) -> FrozenInput:
    """The input, frozen."""
    return freeze(source, folder / "inputs", epoch_ns=1_700_000_000_000_000_001)


def json_lines(rows: Sequence[str]) -> str:
    """A JSONL file of rows that are JSON texts."""
    return "".join(f"{row}\n" for row in rows)
