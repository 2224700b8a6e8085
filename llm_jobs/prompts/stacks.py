"""The stacks: `<folder>/<name>/<version>.yaml`, read when named. What a stack means is `documents.stacks`'."""

from __future__ import annotations

from pathlib import Path

from llm_jobs.documents.stacks import StackText
from llm_jobs.prompts.shelves import Shelf, content_digest


class StackLibrary:
    """The stacks below one folder. A folder that is not there holds none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shelf = Shelf(folder, what="stack")

    def names(self) -> list[str]:
        """The stacks that have at least one version, sorted."""
        return self._shelf.names()

    def versions(self, name: str) -> list[str]:
        """The versions of a stack, lowest first. Raises NotFound, naming the nearest stack."""
        return self._shelf.versions(name)

    def get(self, name: str, version: str | None = None) -> StackText:
        """The highest version that `version` allows, as a prompt's is chosen. Raises NotFound or DocumentError."""
        found = self._shelf.find(name, version)
        source = found.read()
        return StackText(name=name, version=found.version, source=source, digest=content_digest(source))
