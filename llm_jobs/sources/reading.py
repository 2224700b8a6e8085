"""One reading of one text file of rows: opened, decompressed, decoded, digested. A second pass is a second reading.

Which reader a format has is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import BinaryIO, Self

from llm_jobs.documents.job import Input
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.sources.batch_rows import batch_rows
from llm_jobs.sources.csv_rows import csv_header, csv_rows
from llm_jobs.sources.digest import DigestingReader, open_bytes
from llm_jobs.sources.json_rows import json_array_rows, json_line_rows
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.text import decompressed
from llm_jobs.sources.types import DeclaredTypes

TAB = "\t"
Located = tuple[int, dict[str, JsonValue]]
Reader = Callable[[BinaryIO, DeclaredTypes, Problems], Iterator[Located]]
READERS: Mapping[str, Reader] = {
    "csv": csv_rows,
    "tsv": partial(csv_rows, delimiter=TAB),
    "json": json_array_rows,
    "jsonl": json_line_rows,
}


class Reading:
    """A text input that is being read. Raises DocumentError when it cannot be opened."""

    def __init__(self, source: Input, problems: Problems | None = None, *, part: int = 0) -> None:
        """`part`: which of several files."""
        self._source = source
        urls = urls_of(source)
        self.url = urls[part]
        self.problems = Problems(self.url) if problems is None else problems
        if len(urls) > 1:
            self.problems.of_part(urls, part)
        self._bytes = DigestingReader(open_bytes(self.url))
        self._text = decompressed(self._bytes, self.url)  # closes what is below it when it is dropped: kept

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bytes.close()

    def rows(self) -> Iterator[Located]:
        """(line, row) in order, once. Raises DocumentError."""
        read = batch_rows if self._source.kind == "batch" else READERS[str(self._source.format)]
        types = DeclaredTypes(self._source.types, self.problems)
        return read(self._text, types, self.problems)

    def header(self) -> list[str]:
        """The column names of a CSV or TSV file. Raises DocumentError."""
        return csv_header(self._text, self.problems, delimiter=TAB if self._source.format == "tsv" else ",")

    def digest(self) -> str:
        """SHA-256 of the stored bytes, once the rows are read."""
        return self._bytes.finish()


def urls_of(source: Input) -> list[str]:
    """Where the files of an input lie, in their order."""
    return [file.url for file in source.files] or [url_of(source)]


def url_of(source: Input) -> str:
    """Where an input that is not inline lies."""
    if source.url is None:
        raise ValueError(f"an input of kind {source.kind} has a URL")
    return source.url
