"""Does a stored file still have the bytes that were recorded? Streams; judges nothing else."""

from __future__ import annotations

import hashlib

from llm_jobs.errors import IntegrityError
from llm_jobs.results.base import ResultStore

CHUNK_BYTES = 1 << 20


def digest(store: ResultStore, path: str) -> str:
    """SHA-256 (hexadecimal) of a stored file. Raises NotFound."""
    found = hashlib.sha256()
    with store.open(path) as stream:
        while chunk := stream.read(CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def verify(store: ResultStore, path: str, *, sha256: str) -> None:
    """Raise IntegrityError if the stored bytes differ from those that were recorded, NotFound if there are none."""
    found = digest(store, path)
    if found != sha256:
        raise IntegrityError(
            f"{store.locate(path)} has SHA-256 {found}, recorded was {sha256}: it was changed after it was written; "
            "restore it from a copy"
        )
