"""A file that several processes append lines to, and that is set aside each day or when it is large.

Invariants: a line is one write at the end of the file, so lines of two processes never mix (POSIX `O_APPEND`; not on
network file systems, which have no such promise); setting aside is a rename under a lock, by one process, after which
the others go on in the new file; nothing is overwritten, and nothing is deleted.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

LARGEST_BYTES = 10 * 1024 * 1024
Rotate = Literal["daily", "size"]


def _now() -> datetime:
    return datetime.now(UTC)


class LogFile:
    """Appends lines to `path`. Made, with its folder, when the first is written."""

    def __init__(
        self,
        path: Path,
        *,
        rotate: Rotate | None = None,
        largest_bytes: int = LARGEST_BYTES,
        now: Callable[[], datetime] = _now,
    ) -> None:
        """`rotate`: daily: the lines of a UTC day are set aside as `<name>.<day>`; size: before the file would pass
        `largest_bytes` (by more than what others write at that moment), it is set aside as `<name>.<time>`."""
        self.path = path
        self._rotate = rotate
        self._largest_bytes = largest_bytes
        self._now = now
        self._lock = threading.Lock()
        self._file: int | None = None

    def append(self, line: str) -> None:
        """Write `line` and a line break. Raises OSError."""
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            if self._aside(len(data)) is not None:
                self._set_aside(len(data))
            os.write(self._open(), data)

    def close(self) -> None:
        with self._lock:
            self._forget()

    def _open(self) -> int:
        """The file that is at `path` now: another process may have set aside the one that was."""
        if self._file is not None and not self._is_at_path(self._file):
            self._forget()
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._file = os.open(self.path, flags, 0o640)
        return self._file

    def _is_at_path(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path, follow_symlinks=False))
        except FileNotFoundError:
            return False

    def _forget(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _aside(self, more_bytes: int) -> str | None:
        """What is added to the name of the file, where it is to be set aside before `more_bytes` are written."""
        if self._rotate is None:
            return None
        try:
            stat = os.stat(self.path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        now, written = self._now(), datetime.fromtimestamp(stat.st_mtime, UTC)
        if self._rotate == "daily":
            return f"{written:%Y-%m-%d}" if stat.st_size and written.date() < now.date() else None
        is_full = stat.st_size and stat.st_size + more_bytes > self._largest_bytes
        return f"{now:%Y-%m-%dT%H%M%SZ}" if is_full else None

    def _set_aside(self, more_bytes: int) -> None:
        with self._alone():
            if (suffix := self._aside(more_bytes)) is None:
                return  # another process was quicker
            name, number = f"{self.path.name}.{suffix}", 1
            while (place := self.path.with_name(name)).exists():
                name, number = f"{self.path.name}.{suffix}.{number}", number + 1
            os.rename(self.path, place)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time. The lock file stays: who removed it would let two in."""
        lock = os.open(
            self.path.with_name(f".{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640
        )
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)
