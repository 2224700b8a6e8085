"""Files that are written once: beside their place, synced, then linked into it without replacing anything.

A file has its final name only when all of its bytes are on the disk; a process killed at any moment leaves either
nothing or the whole file. What is left beside it by a killed writer is unlocked, and the next writer of that folder
removes it. What a file means, and where it belongs, is not decided here.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from pathlib import Path

from llm_jobs.errors import ImmutableError, SetupError

DRAFT_SUFFIX = ".llm-jobs-draft"
READ_ONLY = 0o444
NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EXDEV})


class Draft:
    """A file under way in the folder of its `target`, locked for as long as its writer lives.

    Ends with `publish` or `discard`. The lock (flock) goes with the process, which is how a later writer knows an
    abandoned draft from one that is being written.
    """

    def __init__(self, target: Path) -> None:
        """Raises ImmutableError when `target` exists already, before anything is written."""
        refuse_existing(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target.parent)
        self.target = target
        self.path, self._lock = _locked_file(target)

    def sync(self) -> None:
        """Wait until every byte written to `path` is on the disk."""
        os.fsync(self._lock)

    def publish(self, *, mode: int = READ_ONLY) -> None:
        """Give the synced file its final name. Raises ImmutableError when somebody else's file has it."""
        os.fchmod(self._lock, mode)
        try:
            os.link(self.path, self.target)
        except FileExistsError:
            refuse_existing(self.target)
            raise
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            raise SetupError(
                f"{self.target.parent} is on a file system without hard links ({error.strerror}); files are linked "
                "into place so that none is ever overwritten: choose a folder on another file system"
            ) from None
        finally:
            self.discard()
        sync_folder(self.target.parent)

    def discard(self) -> None:
        """Remove the draft. Does nothing to a published file, and nothing the second time."""
        if self._lock < 0:
            return
        self.path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def refuse_existing(target: Path) -> None:
    """Raise ImmutableError if `target` exists."""
    if os.path.lexists(target):
        raise ImmutableError(
            f"{target} exists already and is not overwritten: files of record are written once; "
            "a correction is a new file under a new name"
        )


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_abandoned(folder: Path) -> None:
    """Remove the drafts in `folder` whose writers are dead."""
    for path in folder.glob(f".*{DRAFT_SUFFIX}"):
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            if lock(handle):
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)


def _locked_file(target: Path) -> tuple[Path, int]:
    """A new empty draft and the handle that holds its lock; made anew if it was swept before it was locked."""
    while True:
        path = target.parent / f".{target.name}.{secrets.token_hex(6)}{DRAFT_SUFFIX}"
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        if lock(handle) and path.exists():
            return path, handle
        os.close(handle)


def lock(handle: int) -> bool:
    """Take the lock of an open file, which goes with its last handle. False where another handle has it."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
