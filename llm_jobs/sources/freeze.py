"""Freezes a table when it is first read: one Parquet file per job that nobody changes, checked against its digest.

`inputs/<job hash>/<epoch ns>.parquet`, written beside, synced, linked without replacing, read-only. The bytes are
digested while they are read, in every pass; where they differ from what was submitted there is no file. Parquet inputs
are checked and stay where they are; inline rows are in the job itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.documents.identity import rows_digest
from llm_jobs.documents.job import Input
from llm_jobs.errors import InputChanged, Problem
from llm_jobs.files import Draft
from llm_jobs.sources.digest import digest_file, open_bytes
from llm_jobs.sources.frozen_file import FrozenWriter
from llm_jobs.sources.parquet_rows import open_parquet, shown_schema
from llm_jobs.sources.problems import Problems
from llm_jobs.sources.reach import NOWHERE, Reach
from llm_jobs.sources.reading import Reading, url_of
from llm_jobs.sources.shapes import Column, TableShape
from llm_jobs.sources.spool import Spool
from llm_jobs.sources.types import ARROW_TYPES, DeclaredTypes

SUFFIX = ".parquet"
BATCH_COLUMNS = [Column(name=name, type=pa.string()) for name in ("custom_id", "method", "url")]
BATCH_COLUMNS.append(Column(name="body", type=pa.string(), as_json=True))
BATCH_SHOWN = pa.schema([pa.field("custom_id", pa.string())])


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenInput:
    """A table that does not change: a frozen file, or the user's own Parquet file. `schema`: what the result shows."""

    path: str
    rows: int
    schema: pa.Schema


def freeze(
    source: Input, folder: Path, *, epoch_ns: int, reach: Reach = NOWHERE, is_tolerant: bool = False
) -> FrozenInput:
    """Freeze an input that is not inline in `folder`, the job's own; the newest frozen one there is used as it is.

    JSON is read twice: its types are those of the whole file. `is_tolerant`: rows that cannot be read are marked with
    the reason. Raises InputChanged when the bytes are not those that were submitted, DocumentError when they are no
    table, SetupError where a server cannot be used.
    """
    if source.format == "parquet":
        return _checked_parquet(source)
    frozen = find_frozen(folder)
    if frozen is not None:
        return frozen
    draft = Draft(folder / f"{epoch_ns}{SUFFIX}")
    try:
        _write(source, draft.path, reach, is_tolerant=is_tolerant)
        draft.sync()
        draft.publish()
    finally:
        draft.discard()
    return described(draft.target)


def find_frozen(folder: Path) -> FrozenInput | None:
    """The newest frozen input in a job's folder."""
    names = [path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
    return described(max(names, key=lambda path: int(path.stem))) if names else None


def described(path: Path) -> FrozenInput:
    """What a frozen file holds, from its footer."""
    with pq.ParquetFile(path) as file:
        return FrozenInput(path=str(path), rows=file.metadata.num_rows, schema=shown_schema(file, {}))


def _checked_parquet(source: Input) -> FrozenInput:
    url = url_of(source)
    _check(source, digest_file(url))
    with open_bytes(url) as stream:
        file = open_parquet(stream, Problems(url))
        return FrozenInput(path=url, rows=file.metadata.num_rows, schema=shown_schema(file, source.types))


def _check(source: Input, digest: str) -> None:
    if digest != source.digest:
        problem = Problem(
            what="input changed since submission",
            file=source.url,
            value=f"SHA-256 {digest}",
            rule=f"the job was submitted with SHA-256 {source.digest}",
            remedy="submit the document again: another table is another job, and answers that are known cost nothing",
        )
        raise InputChanged([problem])


def _write(source: Input, path: Path, reach: Reach, *, is_tolerant: bool) -> None:
    if source.query is not None:
        _write_query(source, path, reach, Problems(source.query.place, is_tolerant=is_tolerant))
        return
    if source.api is not None:
        _write_api(source, path, reach, Problems(source.api.endpoint, is_tolerant=is_tolerant))
        return
    if source.kind == "batch":
        with Reading(source) as reading, FrozenWriter(path, BATCH_COLUMNS, BATCH_SHOWN) as writer:
            _check(source, rows_digest(writer.through(row for _, row in reading.rows())))
        return
    columns = _columns(source)
    shown = pa.schema([pa.field(column.name, column.type) for column in columns])
    with Reading(source) as reading, FrozenWriter(path, columns, shown) as writer:
        for _ in writer.through(row for _, row in reading.rows()):
            pass
        _check(source, reading.digest())


def _write_query(source: Input, path: Path, reach: Reach, problems: Problems) -> None:
    from llm_jobs.sources.queries import open_query  # SQLAlchemy takes 0.2 s to import, for tables of databases only

    types = DeclaredTypes(source.types, problems)
    with (
        open_query(source, reach, problems) as reading,
        Spool(path.parent, types, problems, names=reading.names) as spool,
    ):
        types.check_columns(reading.names)
        for row in reading.rows():
            spool.add(row)
        spool.write(path, {name: kind for name, kind in reading.values.shown().items() if name not in source.types})


def _write_api(source: Input, path: Path, reach: Reach, problems: Problems) -> None:
    from llm_jobs.sources.api_rows import api_rows  # httpx takes 0.1 s to import, for tables of servers only

    with Spool(path.parent, DeclaredTypes(source.types, problems), problems) as spool:
        for row in api_rows(source, reach, problems):
            spool.add(row)
        spool.write(path, {})


def _columns(source: Input) -> list[Column]:
    """The columns: of CSV from its header, of JSON from a pass over the whole file."""
    with Reading(source) as reading:
        if source.format == "csv":
            kinds = {name: ARROW_TYPES[kind] for name, kind in source.types.items()}
            return [Column(name=name, type=kinds.get(name, pa.string())) for name in reading.header()]
        shape = TableShape()
        for line, row in reading.rows():
            shape.see(row, line)
        _check(source, reading.digest())
        return shape.columns(reading.problems, types=source.types)
