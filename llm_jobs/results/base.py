"""The contract of a result store: files of record that are written once and read for ever.

There is no method that deletes, replaces or appends: nothing in the project can ask for it.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Protocol


class Draft(Protocol):
    """A local file under way; ends with `ResultStore.keep` or `discard`."""

    path: Path

    def sync(self) -> None: ...

    def discard(self) -> None:
        """Remove it. Nothing happens the second time, or after it was kept."""


class ResultStore(Protocol):
    """Paths are relative to the store, as `layout` makes them. Methods block."""

    url: str

    def draft(self, path: str) -> Draft:
        """An empty local file for the result `path`. Raises ImmutableError where the store has that path already."""

    def keep(self, draft: Draft, path: str) -> None:
        """Make the complete draft the result `path`, durable and read-only, replacing nothing.

        Reports ResultWritten before and ResultLinked after. Raises ImmutableError if another writer was first.
        """

    def open(self, path: str) -> BinaryIO:
        """The bytes of a stored file, seekable. Raises NotFound."""

    def paths(self, job_hash: str) -> list[str]:
        """The paths of a job's results, oldest first; step tables and files under way are not among them."""

    def locate(self, path: str) -> str:
        """Where `path` is, for people and other programs: an absolute path or a URL."""

    def relative(self, location: str) -> str:
        """The path of what lies at `location`, a path or URL as `locate` gives them, or relative already."""
