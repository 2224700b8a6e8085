"""Delivers a result to a file of the user's: a copy in another place, written beside and linked into it.

Nothing of the user's is overwritten. A file that holds the same bytes already is the delivery; one that holds others
is left alone and the delivery refused. The path may say {{ name }}, {{ epoch_ns }} and more: a file for each result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from llm_jobs.deliveries.encoding import Measured, encode
from llm_jobs.deliveries.places import destination, problem_of
from llm_jobs.deliveries.subject import Delivered, Subject
from llm_jobs.documents.destinations import FileOutput
from llm_jobs.errors import DocumentError, ImmutableError
from llm_jobs.files import Draft

MODE = 0o644


def deliver(result: BinaryIO, output: FileOutput, subject: Subject, *, base: Path, roots: Sequence[Path]) -> Delivered:
    """Copy `result`, a stored Parquet file, to the place that `output` names, in its format. Streams.

    Raises ImmutableError where another file is in that place, DocumentError as `destination`.
    """
    place = destination(output, subject, base=base, roots=roots)
    if place.is_dir():
        raise DocumentError([problem_of(output, f"{place} is a folder", "a delivery is a file", "add a file name")])
    if not place.exists():
        try:
            return _place(result, output, subject, place)
        except ImmutableError:
            pass  # somebody was faster, perhaps with the same result
    return _compare(result, output, subject, place)


def _place(result: BinaryIO, output: FileOutput, subject: Subject, place: Path) -> Delivered:
    draft = Draft(place)
    try:
        with draft.path.open("wb") as file:
            measured = Measured(file)
            rows = encode(result, measured, output, subject)
        draft.sync()
        draft.publish(mode=MODE)
    finally:
        draft.discard()
    return _delivered(measured, place, rows, is_new=True)


def _compare(result: BinaryIO, output: FileOutput, subject: Subject, place: Path) -> Delivered:
    """What lies in `place`, if that is what would be delivered there."""
    measured = Measured(None)
    rows = encode(result, measured, output, subject)
    with place.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != measured.sha256:
            raise occupied(str(place))
    return _delivered(measured, place, rows, is_new=False)


def occupied(place: str) -> ImmutableError:
    """Something else lies where a result should go."""
    return ImmutableError(
        f"{place} holds something else already and is not overwritten; "
        "move that file, or add {{ epoch_ns }} to the path so that every result has a file of its own"
    )


def _delivered(measured: Measured, place: Path, rows: int, *, is_new: bool) -> Delivered:
    return Delivered(
        destination=str(place), rows=rows, is_new=is_new, sha256=measured.sha256, size_bytes=measured.size_bytes
    )
