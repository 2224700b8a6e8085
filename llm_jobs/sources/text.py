"""From stored bytes to lines of text: compression by suffix, UTF-8 only, a BOM removed. Streams.

Compression is told by the name alone (.gz, .zst, .bz2, .xz). Newlines are kept as they are: they may be part of a
value.
"""

from __future__ import annotations

import io
import lzma
from collections.abc import Iterator
from typing import BinaryIO, cast

import pyarrow as pa

from llm_jobs.sources.problems import Problems

CODECS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
XZ = ".xz"  # which Arrow does not read
BOM = b"\xef\xbb\xbf"
UTF_16_BOMS = (b"\xff\xfe", b"\xfe\xff")
BROKEN = (OSError, EOFError, lzma.LZMAError)  # what torn or damaged bytes raise
LARGEST_ROW_BYTES = 64 * 1024 * 1024
BUFFER_BYTES = 1 << 18


def decompressed(stream: io.RawIOBase, url: str) -> BinaryIO:
    """`stream` behind a buffer and, where the suffix of `url` says so, a decompressor. Raises OSError while reading."""
    if url.endswith(XZ):
        return io.BufferedReader(lzma.LZMAFile(cast(BinaryIO, stream)), BUFFER_BYTES)
    codec = next((codec for suffix, codec in CODECS.items() if url.endswith(suffix)), None)
    if codec is None:
        return io.BufferedReader(stream, BUFFER_BYTES)
    plain = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), codec)
    return cast(BinaryIO, io.BufferedReader(plain, BUFFER_BYTES))


def byte_lines(stream: BinaryIO, problems: Problems) -> Iterator[bytes]:
    """Lines with their ends, the BOM removed. Raises DocumentError for a torn compressed file and an endless line."""
    number = 0
    try:
        while line := stream.readline(LARGEST_ROW_BYTES):
            number += 1
            if len(line) == LARGEST_ROW_BYTES:
                raise too_large(problems, number)
            yield line.removeprefix(BOM) if number == 1 else line
    except BROKEN as error:
        raise broken_bytes(problems, number, error) from None


def text_lines(stream: BinaryIO, problems: Problems) -> Iterator[str]:
    """Lines as text. A line that is not UTF-8 is noted and passed on with its bad bytes replaced."""
    for number, line in enumerate(byte_lines(stream, problems), 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            note_bad_bytes(problems, number, error, first_bytes=line if number == 1 else b"")
            text = line.decode(errors="replace")
        yield text


def note_bad_bytes(problems: Problems, line: int, error: UnicodeDecodeError, *, first_bytes: bytes = b"") -> None:
    """Note what is not UTF-8; raises DocumentError at once where the whole file is in another encoding."""
    if first_bytes.startswith(UTF_16_BOMS):
        raise problems.fatal(
            "the file is UTF-16", line=line, rule="inputs are UTF-8", remedy="save it as UTF-8 (`iconv -t UTF-8`)"
        )
    problems.add(
        "bytes that are not UTF-8",
        line=line,
        value=error.object[error.start : error.start + 8],
        rule="inputs are UTF-8",
        remedy="save the file as UTF-8 (`iconv -f WINDOWS-1252 -t UTF-8`, say)",
    )


def too_large(problems: Problems, line: int) -> Exception:
    """The error for a row that would not fit in the memory allowed for one."""
    return problems.fatal(
        "a row is too large",
        line=line,
        rule=f"a row has fewer than {LARGEST_ROW_BYTES // 2**20} MiB, because memory is bounded",
        remedy="check the quotes and line ends of the file",
    )


def broken_bytes(problems: Problems, line: int, error: Exception) -> Exception:
    """The error for bytes that cannot be read or decompressed."""
    return problems.fatal(
        f"the file cannot be read past line {line}: {error}",
        rule="a file whose name ends in .gz, .zst, .bz2 or .xz is compressed so, whole",
        remedy="compress it again, or correct its name",
    )
