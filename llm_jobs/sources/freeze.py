"""Freezes a table when it is first read: one Parquet file per job that nobody changes, checked against its digest.

`inputs/<job hash>/<epoch ns>.parquet`, written beside, synced, linked without replacing, read-only. The bytes are
digested while they are read; where they differ from what was submitted there is no file. Parquet inputs are checked
and stay where they are; inline rows are in the job itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.documents.identity import rows_digest
from llm_jobs.documents.job import Input
from llm_jobs.errors import ImmutableError, InputChanged, Problem
from llm_jobs.files import Draft
from llm_jobs.sources.digest import digest_file, open_bytes
from llm_jobs.sources.frozen_file import BAD_ROW, BAD_ROWS, MARK_COLUMN, FrozenWriter, refuse_mark
from llm_jobs.sources.parquet_files import write_parquet_files
from llm_jobs.sources.parquet_rows import open_parquet, shown_schema
from llm_jobs.sources.problems import PART_LINES, Problems
from llm_jobs.sources.reach import NOWHERE, Reach
from llm_jobs.sources.reading import Reading, url_of, urls_of
from llm_jobs.sources.shapes import Column
from llm_jobs.sources.spool import Spool
from llm_jobs.sources.types import ARROW_TYPES, DeclaredTypes

SUFFIX = ".parquet"
NO_TYPES: Mapping[str, str] = {}
BATCH_COLUMNS = [Column(name=name, type=pa.string()) for name in ("custom_id", "method", "url")]
BATCH_COLUMNS.append(Column(name="body", type=pa.string(), as_json=True))
BATCH_SHOWN = pa.schema([pa.field("custom_id", pa.string())])


@dataclass(frozen=True, kw_only=True, slots=True)
class FrozenInput:
    """A table that does not change: a frozen file, or the user's own Parquet file. `schema`: what the result shows.

    `types`: declared types to which the rows are converted as they are read. `bad_rows`: rows that could not be read,
    each marked with its reason; `bad_row` is the first.
    """

    path: str
    rows: int
    schema: pa.Schema
    types: Mapping[str, str] = field(default_factory=dict)
    bad_rows: int = 0
    bad_row: str | None = None


def freeze(
    source: Input, folder: Path, *, epoch_ns: int, reach: Reach = NOWHERE, is_tolerant: bool = False
) -> FrozenInput:
    """Freeze an input that is not inline in `folder`, the job's own; the newest frozen one there is used as it is.

    `is_tolerant`: rows that cannot be read are marked with the reason. Raises InputChanged when the bytes are not those
    that were submitted, DocumentError when they are no table, SetupError where a server cannot be used.
    """
    if source.format == "parquet" and not source.files:
        return _checked_parquet(source)
    types = source.types if source.format == "parquet" else {}
    frozen = find_frozen(folder, types)
    if frozen is not None:
        return frozen
    # Two processes may read a server at once and find different rows: they have one name, and the first has it.
    target = folder / f"{source.as_of_ns or epoch_ns}{SUFFIX}"
    try:
        _write_once(source, target, reach, is_tolerant=is_tolerant)
    except ImmutableError:
        if not target.exists():
            raise
    return described(target, types)


def _write_once(source: Input, target: Path, reach: Reach, *, is_tolerant: bool) -> None:
    """Raises ImmutableError where another was quicker."""
    draft = Draft(target)
    try:
        _write(source, draft.path, reach, is_tolerant=is_tolerant)
        draft.sync()
        draft.publish()
    finally:
        draft.discard()


def find_frozen(folder: Path, types: Mapping[str, str] = NO_TYPES) -> FrozenInput | None:
    """The newest frozen input in a job's folder."""
    names = [path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal()]
    return described(max(names, key=lambda path: int(path.stem)), types) if names else None


def described(path: Path, types: Mapping[str, str] = NO_TYPES) -> FrozenInput:
    """What a frozen file holds, from its footer."""
    with pq.ParquetFile(path) as file:
        told = file.metadata.metadata or {}
        reason = told.get(BAD_ROW.encode())
        return FrozenInput(
            path=str(path),
            rows=file.metadata.num_rows,
            schema=shown_schema(file, types),
            types=types,
            bad_rows=int(told.get(BAD_ROWS.encode(), b"0")),
            bad_row=None if reason is None else reason.decode(),
        )


def _checked_parquet(source: Input) -> FrozenInput:
    url = url_of(source)
    _check(url, source.digest, digest_file(url))
    with open_bytes(url) as stream:
        file = open_parquet(stream, Problems(url))
        schema = shown_schema(file, source.types)
        return FrozenInput(path=url, rows=file.metadata.num_rows, schema=schema, types=source.types)


def _check(url: str | None, submitted: str, digest: str) -> None:
    if digest != submitted:
        problem = Problem(
            what="input changed since submission",
            file=url,
            value=f"SHA-256 {digest}",
            rule=f"the job was submitted with SHA-256 {submitted}",
            remedy="submit the document again: another table is another job, and answers that are known cost nothing",
        )
        raise InputChanged([problem])


def _write(source: Input, path: Path, reach: Reach, *, is_tolerant: bool) -> None:
    if source.query is not None:
        _write_query(source, path, reach, Problems(source.query.place, is_tolerant=is_tolerant))
    elif source.api is not None:
        _write_api(source, path, reach, Problems(source.api.endpoint, is_tolerant=is_tolerant))
    elif source.kind == "batch":
        with Reading(source) as reading, FrozenWriter(path, BATCH_COLUMNS, BATCH_SHOWN) as writer:
            _check(source.url, source.digest, rows_digest(writer.through(row for _, row in reading.rows())))
    elif source.format == "parquet":
        for file in source.files:
            _check(file.url, file.digest, digest_file(file.url))
        write_parquet_files(urls_of(source), path)
    elif source.format in ("csv", "tsv"):
        _write_text(source, path, Problems(url_of(source), is_tolerant=is_tolerant))
    else:
        _write_json(source, path, Problems(url_of(source), is_tolerant=is_tolerant))


def _write_text(source: Input, path: Path, problems: Problems) -> None:
    """CSV: the columns are those of the header, and text unless another type is declared."""
    kinds = {name: ARROW_TYPES[kind] for name, kind in source.types.items()}
    columns = [Column(name=name, type=kinds.get(name, pa.string())) for name in _header(source, problems)]
    refuse_mark([column.name for column in columns], problems)
    shown = pa.schema([pa.field(column.name, column.type) for column in columns])
    with FrozenWriter(path, [*columns, MARK_COLUMN] if problems.is_tolerant else columns, shown) as writer:
        for reading in _readings(source, problems):
            for _ in writer.through(row for _, row in reading.rows()):
                pass


def _write_json(source: Input, path: Path, problems: Problems) -> None:
    """JSON: the columns and their types are those of all rows."""
    with Spool(path.parent, DeclaredTypes(source.types, problems), problems) as spool:
        for part, reading in enumerate(_readings(source, problems)):
            for line, row in reading.rows():
                spool.keep(row, part * PART_LINES + line)
        spool.write(path, {})


def _readings(source: Input, problems: Problems) -> Iterator[Reading]:
    """A reading of each file in its turn, whose bytes are checked when it is read."""
    digests = [file.digest for file in source.files] or [source.digest]
    for part, digest in enumerate(digests):
        with Reading(source, problems, part=part) as reading:
            yield reading
            _check(reading.url, digest, reading.digest())


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


def _header(source: Input, problems: Problems) -> list[str]:
    """The columns of the first file, which are those of every file."""
    names: list[str] = []
    for part in range(len(urls_of(source))):
        with Reading(source, problems, part=part) as reading:
            header = reading.header()
        if part and set(header) != set(names):
            problems.add(
                "the file has other columns than the first",
                line=1,
                value=", ".join(header),
                rule=f"{urls_of(source)[0]} has {', '.join(names)}",
                remedy="write the same header, in any order, or make the pattern narrower",
            )
        names = names or header
    problems.refuse()
    return names
