"""Shelves of versions: `<folder>/<name>/<version>.yaml`, one file per name and version, read when asked for.

What prompts and stacks have in common. Invariant: a name that could leave the folder has no files. Nothing here writes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.documents.identity import canonical_json
from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.text import Source, decode
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.documents.yaml_text import read_yaml
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.prompts.versions import Version, choose

MAX_FILE_BYTES = 16 * 1024 * 1024
SUFFIXES = (".yaml", ".yml", ".json")

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Shelved:
    """One version and its file."""

    name: str
    version: str
    path: Path

    def read(self) -> Source:
        """The file's value with its lines. Raises DocumentError."""
        text = decode(str(self.path), self.path.read_bytes(), max_bytes=MAX_FILE_BYTES)
        return read_json(str(self.path), text) if self.path.suffix == ".json" else read_yaml(str(self.path), text)


class Shelf:
    """The versions below one folder. A folder that is not there is an empty shelf. `what`: "prompt", for errors."""

    def __init__(self, folder: Path, *, what: str) -> None:
        self.folder = folder
        self._what = what

    def names(self) -> list[str]:
        """What has at least one version, sorted."""
        if not self.folder.is_dir():
            return []
        entries = [entry.name for entry in self.folder.iterdir() if entry.is_dir() and _NAME.fullmatch(entry.name)]
        return sorted(name for name in entries if self._files(name))

    def versions(self, name: str) -> list[str]:
        """The versions of a name, lowest first. Raises NotFound, naming the nearest name."""
        return [str(version) for version in sorted(self._existing(name))]

    def find(self, name: str, version: str | None = None) -> Shelved:
        """The highest version that `version` allows: exact, `^…`, `~…`, or the latest where it is None.

        Raises NotFound if there is none (the message lists what there is).
        """
        files = self._existing(name)
        try:
            chosen = choose(version, files)
        except ValueError:
            raise NotFound(
                f"{self._what} {name!r}: {version!r} is no version",
                name=version,
                rule=f"there are {_listed(map(str, sorted(files)))}",
                remedy="write 1.2.3, ^1.2, ~1.2.3 or latest",
            ) from None
        if chosen is None:
            raise NotFound(
                f"{self._what} {name!r} has no version {version or 'latest'}",
                name=version,
                rule=f"there are {_listed(map(str, sorted(files)))}",
                remedy="ask for one of these, or add the file",
            )
        return Shelved(name, str(chosen), files[chosen])

    def _existing(self, name: str) -> dict[Version, Path]:
        files = self._files(name)
        if files:
            return files
        known = self.names()
        hint = did_you_mean(name, known, otherwise="add it as <name>/<version>.yaml")
        raise NotFound(
            f"no {self._what} {name!r} in {self.folder}", name=name, rule=f"there are {_listed(known)}", remedy=hint
        )

    def _files(self, name: str) -> dict[Version, Path]:
        """The files of a name by version. A name that could leave the folder has none."""
        folder = self.folder / name
        if not _NAME.fullmatch(name) or not folder.is_dir():
            return {}
        found: dict[Version, Path] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix in SUFFIXES and path.is_file():
                try:
                    version = Version.parse(path.stem)
                except ValueError:
                    continue
                self._check_single(found, version, path)
                found[version] = path
        return found

    def _check_single(self, found: Mapping[Version, Path], version: Version, path: Path) -> None:
        if version in found:
            problem = Problem(
                what=f"{found[version].name} and {path.name} hold the same version",
                file=str(path),
                rule=f"one file per {self._what} and version",
                remedy="remove one of the two",
            )
            raise DocumentError([problem])


def content_digest(source: Source) -> str:
    """SHA-256 of what a text says, in hexadecimal: comments and layout do not count."""
    return hashlib.sha256(canonical_json(source.value)).hexdigest()


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
