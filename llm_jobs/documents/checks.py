"""Rules that concern several keys, or the inside of a text, and that formats share. Each adds its Problems to a list
and returns what the rest of the parse can go on with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import get_args
from urllib.parse import urlsplit

from llm_jobs.documents.job import FileFormat
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import ParsedInput, ScriptRef
from llm_jobs.documents.text import KeyPath, Source, is_credential
from llm_jobs.documents.variables import credential_name
from llm_jobs.errors import Problem

FACT_PREFIX = "llm_"
FORMAT_OF_SUFFIX: Mapping[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
NO_TABLE = ParsedInput(kind="inline", rows=({},))

_RESERVED_PARAMETERS = frozenset({"input", "messages", "model", "stream"})
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class Checks:
    """The checks of one document, with the problems that they found."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def refuse(self, at: KeyPath, what: str, *, rule: str, remedy: str, value: JsonValue = None) -> None:
        self.problems.append(self.source.problem(at, what, value=value, rule=rule, remedy=remedy))

    def column(self, name: str, at: KeyPath) -> None:
        """The name of a prompt, which names a column too."""
        if name.startswith(FACT_PREFIX):
            self._reserved_column(name, at)
        elif not _COLUMN.fullmatch(name) or ".." in name:
            self.refuse(
                at,
                "the name cannot be a column",
                value=name,
                rule="letters, digits, _, - and ., beginning with a letter or _",
                remedy="rename the prompt",
            )

    def _reserved_column(self, name: str, at: KeyPath) -> None:
        self.refuse(
            at,
            f"the column {name!r} would hide one of the result's own",
            rule=f"columns that begin with {FACT_PREFIX} hold the facts of each answer",
            remedy="rename it",
        )

    def columns(self, table: ParsedInput, prompts: Iterable[str]) -> None:
        """The columns of rows in line against the result's own and against the prompts' columns."""
        names = {name: index for index, row in reversed(list(enumerate(table.rows))) for name in row}
        answers = set(prompts)
        for name, index in sorted(names.items(), key=lambda item: item[1]):
            at = (*table.at, "rows", index, name)
            if name.startswith(FACT_PREFIX):
                self._reserved_column(name, at)
            elif name in answers:
                self.refuse(
                    at,
                    f"the column {name!r} has the name of a prompt, whose answers need a column of that name",
                    rule="each column has one name",
                    remedy="rename the column or the prompt",
                )
            elif not name.strip():
                self.refuse(at, "a column without a name", rule="each column has a name", remedy="name it")

    def format_of(self, path: str, at: KeyPath) -> FileFormat | None:
        """The format of a file by its name, a suffix that tells its compression left out."""
        name = PurePosixPath(urlsplit(path).path if "://" in path else path)
        suffixes = [suffix.lower() for suffix in name.suffixes[-2:]]
        told = suffixes[:-1] if suffixes and suffixes[-1] in COMPRESSED else suffixes[-1:]
        found = FORMAT_OF_SUFFIX.get(told[-1]) if told else None
        if found is None:
            self.refuse(
                at,
                "the name does not tell the file's format",
                value=path,
                rule=f"known are {', '.join(FORMAT_OF_SUFFIX)}, each also with {', '.join(COMPRESSED)}",
                remedy=f"write `format:` beside it: {', '.join(get_args(FileFormat))}",
            )
        return found

    def parameters(self, values: Mapping[str, JsonValue], at: KeyPath) -> None:
        """Parameters of a request: no credential, and nothing that the prompt itself says."""
        for name in values:
            if is_credential((name,)):
                self.refuse(
                    (*at, name),
                    f"{name} is a credential and not a parameter",
                    rule="secrets stay in the environment",
                    remedy="remove it; write `api_key: ${NAME}` beside the model, with the variable's name",
                )
            elif name in _RESERVED_PARAMETERS:
                self.refuse(
                    (*at, name),
                    f"{name} is not a parameter",
                    rule="messages, input and model come from the prompt; answers are not streamed",
                    remedy="remove it; write the prompt under `text`, `messages` or `prompt`",
                )

    def api_key(self, text: str | None, at: KeyPath) -> str | None:
        """The name in `${NAME}`. The text itself is never repeated."""
        if text is None:
            return None
        name = credential_name(text)
        if name is None:
            self.refuse(
                at,
                "a credential stands in the document",
                rule="secrets stay in the environment; a document refers to them by name",
                remedy="write ${NAME}, set the variable NAME, and replace the key that was written here",
            )
        return name

    def endpoint(self, url: str | None, at: KeyPath) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            problem = _endpoint_problem(parts.scheme, parts.hostname, "@" in parts.netloc, bool(parts.query))
        except ValueError:
            problem = "is no URL"
        if problem is not None:
            self.refuse(
                at,
                f"the endpoint {problem}",
                rule="an endpoint is a base URL: http or https, a host, no credentials and no query",
                remedy="write it as https://host/v1, and the key as `api_key: ${NAME}`",
            )
        return url

    def script(self, name: str, arguments: Iterable[str], at: KeyPath) -> ScriptRef:
        """A script by its name inside the allowed folder."""
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name:
            self.refuse(
                at,
                "the script is not in the allowed folder",
                value=name,
                rule="scripts run from the `scripts` folder of the home folder only",
                remedy="put the script there and write its name",
            )
        return ScriptRef(script=name, arguments=tuple(arguments))


def _endpoint_problem(scheme: str, host: str | None, has_credentials: bool, has_query: bool) -> str | None:
    if has_credentials:
        return "holds credentials"
    if scheme not in ("http", "https") or not host:
        return "is not an http or https URL"
    return "holds a query" if has_query else None
