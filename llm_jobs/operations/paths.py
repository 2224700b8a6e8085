"""Where an input named in a document lies: one rule, and only inside the allowed folders and on the allowed hosts.

An absolute path must be inside an allowed folder. A relative one is looked for beside the document, then in the home
folder, then in the project that the home folder is in; `--input` is relative to the working directory. Allowed are
those folders and LLM_JOBS_ALLOWED_ROOTS. The host of a URL (of an object store: the bucket) must be listed in
LLM_JOBS_ALLOWED_HOSTS. A pattern (`*`, `**`, `?`, `[…]`) is all files that it fits, in the order of their names.
"""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from llm_jobs.documents.connections import check_host, is_name
from llm_jobs.documents.parsed import ParsedDocument
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.operations.placing import setup_error
from llm_jobs.settings import Settings
from llm_jobs.sources.patterns import glob_url, is_pattern

LOCAL = ("file", "local")
SQLITE = "sqlite:///"


def find_inputs(settings: Settings, document: ParsedDocument, *, path: Path, working_directory: Path) -> list[str]:
    """The absolute paths or the URLs of the document's input files. Raises DocumentError or SetupError."""
    named = document.input.path or ""
    is_given = document.input.beside == "working_directory"
    scheme, separator, rest = named.partition("://")
    if separator and scheme not in LOCAL:
        if not is_given:
            _check_url(settings, document, named)
        return _some(document, glob_url(named), [named]) if is_pattern(named) else [named]
    folders = [working_directory] if is_given else _folders(settings, path)
    found = _found(document, [folder / (rest if separator else named) for folder in folders])
    if not is_given:
        _check_inside(settings, document, found, _folders(settings, path), key="path")
    return found


def find_database(settings: Settings, document: ParsedDocument, connection: str, *, path: Path) -> str | None:
    """The absolute path of an SQLite database that is named by its path; None where `connection` is anything else.

    Raises DocumentError for one that is not there, or lies where documents may not read.
    """
    if is_name(connection) or ("://" in connection and not connection.startswith(SQLITE)) or "${" in connection:
        return None
    named = connection.removeprefix(SQLITE)
    folders = _folders(settings, path)
    found = _found(document, [folder / named for folder in folders], key="connection", exact=True)
    _check_inside(settings, document, found, folders, key="connection")
    return found[0]


def _folders(settings: Settings, path: Path) -> list[Path]:
    return [path.resolve().parent, settings.home, settings.home.parent]


def _check_url(settings: Settings, document: ParsedDocument, url: str) -> None:
    if "::" in url or "@" in url.partition("://")[2].partition("/")[0]:
        problem = document.problem(
            (*document.input.at, "path"),
            "the URL is chained or holds credentials",
            rule="an input is one URL without credentials; those are found in the environment by the store's client",
            remedy="write scheme://host/path",
        )
        raise DocumentError([problem])
    try:
        check_host(url, allowed=settings.allowed_hosts)
    except SetupError as error:
        raise setup_error(document, (*document.input.at, "path"), error) from None


def _check_inside(
    settings: Settings, document: ParsedDocument, found: Sequence[str], folders: Sequence[Path], *, key: str
) -> None:
    roots = (*folders, *settings.allowed_roots)
    outside = next((each for each in found if not any(Path(each).is_relative_to(root) for root in roots)), None)
    if outside is not None:
        problem = document.problem(
            (*document.input.at, key),
            "the input lies outside the allowed folders",
            value=outside,
            rule="inputs lie beside the document, in the home folder or in its project",
            remedy="move the file there, or name its folder in LLM_JOBS_ALLOWED_ROOTS",
        )
        raise DocumentError([problem])


def _found(
    document: ParsedDocument, candidates: Sequence[Path], *, key: str = "path", exact: bool = False
) -> list[str]:
    """The file, or the files that a pattern fits, of the first of `candidates` that is there."""
    for candidate in candidates:
        if candidate.is_file():
            return [str(candidate.resolve())]
    for candidate in candidates if not exact and is_pattern(str(candidates[0])) else ():
        if fitting := _fitting(candidate):
            return fitting
    tried = list(dict.fromkeys(str(candidate) for candidate in candidates))
    return _some(document, [], tried, key=key)


def _fitting(pattern: Path) -> list[str]:
    """Files only, hidden ones left out; sorted as text, so that every machine has one order."""
    fitting = glob.glob(str(pattern), recursive=True)
    return sorted(str(Path(each).resolve()) for each in fitting if Path(each).is_file())


def _some(document: ParsedDocument, found: list[str], tried: Sequence[str], *, key: str = "path") -> list[str]:
    if found:
        return found
    query = document.input.query
    named = query.connection if query is not None else document.input.path
    problem = document.problem(
        (*document.input.at, key),
        "no file fits the pattern" if is_pattern(named or "") else "the input file does not exist",
        value=named,
        rule=f"looked for it at {', '.join(tried)}",
        remedy="mend the path, or put the file beside the document",
    )
    raise DocumentError([problem])
