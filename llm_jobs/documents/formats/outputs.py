"""From the sections `output` and `on_output_error` of a YAML job to destinations. Never identity."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from llm_jobs.documents.checks import FACT_PREFIX, Checks
from llm_jobs.documents.connections import DEFAULT_CONNECTION, public_form, written_password
from llm_jobs.documents.destinations import (
    RETRIES,
    ROWS_PER_REQUEST,
    ROWS_PER_TRANSACTION,
    TIMEOUT_S,
    ApiOutput,
    Compression,
    DatabaseOutput,
    FileForm,
    FileOutput,
    Output,
    OutputError,
)
from llm_jobs.documents.input_checks import bearer_of
from llm_jobs.documents.outputs import OutputErrorModel, OutputModel
from llm_jobs.documents.text import KeyPath, is_credential
from llm_jobs.documents.validation import did_you_mean

PLACEHOLDERS = ("name", "job_hash", "epoch", "epoch_ns", "date", "document")
PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}|(?<![\$\{])\{([^{}]*)\}")
COMPRESSIONS: Mapping[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".xz": "xz"}

_FORMS: Mapping[str, FileForm] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
KEYS: Mapping[str, frozenset[str]] = {
    "file": frozenset({"path"}),
    "database": frozenset({"connection", "table", "mode", "key", "batch_size"}),
    "api": frozenset({"endpoint", "method", "auth", "headers", "batch_size", "retries", "timeout"}),
}
OF_ALL = frozenset({"destination", "format", "on_complete"})
_NEEDED = {"file": "path", "database": "table", "api": "endpoint"}
_FORMATS = {
    "file": ("csv", "tsv", "json", "jsonl", "parquet", "pair"),
    "database": ("columns", "json"),
    "api": ("json", "jsonl"),
}
_TABLE = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}")
_OWN_HEADERS = frozenset({"content-length", "content-type", "host", "idempotency-key", "transfer-encoding"})
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ORDINARY_TEXT = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def outputs_of(models: Sequence[OutputModel] | None, at: KeyPath, checks: Checks) -> tuple[Output, ...]:
    """The destinations of a job, each once."""
    outputs: list[Output] = []
    for index, model in enumerate(models or ()):
        place = (*at, index) if models is not None and len(models) > 1 else at
        output = output_of(model, place, checks)
        if output in outputs:
            checks.refuse(
                place, "a destination is named twice", rule="each is delivered to once", remedy="remove one of the two"
            )
        outputs += [output] if output else []
    return tuple(outputs)


def output_error_of(model: OutputErrorModel | None, at: KeyPath, checks: Checks) -> OutputError:
    """What becomes of a delivery that failed."""
    if model is None:
        return OutputError()
    if (model.strategy == "fallback") != (model.fallback is not None):
        checks.refuse(
            (*at, "fallback"),
            "strategy fallback and a fallback belong together",
            rule="the fallback is the destination that takes the result when the first cannot",
            remedy="write `strategy: fallback` and `fallback: {path: …}`, both or none",
        )
    if model.max_retries is not None and model.strategy != "retry":
        checks.refuse(
            (*at, "max_retries"),
            f"max_retries is said of the strategy {model.strategy}",
            rule="only the strategy retry tries again",
            remedy="write `strategy: retry`, or remove max_retries",
        )
    return OutputError(
        strategy=model.strategy,
        max_retries=3 if model.max_retries is None else model.max_retries,
        alert=model.alert or model.strategy == "alert",
        fallback=output_of(model.fallback, (*at, "fallback"), checks) if model.fallback else None,
    )


def output_of(model: OutputModel, at: KeyPath, checks: Checks) -> Output | None:
    """One destination; None where what is most needed is missing."""
    kind = model.destination
    for key in sorted(model.model_fields_set - OF_ALL - KEYS[kind]):
        _refuse_key(key, kind, at, checks)
    if model.format is not None and model.format not in _FORMATS[kind]:
        checks.refuse(
            (*at, "format"),
            f"{model.format} is no format of the destination {kind}",
            rule=f"one of: {', '.join(_FORMATS[kind])}",
            remedy="choose one of these",
        )
        return None
    if getattr(model, _NEEDED[kind]) is None:
        checks.refuse(
            at,
            f"the key {_NEEDED[kind]!r} is missing",
            rule=f"the destination {kind} has a {_NEEDED[kind]}",
            remedy=f"add {_NEEDED[kind]!r}",
        )
        return None
    return {"file": _file, "database": _database, "api": _api}[kind](model, at, checks)


def _refuse_key(key: str, kind: str, at: KeyPath, checks: Checks) -> None:
    owners = [other for other, keys in KEYS.items() if key in keys]
    checks.refuse(
        (*at, key),
        f"{key} is said of the destination {kind}",
        rule=f"it belongs to: {', '.join(owners)}; known here: {', '.join(sorted(KEYS[kind] | OF_ALL))}",
        remedy=f"write `destination: {owners[0]}`, or remove {key}",
    )


def _file(model: OutputModel, at: KeyPath, checks: Checks) -> Output | None:
    assert model.path is not None
    for double, single in PLACEHOLDER.findall(model.path):
        if (name := double or single) not in PLACEHOLDERS:
            checks.refuse(
                (*at, "path"),
                f"unknown placeholder {name!r}",
                rule=f"known are {', '.join(PLACEHOLDERS)}",
                remedy=did_you_mean(name, PLACEHOLDERS, otherwise="correct the path"),
            )
    name = PurePosixPath(urlsplit(model.path).path or model.path)
    compression = COMPRESSIONS.get(name.suffix.lower())
    form = model.format or _FORMS.get((name.with_suffix("") if compression else name).suffix.lower())
    if form is None:
        checks.refuse(
            (*at, "path"),
            "the name does not tell the file's format",
            value=model.path,
            rule=f"known are {', '.join(_FORMS)}, each with {', '.join(COMPRESSIONS)} or nothing behind it",
            remedy=f"write `format:` beside it: {', '.join(_FORMATS['file'])}",
        )
        return None
    if form == "parquet" and compression:
        checks.refuse(
            (*at, "path"),
            "a Parquet file is compressed inside",
            value=model.path,
            rule="a Parquet delivery has the bytes of the result",
            remedy=f"remove {name.suffix}",
        )
    return FileOutput(path=model.path, format=form, compression=compression)  # type: ignore[arg-type]


def _database(model: OutputModel, at: KeyPath, checks: Checks) -> Output | None:
    assert model.table is not None
    if not _TABLE.fullmatch(model.table):
        checks.refuse(
            (*at, "table"),
            "this is no table's name",
            value=model.table,
            rule="letters, digits and _, at most 63, beginning with no digit; a schema may stand before it, with a dot",
            remedy="rename the table",
        )
    _check_key(model, at, checks)
    connection = model.connection or DEFAULT_CONNECTION
    if written_password(connection):
        checks.refuse(
            (*at, "connection"),
            "a password stands in the document",
            rule="secrets stay in the environment; a document refers to them by name",
            remedy="write ${NAME} in its place, set the variable NAME, and replace the password that was written here",
        )
    return DatabaseOutput(
        table=model.table,
        connection=connection,
        database=public_form(connection),
        mode=model.mode or "append",
        key=tuple(model.key or ()),
        format="json" if model.format == "json" else "columns",
        batch_size=model.batch_size or ROWS_PER_TRANSACTION,
    )


def _check_key(model: OutputModel, at: KeyPath, checks: Checks) -> None:
    if model.mode == "upsert" and not model.key:
        checks.refuse(
            (*at, "mode"),
            "an upsert has no key",
            rule="the key tells which row of the table is replaced",
            remedy="add `key: [column, …]`",
        )
    names = model.key or []
    if model.key and model.mode != "upsert" and model.format != "json":
        checks.refuse(
            (*at, "key"), "a key is said of an append", rule="an append looks for no row", remedy="write `mode: upsert`"
        )
    for name in {name for name in names if names.count(name) > 1 or name.startswith(FACT_PREFIX) or not name}:
        checks.refuse(
            (*at, "key"),
            f"the column {name!r} cannot be in the key",
            rule=f"columns of the input or of answers, each once; {FACT_PREFIX}… hold the facts of each answer",
            remedy="remove it",
        )


def _api(model: OutputModel, at: KeyPath, checks: Checks) -> Output | None:
    assert model.endpoint is not None
    checks.endpoint(model.endpoint, (*at, "endpoint"))
    for name, text in model.headers.items():
        _check_header(name, text, (*at, "headers", name), checks)
    bearer = bearer_of(model.auth, (*at, "auth"), checks)
    if bearer and any(name.lower() == "authorization" for name in model.headers):
        checks.refuse(
            (*at, "auth"), "the authorisation is said twice", rule="auth, or the header", remedy="remove one of the two"
        )
    return ApiOutput(
        endpoint=model.endpoint,
        method=model.method or "POST",
        format="jsonl" if model.format == "jsonl" else "json",
        bearer=bearer,
        headers=model.headers,
        batch_size=model.batch_size or ROWS_PER_REQUEST,
        retries=RETRIES if model.retries is None else model.retries,
        timeout_s=model.timeout or TIMEOUT_S,
    )


def _check_header(name: str, text: str, at: KeyPath, checks: Checks) -> None:
    if not _HEADER.fullmatch(name) or not _ORDINARY_TEXT.fullmatch(text):
        checks.refuse(at, "this is no header", rule="names are tokens, values one line", remedy="correct it")
    elif name.lower() in _OWN_HEADERS:
        checks.refuse(
            at, f"{name} is not for documents to say", rule="it follows from what is sent", remedy="remove it"
        )
    elif is_credential((name,)) and not _REFERENCE.search(text):
        checks.refuse(
            at,
            "a credential stands in the document",
            rule="secrets stay in the environment; a document refers to them by name",
            remedy="write ${NAME}, set the variable NAME, and replace the key that was written here",
        )
