"""Where a job's result is delivered, as a frozen job holds it: files, tables, HTTP endpoints. Plain values; policy.

Nothing here is identity of a job. What identifies a destination (`delivery_key`) is what decides where rows land and
how they look there, so that a smaller batch or another token is no reason to deliver a result again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llm_jobs.documents.identity import hash_of

FileForm = Literal["csv", "tsv", "json", "jsonl", "parquet", "pair"]
Compression = Literal["gzip", "zstd", "bz2", "xz"]
Method = Literal["POST", "PUT", "PATCH"]
Strategy = Literal["fail", "retry", "skip", "alert", "fallback"]

ROWS_PER_TRANSACTION = 1_000
ROWS_PER_REQUEST = 100
RETRIES = 5
TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class FileOutput:
    """A file, or an object behind an fsspec URL. pair: `{"job": link to the document, "result": the answers}`."""

    path: str  # with placeholders
    format: FileForm
    compression: Compression | None = None
    destination: Literal["file"] = "file"

    @property
    def place(self) -> str:
        return self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseOutput:
    """A table of SQLite or PostgreSQL. columns: one per column of the result. json: one column `result` holds the row,
    beside `llm_job`, `llm_row` and the `key`."""

    table: str  # `name` or `schema.name`
    connection: str  # as written: a name, a URL whose credentials are `${NAME}`, a path of SQLite
    database: str  # the public form of the connection: without user, password and secret queries
    mode: Literal["append", "upsert"] = "append"
    key: tuple[str, ...] = ()  # the columns that tell rows apart; stated for an upsert
    format: Literal["columns", "json"] = "columns"
    batch_size: int = ROWS_PER_TRANSACTION  # rows per transaction
    destination: Literal["database"] = "database"

    @property
    def place(self) -> str:
        return f"{self.database}, table {self.table}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiOutput:
    """An HTTP endpoint that takes rows as JSON. Header values may hold `${NAME}`, filled in at the request."""

    endpoint: str
    method: Method = "POST"
    format: Literal["json", "jsonl"] = "json"
    bearer: str | None = None  # NAME of the variable that holds the token
    headers: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = ROWS_PER_REQUEST  # rows per request
    retries: int = RETRIES  # of each request, after the first
    timeout_s: float = TIMEOUT_S  # of each request
    destination: Literal["api"] = "api"

    @property
    def place(self) -> str:
        return self.endpoint


Output = FileOutput | DatabaseOutput | ApiOutput


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputError:
    """What becomes of a delivery that failed. fail: its run fails.  retry: it is tried `max_retries` times more, then
    fails.  skip: it is recorded and not asked for again.  alert: the same, and the alert channels are told.  fallback:
    the result goes to `fallback` in its place."""

    strategy: Strategy = "fail"
    max_retries: int = 3
    alert: bool = False  # are the alert channels told, whatever the strategy
    fallback: Output | None = None


FAILS = OutputError()  # what a document means that says nothing of it


def delivery_key(output: Output) -> str:
    """Identity of a destination in receipts: 32 hexadecimal characters."""
    return hash_of({"destination": output.destination, **_decisive(output)})


def _decisive(output: Output) -> dict[str, object]:
    if isinstance(output, FileOutput):
        return {"path": output.path, "format": output.format, "compression": output.compression}
    if isinstance(output, DatabaseOutput):
        place = {"database": output.database, "table": output.table}
        return {**place, "mode": output.mode, "key": list(output.key), "format": output.format}
    return {"endpoint": output.endpoint, "method": output.method, "format": output.format}


def outputs_from(policy: Mapping[str, Any]) -> tuple[Output, ...]:
    """The outputs of a policy in JSON; jobs of before had at most one, under `output`."""
    if "outputs" in policy:
        return tuple(_output(members) for members in policy["outputs"])
    return (_output(policy["output"]),) if policy.get("output") else ()


def output_error_from(members: Mapping[str, Any] | None) -> OutputError:
    """What `dataclasses.asdict` made of an OutputError, after JSON."""
    if members is None:
        return OutputError()
    fallback = members["fallback"]
    return OutputError(**{**members, "fallback": _output(fallback) if fallback else None})


def _output(members: Mapping[str, Any]) -> Output:
    if members["destination"] == "file":
        return FileOutput(**members)
    if members["destination"] == "api":
        return ApiOutput(**members)
    return DatabaseOutput(**{**members, "key": tuple(members["key"])})
