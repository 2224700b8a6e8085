"""Tables that lie elsewhere, as a job holds them: a query over a database, an HTTP API, several files as one table.

Plain values. What is identity is said here: the text of the question and the public form of the place, never a
credential. Where rows come from and how they are read belongs to `sources`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llm_jobs.documents.json_value import JsonValue

# Marks a row that could not be read, with the reason: never asked, and in no result, where its status is
# `invalid_input`.
INPUT_ERROR = "llm_input_error"
Dialect = Literal["database", "postgresql", "sqlite"]  # database: whichever the connection leads to
Method = Literal["GET", "POST"]
PagingKind = Literal["next", "link", "page", "offset"]
MAX_ROWS = 10_000_000
MAX_BYTES = 4 * 1024**3
TIMEOUT_S = 60.0
RETRIES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class InputFile:
    """One of several files that are one table, in the order of their names."""

    url: str
    digest: str  # SHA-256 of its bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class QuerySource:
    """One SQL statement that reads. `connection` is as written: a name, a URL whose credentials are `${NAME}`, or the
    path of an SQLite file, of which `file` is the absolute path."""

    text: str
    connection: str
    place: str  # the public form of the connection: without user, password and secret queries
    dialect: Dialect = "database"
    file: str | None = None

    def identity(self) -> dict[str, object]:
        return {"query": self.text, "connection": self.place}


@dataclass(frozen=True, kw_only=True, slots=True)
class Paging:
    """How the next page is found. next: at the JSON pointer `pointer` of a page stands its URL, or the value of the
    query parameter `parameter`.  link: in the header Link.  page, offset: `parameter` counts pages from `first`, or
    rows, until a page has none."""

    kind: PagingKind
    pointer: str | None = None
    parameter: str | None = None
    first: int = 0
    size: str | None = None  # the query parameter that takes the rows per page; never identity

    def identity(self) -> dict[str, object]:
        return {"kind": self.kind, "pointer": self.pointer, "parameter": self.parameter, "first": self.first}


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiSource:
    """Rows that a server lists as JSON. Header values may hold `${NAME}`, filled in at the request; those are never
    identity. A limit that is passed is an error: half a table is no table."""

    endpoint: str
    method: Method = "GET"
    params: Mapping[str, JsonValue] = field(default_factory=dict)
    body: JsonValue = None
    headers: Mapping[str, str] = field(default_factory=dict)
    bearer: str | None = None  # NAME of the variable that holds the token
    rows: str = ""  # RFC 6901 pointer to the list; "": the page itself is the list
    paging: Paging | None = None
    max_rows: int = MAX_ROWS
    max_bytes: int = MAX_BYTES
    timeout_s: float = TIMEOUT_S  # of one request

    def identity(self) -> dict[str, object]:
        members: dict[str, object] = {"endpoint": self.endpoint, "method": self.method, "rows": self.rows}
        if self.params:
            members["params"] = dict(self.params)
        if self.body is not None:
            members["body"] = self.body
        if plain := {name.lower(): text for name, text in self.headers.items() if "${" not in text}:
            members["headers"] = plain
        if self.paging is not None:
            members["paging"] = self.paging.identity()
        return members


@dataclass(frozen=True, kw_only=True, slots=True)
class InputErrors:
    """What becomes of rows that cannot be read or asked.

    skip: they are rows of the result with their reason, and the others go on.  alert: the same, and listeners are told.
    fail: the first ends the job.  retry: what may pass (a server that cannot be reached) is tried again so often; then,
    and at a row that is wrong, the job ends.
    """

    strategy: Literal["skip", "fail", "retry", "alert"] = "skip"
    log: bool = True  # say in the log how many were skipped, and the first reason
    alert: bool = False
    max_retries: int = RETRIES

    @property
    def tolerates(self) -> bool:
        return self.strategy in ("skip", "alert")

    @property
    def alerts(self) -> bool:
        return self.alert or self.strategy == "alert"


def input_errors_from(members: Mapping[str, Any] | None) -> InputErrors | None:
    """What JSON has of `InputErrors`."""
    return None if members is None else InputErrors(**members)


def input_members(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of an `Input` that JSON has, as the values that they are."""
    changed = dict(members)
    changed["rows"] = tuple(members["rows"])
    changed["files"] = tuple(InputFile(**file) for file in members.get("files", ()))
    if (query := members.get("query")) is not None:
        changed["query"] = QuerySource(**query)
    if (api := members.get("api")) is not None:
        paging = api["paging"]
        changed["api"] = ApiSource(**{**api, "paging": Paging(**paging) if paging else None})
    return changed
