"""What the tests of the result store share: both kinds of store, and a small result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pytest

from llm_jobs.events import Listener, ignore
from llm_jobs.results.base import ResultStore
from llm_jobs.results.opening import open_store
from llm_jobs.results.writing import ResultWriter, StoredFile
from llm_jobs_tests.servers.s3 import S3Server

JOB = "0123456789abcdef0123456789abcdef"
OTHER_JOB = "fedcba9876543210fedcba9876543210"
SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("answer", pa.string())])
ROWS: Sequence[dict[str, object]] = [{"id": 1, "answer": "one"}, {"id": 2, "answer": None}]

OpenStore = Callable[[Listener], ResultStore]


def write_result(store: ResultStore, path: str, rows: Sequence[dict[str, object]] = ROWS) -> StoredFile:
    """Write `rows` as the result `path`."""
    with ResultWriter(store, path, SCHEMA) as writer:
        writer.write(rows)
        return writer.close()


def bytes_of(store: ResultStore, path: str) -> bytes:
    """All bytes of a stored file."""
    with store.open(path) as stream:
        return stream.read()


@contextmanager
def s3_environment(server: S3Server) -> Iterator[pytest.MonkeyPatch]:
    """The environment in which botocore finds `server`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield patch


def open_in(url: str, scratch: Path) -> OpenStore:
    """Opens the store at `url` with a listener."""

    def opened(emit: Listener = ignore) -> ResultStore:
        return open_store(url, emit=emit, scratch=scratch)

    return opened
