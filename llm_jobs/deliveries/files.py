"""Delivers a result to a file of the user's: a copy in another place, written beside and linked into it.

Nothing of the user's is overwritten. A file that holds the same bytes already is the delivery; one that holds others
is left alone and the delivery refused. The path may say {name}, {job_hash} and {epoch}: a file for each result.
"""

from __future__ import annotations

import hashlib
import io
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.deliveries.formats import write_table
from llm_jobs.documents.destinations import FileOutput
from llm_jobs.errors import DocumentError, ImmutableError, Problem
from llm_jobs.files import Draft

MODE = 0o644
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
CHUNK_BYTES = 1 << 20
BATCH_ROWS = 16_384


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """The result that is delivered: what the placeholders of a path stand for."""

    name: str  # the job's
    job_hash: str
    epoch_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """A file in its place. `is_new`: False where the same bytes were there already."""

    path: Path
    sha256: str
    size_bytes: int
    rows: int
    is_new: bool


def destination(output: FileOutput, subject: Subject, *, base: Path, roots: Sequence[Path]) -> Path:
    """Where a result goes: placeholders filled in, relative to `base`, links followed.

    Raises DocumentError for an unknown placeholder and for a place that is under none of `roots`.
    """
    known = {"name": subject.name.replace("/", "_"), "job_hash": subject.job_hash, "epoch": str(subject.epoch_ns)}
    problems = [
        _problem(output, f"unknown placeholder {{{name}}}", f"known are {', '.join(known)}", "correct the path")
        for name in PLACEHOLDER.findall(output.path)
        if name not in known
    ]
    if problems:
        raise DocumentError(problems)
    place = (base / PLACEHOLDER.sub(lambda match: known[match[1]], output.path)).resolve()
    if not any(place.is_relative_to(root.resolve()) for root in roots):
        allowed = ", ".join(str(root) for root in roots) or "none"
        problem = _problem(
            output,
            f"{place} is outside the allowed folders",
            f"deliveries go under {allowed}",
            "choose a path there, or add its folder to LLM_JOBS_ALLOWED_ROOTS",
        )
        raise DocumentError([problem])
    return place


def deliver(result: BinaryIO, output: FileOutput, subject: Subject, *, base: Path, roots: Sequence[Path]) -> Delivered:
    """Copy `result`, a stored Parquet file, to the place that `output` names, in its format. Streams.

    Raises ImmutableError where another file is in that place, DocumentError as `destination`.
    """
    place = destination(output, subject, base=base, roots=roots)
    if place.is_dir():
        raise DocumentError([_problem(output, f"{place} is a folder", "a delivery is a file", "add a file name")])
    return _compare(result, output, place) if place.exists() else _place(result, output, place)


def _place(result: BinaryIO, output: FileOutput, place: Path) -> Delivered:
    draft = Draft(place)
    try:
        with draft.path.open("wb") as file:
            measured = _Measured(file)
            rows = _write(result, measured, output)
        draft.sync()
        draft.publish(mode=MODE)
    finally:
        draft.discard()
    return measured.delivered(place, rows, is_new=True)


def _compare(result: BinaryIO, output: FileOutput, place: Path) -> Delivered:
    """What lies in `place`, if that is what would be delivered there."""
    measured = _Measured(None)
    done = measured.delivered(place, _write(result, measured, output), is_new=False)
    with place.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != done.sha256:
            raise ImmutableError(
                f"{place} holds something else already and is not overwritten; "
                "move that file, or add {epoch} to the path so that every result has a file of its own"
            )
    return done


class _Measured(io.RawIOBase):
    """Digests and counts what is written, on its way to `inner` or to nowhere."""

    def __init__(self, inner: BinaryIO | None) -> None:
        self._inner = inner
        self._digest = hashlib.sha256()
        self._size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        self._digest.update(chunk)
        self._size_bytes += len(chunk)
        return len(chunk) if self._inner is None else self._inner.write(chunk)

    def delivered(self, path: Path, rows: int, *, is_new: bool) -> Delivered:
        digest = self._digest.hexdigest()
        return Delivered(path=path, sha256=digest, size_bytes=self._size_bytes, rows=rows, is_new=is_new)


def _write(result: BinaryIO, stream: _Measured, output: FileOutput) -> int:
    """Parquet is copied byte by byte: a result and its delivery have one digest."""
    file = pq.ParquetFile(result)
    if output.format == "parquet":
        result.seek(0)
        shutil.copyfileobj(result, stream, CHUNK_BYTES)
        return int(file.metadata.num_rows)
    batches = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=BATCH_ROWS))
    return write_table(batches, cast(BinaryIO, stream), output.format)


def _problem(output: FileOutput, what: str, rule: str, remedy: str) -> Problem:
    return Problem(what=what, key="output.path", value=output.path, rule=rule, remedy=remedy)
