"""Delivers a result to a file of the user's: a copy in another place, written beside and linked into it.

Nothing of the user's is overwritten. A file that holds the same bytes already is the delivery; one that holds others
is left alone and the delivery refused. The path may say {name}, {job_hash} and {epoch}: a file for each result.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.deliveries.formats import write_table
from llm_jobs.documents.job import Output
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


def destination(output: Output, subject: Subject, *, base: Path, roots: Sequence[Path]) -> Path:
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


def deliver(result: BinaryIO, output: Output, subject: Subject, *, base: Path, roots: Sequence[Path]) -> Delivered:
    """Copy `result`, a stored Parquet file, to the place that `output` names, in its format. Streams.

    Raises ImmutableError where another file is in that place, DocumentError as `destination`.
    """
    place = destination(output, subject, base=base, roots=roots)
    if place.is_dir():
        raise DocumentError([_problem(output, f"{place} is a folder", "a delivery is a file", "add a file name")])
    is_new = not place.exists()
    # A draft begins with the promise that its target is free; where it is not, the bytes are made to be compared.
    draft = Draft(place if is_new else place.with_name(f"{place.name}.compared"))
    try:
        with draft.path.open("wb") as stream:
            rows = _write(result, stream, output)
        digest = _digest(draft.path)
        size = draft.path.stat().st_size
        if is_new:
            draft.sync()
            draft.publish(mode=MODE)
        elif _digest(place) != digest:
            raise _occupied(place)
    finally:
        draft.discard()
    return Delivered(path=place, sha256=digest, size_bytes=size, rows=rows, is_new=is_new)


def _write(result: BinaryIO, stream: BinaryIO, output: Output) -> int:
    """Parquet is copied byte by byte: a result and its delivery have one digest."""
    file = pq.ParquetFile(result)
    if output.format == "parquet":
        result.seek(0)
        shutil.copyfileobj(result, stream, CHUNK_BYTES)
        return int(file.metadata.num_rows)
    batches = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches(batch_size=BATCH_ROWS))
    return write_table(batches, stream, output.format)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _occupied(place: Path) -> ImmutableError:
    return ImmutableError(
        f"{place} holds something else already and is not overwritten; "
        "move that file, or add {epoch} to the path so that every result has a file of its own"
    )


def _problem(output: Output, what: str, rule: str, remedy: str) -> Problem:
    return Problem(what=what, key="output.path", value=output.path, rule=rule, remedy=remedy)
