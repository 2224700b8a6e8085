"""Results in a local folder: written beside, synced, linked into place without replacing, read-only."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from llm_jobs import files
from llm_jobs.errors import NotFound
from llm_jobs.events import Listener, ResultLinked, ResultWritten
from llm_jobs.results.base import Draft
from llm_jobs.results.layout import epoch_of, is_result, job_of


class LocalStore:
    """A `ResultStore` in `folder`. Reports to `emit`."""

    def __init__(self, folder: Path, *, emit: Listener) -> None:
        self.url = str(folder)
        self._folder = folder
        self._emit = emit

    def draft(self, path: str) -> files.Draft:
        return files.Draft(self._folder / path)

    def keep(self, draft: Draft, path: str) -> None:
        target = self._folder / path
        if not isinstance(draft, files.Draft) or draft.target != target:
            raise ValueError(f"the draft was not begun for {path}")
        draft.sync()
        self._emit(ResultWritten(job_of(path)))
        draft.publish()
        self._emit(ResultLinked(job_of(path), path))

    def open(self, path: str) -> BinaryIO:
        try:
            return (self._folder / path).open("rb")
        except FileNotFoundError:
            raise NotFound(f"no result {path} in {self.url}") from None

    def paths(self, job_hash: str) -> list[str]:
        names = [entry.name for entry in self._entries(job_hash) if is_result(entry.name)]
        return sorted((f"{job_hash}/{name}" for name in names), key=epoch_of)

    def locate(self, path: str) -> str:
        return str(self._folder / path)

    def relative(self, location: str) -> str:
        return location.removeprefix("file://").removeprefix(self.url).lstrip("/")

    def _entries(self, job_hash: str) -> list[Path]:
        folder = self._folder / job_hash
        return list(folder.iterdir()) if folder.is_dir() else []
