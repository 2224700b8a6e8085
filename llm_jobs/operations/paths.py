"""Where an input named in a document lies: one rule, and only inside the allowed folders.

A URL is taken as it is. An absolute path must be inside an allowed folder. A relative one is looked for beside the
document, then in the home folder, then in the project that the home folder is in; `--input` is relative to the working
directory. Allowed are those folders and LLM_JOBS_ALLOWED_ROOTS.
"""

from __future__ import annotations

from pathlib import Path

from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.errors import DocumentError
from llm_jobs.settings import Settings


def find_input(settings: Settings, document: ParsedDocument, *, path: Path, working_directory: Path) -> str:
    """The absolute path or the URL of the document's input file. Raises DocumentError."""
    named = document.input.path or ""
    if "://" in named:
        return named
    if document.input.beside == "working_directory":
        return _existing(document, [working_directory / named])
    folders = [path.resolve().parent, settings.home, settings.home.parent]
    found = _existing(document, [folder / named for folder in folders])
    if not any(Path(found).is_relative_to(root) for root in (*folders, *settings.allowed_roots)):
        raise DocumentError(
            [
                document.problem(
                    (*document.input.at, "path"),
                    "the input lies outside the allowed folders",
                    value=found,
                    rule="inputs lie beside the document, in the home folder or in its project",
                    remedy="move the file there, or name its folder in LLM_JOBS_ALLOWED_ROOTS",
                )
            ]
        )
    return found


def _existing(document: ParsedDocument, candidates: list[Path]) -> str:
    for candidate in candidates:
        if candidate.is_file():
            return str(candidate.resolve())
    tried = ", ".join(dict.fromkeys(str(candidate) for candidate in candidates))
    raise DocumentError(
        [
            document.problem(
                (*document.input.at, "path"),
                "the input file does not exist",
                value=document.input.path,
                rule=f"looked for it at {tried}",
                remedy="mend the path, or put the file beside the document",
            )
        ]
    )
