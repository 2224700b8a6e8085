"""A result as the bytes of one file: its format, its compression, its digest. The same result makes the same bytes.

pair: `{"job": link to the document, "result": …}`, where the result of a job with one row is the text of its answer,
and that of any other a list of rows, without the facts of each answer.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from llm_jobs.deliveries.formats import write_table
from llm_jobs.deliveries.reading import opened, reader_of
from llm_jobs.deliveries.subject import Subject
from llm_jobs.documents.destinations import Compression, FileOutput

CHUNK_BYTES = 1 << 20
FACT_PREFIX = "llm_"


class Measured(io.RawIOBase):
    """Digests and counts what is written, on its way to `inner` or to nowhere."""

    def __init__(self, inner: BinaryIO | None) -> None:
        self._inner = inner
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: bytes) -> int:  # type: ignore[override]
        self._digest.update(chunk)
        self.size_bytes += len(chunk)
        return len(chunk) if self._inner is None else self._inner.write(chunk)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


def encode(result: BinaryIO, stream: Measured, output: FileOutput, subject: Subject) -> int:
    """Write `result`, a stored Parquet file, to `stream`; returns its rows. Streams."""
    file = opened(result)
    if output.format == "parquet":  # byte by byte: a result and its delivery have one digest
        result.seek(0)
        shutil.copyfileobj(result, stream, CHUNK_BYTES)
        return int(file.metadata.num_rows)
    with _compressed(cast(BinaryIO, stream), output.compression) as inner:
        if output.format == "pair":
            return _write_pair(file, inner, subject)
        return write_table(reader_of(file), inner, output.format)


@contextmanager
def _compressed(stream: BinaryIO, compression: Compression | None) -> Iterator[BinaryIO]:
    """`stream` behind a compressor that writes neither a time nor a name."""
    if compression is None:
        yield stream
        return
    with _compressor(stream, compression) as inner:
        yield inner


def _compressor(stream: BinaryIO, compression: Compression) -> BinaryIO:
    if compression == "gzip":
        return cast(BinaryIO, gzip.GzipFile(filename="", mode="wb", fileobj=stream, mtime=0))
    if compression == "bz2":
        return cast(BinaryIO, bz2.BZ2File(stream, "wb"))
    if compression == "xz":
        return cast(BinaryIO, lzma.LZMAFile(stream, "wb"))
    return cast(BinaryIO, zstandard.ZstdCompressor().stream_writer(stream, closefd=False))


def _write_pair(file: pq.ParquetFile, stream: BinaryIO, subject: Subject) -> int:
    stream.write(b'{"job":' + orjson.dumps(subject.link) + b',"result":')
    rows = int(file.metadata.num_rows)
    if rows == 1 and subject.answer in file.schema_arrow.names:
        (answer,) = file.read(columns=[subject.answer]).column(0).to_pylist()
        stream.write(orjson.dumps(answer, default=str))
    else:
        write_table(_without_facts(file), stream, "json")
    stream.write(b"}\n")
    return rows


def _without_facts(file: pq.ParquetFile) -> pa.RecordBatchReader:
    names = [name for name in file.schema_arrow.names if not name.startswith(FACT_PREFIX)]
    kept = [file.schema_arrow.get_field_index(name) for name in names]
    batches = (batch.select(kept) for batch in reader_of(file))
    return pa.RecordBatchReader.from_batches(pa.schema([file.schema_arrow.field(index) for index in kept]), batches)
