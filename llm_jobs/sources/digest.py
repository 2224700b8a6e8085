"""The digest of a file: SHA-256 of its bytes as they are stored, compressed or not. Streams.

Also opens inputs by URL: a path or anything that fsspec knows, which is imported for what is no path. Nothing here
understands the bytes.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import BinaryIO

from llm_jobs.errors import DocumentError, Problem

CHUNK_BYTES = 1 << 20


def open_bytes(url: str) -> BinaryIO:
    """The stored bytes of `url`, unbuffered by this project. Raises DocumentError when they cannot be opened."""
    try:
        return Path(url).open("rb") if _is_path(url) else _open_url(url)
    except FileNotFoundError:
        raise _unreadable(url, "no such file", "check the path; it is relative to the document") from None
    except (OSError, ImportError, ValueError) as error:
        raise _unreadable(url, f"cannot be opened: {error}", "check the URL, the permissions and the server") from error


def _is_path(url: str) -> bool:
    return url.startswith("/") and "::" not in url  # which joins the layers of an fsspec URL


def _open_url(url: str) -> BinaryIO:
    import fsspec.core

    filesystem, path = fsspec.core.url_to_fs(url)
    handle: BinaryIO = filesystem.open(path, "rb")
    return handle


def digest_file(url: str) -> str:
    """SHA-256 (64 hexadecimal characters) of the stored bytes of a path or fsspec URL. Memory: one chunk."""
    with DigestingReader(open_bytes(url)) as reader:
        return reader.finish()


class DigestingReader(io.RawIOBase):
    """Passes the bytes of a file on and digests them on the way."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._inner.read(len(buffer))
        self._digest.update(chunk)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def finish(self) -> str:
        """The digest of the whole file, reading on to its end."""
        while chunk := self._inner.read(CHUNK_BYTES):
            self._digest.update(chunk)
        return self._digest.hexdigest()

    def close(self) -> None:
        self._inner.close()
        super().close()


def _unreadable(url: str, what: str, remedy: str) -> DocumentError:
    return DocumentError([Problem(what=f"input {what}", file=url, remedy=remedy)])
