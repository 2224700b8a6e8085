"""What a webhook's request brings: rows, which are kept as a table, and parameters."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from llm_jobs.documents.identity import canonical_line
from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.text import KeyPath, Source, decode
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DocumentError, ImmutableError
from llm_jobs.operations.keep import keep
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.services import Services

_FILE = "the request"
_MEMBERS = ("rows", "parameters")
_RULE = "the body is empty, a list of rows (objects), or an object of `rows` and `parameters`"
FOLDER = "webhooks"


def read_body(services: Services, body: bytes) -> Overrides:
    """What `body` says over a document; its rows are kept under `inputs/`, each content once. Raises DocumentError."""
    if not body.strip():
        return Overrides()
    source = read_json(_FILE, decode(_FILE, body, max_bytes=services.settings.max_document_bytes))
    members = {"rows": source.value} if isinstance(source.value, list) else source.value
    if not isinstance(members, dict):
        raise _refused(source, (), "the body is neither a list nor an object")
    for name in members:
        if name not in _MEMBERS:
            raise _refused(
                source, (name,), f"unknown member {name!r}", did_you_mean(name, _MEMBERS, otherwise="remove")
            )
    parameters, rows = members.get("parameters", {}), members.get("rows")
    if not isinstance(parameters, dict):
        raise _refused(source, ("parameters",), "parameters are no object")
    return Overrides(input=None if rows is None else str(_kept(services, source, rows)), parameters=parameters)


def _kept(services: Services, source: Source, rows: JsonValue) -> Path:
    if not isinstance(rows, list) or not rows:
        raise _refused(source, ("rows",), "rows are no list of at least one row")
    lines = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or not row:
            raise _refused(source, ("rows", index), "a row is no object with at least one member")
        lines.append(canonical_line(row) + b"\n")
    content = b"".join(lines)
    path = services.settings.inputs / FOLDER / f"{sha256(content).hexdigest()[:32]}.jsonl"
    with suppress(ImmutableError):  # the same rows came before
        keep(path, content)
    return path


def _refused(source: Source, at: KeyPath, what: str, remedy: str = "send one of these") -> DocumentError:
    return DocumentError([source.problem(at, what, rule=_RULE, remedy=remedy)])
