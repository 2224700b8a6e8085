"""Documents that are run by name: those of `documents/` and `recurring/` in the home folder, and of `examples/` beside
it. A document's name is its file's, with or without the suffix, or the one that it gives its job.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from llm_jobs.documents.parsing import stated_name
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.settings import Settings

SUFFIXES = (".yaml", ".yml", ".json", ".jsonl")
MOST_NAMED_BYTES = 1024 * 1024  # of a document that is looked into for its name


def kept_document(settings: Settings, name: str) -> Path | None:
    """The document that `documents/` or `recurring/` holds under `name`. Raises DocumentError where there are two."""
    return _found(name, [settings.documents, settings.recurring])


def example_document(settings: Settings, name: str) -> Path | None:
    """The document of `examples/` beside the home folder of that name. Raises DocumentError where there are two."""
    return _found(name, [settings.home.parent / "examples"])


def named_document(settings: Settings, name: str) -> Path | None:
    """The document of that name, kept or an example. Raises DocumentError where there are two."""
    return kept_document(settings, name) or example_document(settings, name)


def document_named(settings: Settings, named: str, *, working_directory: Path) -> Path:
    """The document that a user named by its file or its name. Raises NotFound, or DocumentError where there are two."""
    path = working_directory / named
    found = path if path.is_file() else named_document(settings, named)
    if found is None:
        known = document_names(settings)
        hint = did_you_mean(named, known, otherwise="name a file, or put the document into `documents/`")
        raise NotFound(f"there is no document {named!r}; kept are {', '.join(known) or 'none'}; {hint}")
    return found


def template_document(settings: Settings, name: str) -> Path | None:
    """The template that `templates/` holds under `name`. Raises DocumentError where there are two."""
    return _found(name, [settings.templates])


def template_documents(settings: Settings) -> list[Path]:
    """The files of `templates/`, by name."""
    return list(_documents(settings.templates))


def template_names(settings: Settings) -> list[str]:
    """The templates of `templates/`: the names of the files, and those that they give themselves."""
    paths = template_documents(settings)
    stated = {stated_name(path, path.read_bytes()) for path in paths if path.stat().st_size <= MOST_NAMED_BYTES}
    return sorted({path.stem for path in paths} | {name for name in stated if name})


def document_in(folder: Path, name: str) -> Path | None:
    """The document of that name in `folder`. Raises DocumentError where there are two."""
    return _found(name, [folder])


def document_names(settings: Settings) -> list[str]:
    """What may be run by name, by the names of the files."""
    folders = [settings.documents, settings.recurring, settings.home.parent / "examples"]
    return sorted({path.stem for folder in folders for path in _documents(folder)})


def _found(name: str, folders: list[Path]) -> Path | None:
    if not name or re.search(r"[/\\\0]", name):
        return None
    paths = [path for folder in folders for path in _documents(folder)]
    found = [path for path in paths if name in (path.name, path.stem)]
    found = found or [path for path in paths if _says(path, name)]
    if len(found) > 1:
        problem = Problem(
            what=f"{len(found)} documents are named {name!r}: {', '.join(map(str, found))}",
            rule="a name means one document",
            remedy="rename one of them, or write the path",
        )
        raise DocumentError([problem])
    return found[0] if found else None


def _documents(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.is_file())


def _says(path: Path, name: str) -> bool:
    """Whether the document names its job so. One that cannot be read is named by its file alone."""
    if path.suffix == ".jsonl" or path.stat().st_size > MOST_NAMED_BYTES:
        return False
    content = path.read_bytes()
    return name.encode() in content and stated_name(path, content) == name
