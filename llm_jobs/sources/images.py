"""Image files: found by the name that a row gives, checked, digested; read again when a request is about to be sent.

Invariants: a file is used only inside the allowed folders (links followed) or on the allowed hosts; what is sent has
the digest that the call is identified by, or nothing is sent. Memory: one file at a time, and what is kept of the
latest ones so that none is read twice before it is sent.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock
from typing import IO

from llm_jobs.documents.connections import check_host
from llm_jobs.documents.content import Image, ImagePart
from llm_jobs.errors import PermanentError, RowError, SetupError
from llm_jobs.sources.image_kinds import KINDS, image_kind

LARGEST_BYTES = 20_000_000  # no vendor takes a larger one
MOST_REMEMBERED = 32_768
READ_AT_ONCE = 16
LOCAL = ("file", "local")
_MORE_BYTES = 65_536

Stamp = tuple[int, ...] | None  # what changes with a file's bytes; None: of a URL, which is looked at once


@dataclass(frozen=True, slots=True)
class _Seen:
    sha256: str
    media_type: str
    size_bytes: int
    width: int
    height: int


@dataclass(slots=True)
class ImageMemory:
    """What is known of the files that were looked at last, or why they are no images. Shared by the threads of a
    process."""

    _seen: OrderedDict[tuple[str, Stamp], _Seen | str] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: tuple[str, Stamp]) -> _Seen | str | None:
        with self._lock:
            if (seen := self._seen.get(key)) is not None:
                self._seen.move_to_end(key)
            return seen

    def keep(self, key: tuple[str, Stamp], seen: _Seen | str) -> None:
        with self._lock:
            self._seen[key] = seen
            if len(self._seen) > MOST_REMEMBERED:
                self._seen.popitem(last=False)


class ImageFinder:
    """Finds the image files of one job."""

    def __init__(
        self, *, folders: Sequence[Path], roots: Sequence[Path], allowed_hosts: Sequence[str], memory: ImageMemory
    ) -> None:
        """`folders`: where a relative name is looked for, in order; they are allowed, as `roots` are."""
        self._folders = list(dict.fromkeys(folder.resolve() for folder in folders))
        self._roots = [*self._folders, *(root.resolve() for root in roots)]
        self._allowed_hosts = tuple(allowed_hosts)
        self._memory = memory
        self._of_urls = ImageMemory()  # as long as the job is under way

    def find(self, part: ImagePart) -> Image:
        """The image that `part` names. Raises RowError for none, one that is too large or of another kind."""
        named = part.file or ""
        if not named.strip() or "\0" in named:
            raise RowError("the name of an image file is empty; name one, or leave the row out with `filter`")
        scheme, separator, rest = named.partition("://")
        if separator and scheme not in LOCAL:
            return self._image(named, self._seen_url(named), part)
        place, seen = self._seen_file(rest if separator else named)
        return self._image(place, seen, part)

    def look_ahead(self, parts: Iterable[ImagePart]) -> None:
        """Look at the files of rows that come next, several at once. What is wrong with one is told by `find`."""
        unique = list(dict.fromkeys(parts))
        if not any("://" in (part.file or "") for part in unique):
            for part in unique:  # a disk is not quicker for many at once
                self._look(part)
            return
        with ThreadPoolExecutor(READ_AT_ONCE) as threads:
            for looked in [threads.submit(self._look, part) for part in unique]:
                looked.result()

    def _look(self, part: ImagePart) -> None:
        with suppress(RowError):
            self.find(part)

    def _image(self, place: str, seen: _Seen, part: ImagePart) -> Image:
        return Image(
            sha256=seen.sha256,
            media_type=seen.media_type,
            size_bytes=seen.size_bytes,
            width=seen.width,
            height=seen.height,
            detail=part.detail,
            place=place,
            read=partial(_read_again, place, seen.sha256),
        )

    def _seen_file(self, named: str) -> tuple[str, _Seen]:
        for folder in self._folders if not named.startswith("/") else [Path("/")]:
            path = (folder / named).resolve()
            try:
                found = path.stat()
            except OSError:
                continue
            if not stat.S_ISREG(found.st_mode):
                continue
            self._check_inside(path)
            stamp = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
            return str(path), self._seen(str(path), stamp, found.st_size, self._memory)
        tried = ", ".join(str(folder) for folder in self._folders)
        raise RowError(f"the image file {named} does not exist; looked for it in {tried}; mend the name")

    def _check_inside(self, path: Path) -> None:
        if not any(path.is_relative_to(root) for root in self._roots):
            raise RowError(
                f"the image file {path} lies outside the allowed folders: beside the document, the home folder and its "
                "project; move it there, or name its folder in LLM_JOBS_ALLOWED_ROOTS"
            )

    def _seen_url(self, url: str) -> _Seen:
        if "::" in url or "@" in url.partition("://")[2].partition("/")[0]:
            raise RowError(f"the image {url.partition('://')[0]}://… is chained or holds credentials; name it plainly")
        try:
            check_host(url, allowed=self._allowed_hosts)
        except SetupError as error:
            raise RowError(str(error)) from None
        try:
            return self._seen(url, None, None, self._of_urls)
        except (
            RowError
        ) as error:  # told once more without asking the server, for `find` is called where nothing may wait
            self._of_urls.keep((url, None), str(error))
            raise

    def _seen(self, place: str, stamp: Stamp, size_bytes: int | None, memory: ImageMemory) -> _Seen:
        seen = memory.get((place, stamp))
        if isinstance(seen, str):
            raise RowError(seen)
        if seen is None:
            if size_bytes is not None:
                _check_size(place, size_bytes)
            seen = _looked_at(place)
            memory.keep((place, stamp), seen)
        return seen


def _looked_at(place: str) -> _Seen:
    try:
        content = _bytes_of(place)
    except (OSError, ImportError, ValueError) as error:
        raise RowError(f"the image {place} cannot be read: {error}; check the name and the permissions") from None
    _check_size(place, len(content))
    kind = image_kind(content)
    if kind is None:
        raise RowError(f"{place} is no image that models take; they take {', '.join(KINDS)}; convert it")
    return _Seen(hashlib.sha256(content).hexdigest(), kind.media_type, len(content), kind.width, kind.height)


def _check_size(place: str, size_bytes: int) -> None:
    if size_bytes > LARGEST_BYTES:
        raise RowError(
            f"the image {place} has {size_bytes:,} bytes; at most {LARGEST_BYTES:,} are sent; make it smaller"
        )


def _bytes_of(place: str) -> bytes:
    """The bytes, one more than the largest image has at most. No more room is asked for than the file needs: buffers of
    20 MB, many at once, would stay in the process as holes."""
    if place.startswith("/"):
        with open(place, "rb", buffering=0) as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    try:
        return _fetched(place)
    except Exception as error:  # each store raises errors of its own, which fsspec passes on
        raise OSError(str(error) or type(error).__name__) from error


def _fetched(url: str) -> bytes:
    import fsspec.core  # 50 ms, for what is no path

    filesystem, path = fsspec.core.url_to_fs(url)
    with filesystem.open(path, "rb") as file:
        size = getattr(file, "size", None)
        return _read(file, LARGEST_BYTES if size is None else int(size))


def _read(file: IO[bytes], size_bytes: int) -> bytes:
    """All of a file that says to have so many bytes, and what was added since, up to what is too large."""
    parts: list[bytes] = []
    room, step = LARGEST_BYTES + 1, min(size_bytes, LARGEST_BYTES) + 1
    while room > 0 and (part := file.read(min(step, room))):
        parts.append(part)
        room -= len(part)
        step = _MORE_BYTES
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _read_again(place: str, sha256: str) -> bytes:
    try:
        content = _bytes_of(place)
    except (OSError, ImportError, ValueError) as error:
        raise PermanentError(f"the image {place} cannot be read any more: {error}; nothing was sent") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise PermanentError(f"the image {place} has changed since it was looked at; nothing was sent; run again")
    return content
