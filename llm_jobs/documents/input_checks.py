"""The `input` section as a table: which source it is, which keys belong to it, and what they mean together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from llm_jobs.documents.connections import DEFAULT_CONNECTION, public_form, written_password
from llm_jobs.documents.inputs import AuthModel, InputModel, LimitsModel, PagingModel
from llm_jobs.documents.parsed import ParsedInput
from llm_jobs.documents.sql_text import is_one_statement
from llm_jobs.documents.table_sources import MAX_BYTES, MAX_ROWS, TIMEOUT_S, ApiSource, Dialect, Paging, QuerySource
from llm_jobs.documents.text import KeyPath, is_credential
from llm_jobs.documents.variables import credential_name

if TYPE_CHECKING:
    from llm_jobs.documents.checks import Checks
    from llm_jobs.documents.json_value import JsonValue

KINDS: Mapping[str, str] = {
    "inline": "inline",
    "file": "file",
    "database": "query",
    "postgresql": "query",
    "sqlite": "query",
    "api": "api",
}
DEFINING = {"rows": "inline", "path": "file", "query": "query", "endpoint": "api", "result_of": "result"}
KEYS: Mapping[str, frozenset[str]] = {
    "inline": frozenset({"rows"}),
    "file": frozenset({"path", "format", "types"}),
    "result": frozenset({"result_of"}),
    "query": frozenset({"query", "connection", "types"}),
    "api": frozenset({"endpoint", "method", "auth", "headers", "params", "body", "rows", "paging", "limits", "types"}),
}
EVERYWHERE = frozenset({"source", "batch_size", "batch_strategy"})
CALLED = {"inline": "rows in line", "file": "a file", "query": "a query", "api": "an API", "result": "a result"}
SECRETIVE = re.compile(r"auth|token|secret|passw|cookie|credential|session|key\b", re.IGNORECASE)  # names of headers
VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}")


def table_of(model: InputModel | None, at: KeyPath, checks: Checks) -> ParsedInput | None:
    """The table of an `input` section; None where there is none, or where it says no more than how it is fetched."""
    if model is None or (given := model.model_fields_set) <= EVERYWHERE - {"source"}:
        return None
    kind = _kind(model, at, checks)
    if kind is None:
        return None
    for key in sorted(given - EVERYWHERE - KEYS[kind]):
        _refuse_key(key, kind, at, checks)
    if kind == "query":
        return _query(model, at, checks)
    if kind == "api":
        return _api(model, at, checks)
    if kind == "file":
        return _file(model, at, checks)
    if kind == "result":
        return ParsedInput(kind="file", result_of=model.result_of, format="parquet", at=at)
    return ParsedInput(kind="inline", rows=tuple(model.rows or ()), at=at)


def _kind(model: InputModel, at: KeyPath, checks: Checks) -> str | None:
    """Which source the section describes, as stated or by the key that only one of them has."""
    kinds = {of for key, of in DEFINING.items() if getattr(model, key) is not None}
    if isinstance(model.rows, str):  # the pointer of an API
        kinds.discard("inline")
    stated = KINDS[model.source] if model.source else None
    if stated is None and len(kinds) != 1:
        found = sorted(CALLED[kind] for kind in kinds)
        what = f"two tables are given: {' and '.join(found)}" if kinds else "no table is given"
        checks.refuse(at, what, rule="one of rows, path, query, endpoint and result_of", remedy="write one of these")
        return None
    kind = stated or next(iter(kinds))
    if kind in kinds:
        return kind
    key = next(key for key, of in DEFINING.items() if of == kind)
    rule = f"{CALLED[kind]} is said under `{key}`"
    if len(kinds) == 1:
        [other] = kinds
        _refuse_contradiction(model, other, at, checks, rule=rule)
    else:
        what = f"no table is given: the source is {model.source} and there is no {key}"
        checks.refuse(at, what, rule=rule, remedy=f"write `{key}:`")
    return None


def _refuse_contradiction(model: InputModel, kind: str, at: KeyPath, checks: Checks, *, rule: str) -> None:
    """The source is one, and the key that is given another's."""
    key = next(key for key, of in DEFINING.items() if of == kind)
    source = next((name for name, of in KINDS.items() if of == kind), None)
    article = "an" if str(model.source)[0] in "aio" else "a"
    checks.refuse(
        (*at, key),
        f"{article} {model.source} table has no {key}",
        rule=rule,
        remedy=f"write source: {source}" if source else "remove `source:`",
    )


def _refuse_key(key: str, kind: str, at: KeyPath, checks: Checks) -> None:
    owners = [CALLED[of] for of, keys in KEYS.items() if key in keys]
    checks.refuse(
        (*at, key),
        f"{key} is said of {CALLED[kind]}",
        rule=f"it is for {' and '.join(owners)}",
        remedy="remove it, or what makes the table another one",
    )


def _file(model: InputModel, at: KeyPath, checks: Checks) -> ParsedInput:
    path = model.path or ""
    form = model.format or checks.format_of(path, (*at, "path"))
    return ParsedInput(kind="file", path=path, format=form, types=model.types, batch_size=model.batch_size, at=at)


def _query(model: InputModel, at: KeyPath, checks: Checks) -> ParsedInput:
    text = (model.query or "").strip()
    connection = model.connection or DEFAULT_CONNECTION
    if not is_one_statement(text):
        checks.refuse(
            (*at, "query"),
            "the query is not one statement",
            rule="a query is one SELECT (or WITH, VALUES) that reads",
            remedy="remove what stands behind the `;`, or make a view of it",
        )
    if written_password(connection):
        checks.refuse(
            (*at, "connection"),
            "a password stands in the document",
            rule="secrets stay in the environment; a document refers to them by name",
            remedy="write ${NAME} in its place, set the variable NAME, and replace the password that was written here",
        )
        connection = DEFAULT_CONNECTION
    dialect: Dialect = model.source if model.source in ("postgresql", "sqlite") else "database"
    source = QuerySource(text=text, connection=connection, place=public_form(connection), dialect=dialect)
    return ParsedInput(kind="query", query=source, types=model.types, batch_size=model.batch_size, at=at)


def _api(model: InputModel, at: KeyPath, checks: Checks) -> ParsedInput:
    method = model.method or "GET"
    if model.body is not None and method == "GET":
        checks.refuse((*at, "body"), "a GET has no body", rule="body is sent by POST", remedy="write method: POST")
    if isinstance(model.rows, list):
        checks.refuse(
            (*at, "rows"),
            "rows in line are given beside an endpoint",
            rule="of an API, rows is the JSON pointer of the list in a page",
            remedy="write a pointer such as /data/items, or remove the endpoint",
        )
    limits = model.limits or LimitsModel()
    api = ApiSource(
        endpoint=_endpoint(model.endpoint or "", (*at, "endpoint"), checks),
        method=method,
        params=_params(model.params, (*at, "params"), checks),
        body=model.body,
        headers=_headers(model.headers, (*at, "headers"), checks),
        bearer=bearer_of(model.auth, (*at, "auth"), checks),
        rows=_pointer(model.rows if isinstance(model.rows, str) else "", (*at, "rows"), checks),
        paging=_paging(model.paging, (*at, "paging"), checks),
        max_rows=limits.max_rows or MAX_ROWS,
        max_bytes=limits.max_bytes or MAX_BYTES,
        timeout_s=limits.timeout_s or TIMEOUT_S,
    )
    return ParsedInput(kind="api", api=api, types=model.types, batch_size=model.batch_size, at=at)


def _endpoint(url: str, at: KeyPath, checks: Checks) -> str:
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    problem = None
    if scheme not in ("http", "https") or not host:
        problem = "is not an http or https URL"
    elif "@" in host or written_password(url) or "${" in url:
        problem = "holds credentials"
    elif "#" in url:
        problem = "holds a fragment"
    if problem is not None:
        checks.refuse(
            at,
            f"the endpoint {problem}",
            rule="an endpoint is a URL: http or https, a host, no credentials",
            remedy="write it as https://host/path, and the token as `auth: bearer_token` or under `headers`",
        )
    return url


def _params(params: Mapping[str, JsonValue], at: KeyPath, checks: Checks) -> dict[str, JsonValue]:
    for name in params:
        if is_credential((name,)):
            checks.refuse(
                (*at, name),
                "a credential stands in the address",
                rule="secrets stay in the environment, and addresses are logged by servers",
                remedy="send it as a header: `headers: {X-Api-Key: ${NAME}}`, or `auth: {bearer: NAME}`",
            )
    return dict(params)


def _headers(headers: Mapping[str, str], at: KeyPath, checks: Checks) -> dict[str, str]:
    for name, text in headers.items():
        if SECRETIVE.search(name) and "${" not in text:
            checks.refuse(
                (*at, name),
                "a credential stands in the document",
                rule="secrets stay in the environment; a document refers to them by name",
                remedy="write ${NAME}, set the variable NAME, and replace the value that was written here",
            )
        elif not name.isascii() or not text.isascii() or not text.isprintable() or not re.fullmatch(r"[\w-]+", name):
            checks.refuse(
                (*at, name),
                f"the header {name!r} cannot be sent",
                rule="names and values of headers are printable ASCII",
                remedy="correct it",
            )
    return dict(headers)


def bearer_of(auth: AuthModel | None, at: KeyPath, checks: Checks) -> str | None:
    if auth is None:
        return None
    name = credential_name(auth.bearer) or auth.bearer
    if VARIABLE_NAME.fullmatch(name):
        return name
    checks.refuse(
        at,
        "the token is not named by a variable",
        rule="secrets stay in the environment: bearer is the NAME of a variable, in capitals",
        remedy="write `auth: bearer_token` for LLM_JOBS_API_TOKEN, or `auth: {bearer: NAME}`",
    )
    return None


def _pointer(text: str, at: KeyPath, checks: Checks) -> str:
    if text and not text.startswith("/"):
        checks.refuse(
            at,
            "this is no JSON pointer",
            value=text,
            rule="a pointer begins with `/`: /data/items (RFC 6901)",
            remedy=f"write /{text.replace('.', '/')}",
        )
    return text


def _paging(model: PagingModel | None, at: KeyPath, checks: Checks) -> Paging | None:
    if model is None:
        return None
    if model.next is not None:
        pointer = _pointer(model.next, (*at, "next"), checks)
        return Paging(kind="next", pointer=pointer, parameter=model.parameter, size=model.size)
    if model.link is not None:
        return Paging(kind="link", size=model.size)
    if model.page is not None:
        first = 1 if model.first is None else model.first
        return Paging(kind="page", parameter=model.page, first=first, size=model.size)
    return Paging(kind="offset", parameter=model.offset, first=model.first or 0, size=model.size)
