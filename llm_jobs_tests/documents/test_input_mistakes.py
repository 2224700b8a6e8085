"""Each mistake that one can make under `input` and `on_input_error`: its line, its key, what is wrong, what to do."""

from __future__ import annotations

import pytest

from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, Problem

LINE = 4
TEXT = """job:
  name: nightly
  prompts: [{name: said, text: Hello, model: simulated}]
  %s
"""
QUERY = "query: SELECT 1 AS a"
API = "endpoint: https://api.example/reviews"


def problems_of(section: str) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parse_document("nightly.yaml", (TEXT % section).encode())
    return caught.value.problems


def source(text: str) -> str:
    return f"input: {{{text}}}"


MISTAKES = [
    # which source, and which keys belong to it
    (source("source: mysql, query: SELECT 1"), "source", "not one of the values", "choose one of these"),
    (source("sorce: api"), "sorce", "unknown key", "did you mean 'source'?"),
    (source("source: api"), "", "there is no endpoint", "write `endpoint:`"),
    (source("source: database"), "", "there is no query", "write `query:`"),
    (source("source: inline"), "", "there is no rows", "write `rows:`"),
    (source("connection: shop"), "", "no table is given", "write one of these"),
    (source(f"{QUERY}, path: a.csv"), "", "two tables are given: a file and a query", "one of these"),
    (source(f"{QUERY}, {API}"), "", "two tables are given: a query and an API", "one of these"),
    (source("source: sqlite, path: a.csv"), "path", "a sqlite table has no path", "write source: file"),
    (source(f"source: file, {QUERY}"), "query", "a file table has no query", "write source: database"),
    (source(f"source: database, {API}"), "endpoint", "a database table has no endpoint", "write source: api"),
    (source(f"{QUERY}, format: json"), "format", "format is said of a query", "remove it"),
    (source(f"{QUERY}, method: GET"), "method", "method is said of a query", "remove it"),
    (source(f"{API}, connection: shop"), "connection", "connection is said of an API", "remove it"),
    (source("path: a.csv, auth: bearer_token"), "auth", "auth is said of a file", "remove it"),
    (source("rows: [{a: 1}], paging: link"), "paging", "paging is said of rows in line", "remove it"),
    (source(f"source: api, {API}, rows: [{{a: 1}}]"), "rows", "rows in line are given beside an endpoint", "pointer"),
    (source("rows: /data"), "", "no table is given", "write one of these"),
    (source("path: a.csv, batch_size: 0"), "batch_size", "greater than or equal to 1", "larger value"),
    (source("path: a.csv, batch_size: many"), "batch_size", "should be a whole number", "whole number"),
    (
        source("path: a.csv, batch_strategy: serial"),
        "batch_strategy",
        "not one of the values",
        "did you mean 'sequential'?",
    ),
    (source("path: a.docx"), "path", "does not tell the file's format", "write `format:`"),
    (source("path: a.csv.rar"), "path", "does not tell the file's format", "write `format:`"),
    (source("path: a.csv, types: {a: date}"), "types.a", "not one of the values", "choose one"),
    # queries
    (source("query: 7"), "query", "should be text", "in quotes"),
    (source("query: ''"), "query", "at least 1 character", "at least one character"),
    (source("query: SELECT 1; DROP TABLE t"), "query", "not one statement", "behind the `;`"),
    (source("query: DELETE FROM t"), "query", "not one statement", "a view"),
    (source("query: UPDATE t SET a = 1"), "query", "not one statement", "a view"),
    (source("query: 'SELECT * FROM ${TABLE}'"), "query", "${TABLE} is not filled in here", "write the text out"),
    (source(f"{QUERY}, connection: 'postgresql://a:pw@h/d'"), "connection", "a password stands", "write ${NAME}"),
    (source(f"{QUERY}, connection: 'postgresql://h/d?password=pw'"), "connection", "a password stands", "${NAME}"),
    (source(f"{QUERY}, connection: [shop]"), "connection", "should be text", "write one text"),
    # APIs
    (source("endpoint: api.example/x"), "endpoint", "is not an http or https URL", "https://host/path"),
    (source("endpoint: ftp://api.example/x"), "endpoint", "is not an http or https URL", "https://host/path"),
    (source("endpoint: https://a:b@api.example/x"), "endpoint", "holds credentials", "auth: bearer_token"),
    (source("endpoint: 'https://api.example/x?token=y'"), "endpoint", "holds credentials", "under `headers`"),
    (source("endpoint: 'https://api.example/x#y'"), "endpoint", "holds a fragment", "https://host/path"),
    (source("endpoint: 'https://${HOST}/x'"), "endpoint", "HOST is not allowed", "LLM_JOBS_DOCUMENT_VARIABLES"),
    (source(f"{API}, method: PUT"), "method", "not one of the values", "choose one"),
    (source(f"{API}, body: {{a: 1}}"), "body", "a GET has no body", "write method: POST"),
    (source(f"{API}, auth: tok-123"), "auth", "neither bearer_token nor a mapping", "correct the value"),
    (source(f"{API}, auth: {{bearer: tok-123}}"), "auth", "not named by a variable", "bearer: NAME"),
    (source(f"{API}, auth: {{basic: A}}"), "auth.basic", "unknown key", "remove it"),
    (source(f"{API}, headers: {{Authorization: Bearer tok}}"), "headers.Authorization", "a credential", "${NAME}"),
    (source(f"{API}, headers: {{X-Api-Key: tok}}"), "headers.X-Api-Key", "a credential", "${NAME}"),
    (source(f"{API}, headers: {{Cookie: sid=tok}}"), "headers.Cookie", "a credential", "${NAME}"),
    (source(f"{API}, headers: {{X-Auth-Token: tok}}"), "headers.X-Auth-Token", "a credential", "${NAME}"),
    (source(f"{API}, headers: {{'X Y': a}}"), "headers['X Y']", "cannot be sent", "correct it"),
    (source(f'{API}, headers: {{X: "a\\nb"}}'), "headers.X", "cannot be sent", "correct it"),
    (source(f"{API}, headers: {{X: 7}}"), "headers.X", "should be text", "in quotes"),
    (source(f"{API}, params: {{token: tok}}"), "params.token", "a credential stands in the address", "as a header"),
    (source(f"{API}, rows: data"), "rows", "no JSON pointer", "write /data"),
    (source(f"{API}, rows: data.items"), "rows", "no JSON pointer", "write /data/items"),
    (source(f"{API}, paging: {{next: cursor}}"), "paging.next", "no JSON pointer", "write /cursor"),
    (source(f"{API}, paging: {{}}"), "paging", "not one way", "write next, link, page or offset"),
    (source(f"{API}, paging: {{page: p, offset: o}}"), "paging", "not one way", "write next, link, page or offset"),
    (source(f"{API}, paging: {{page: p, parameter: o}}"), "paging", "which belongs to next", "correct the value"),
    (source(f"{API}, paging: {{link: next, first: 1}}"), "paging", "which belongs to page", "correct the value"),
    (source(f"{API}, paging: {{pages: p}}"), "paging.pages", "unknown key", "did you mean 'page'?"),
    (source(f"{API}, limits: {{max_rows: 0}}"), "limits.max_rows", "greater than or equal to 1", "larger"),
    (source(f"{API}, limits: {{timeout_s: 0}}"), "limits.timeout_s", "greater than 0", "larger"),
    (source(f"{API}, limits: {{seconds: 5}}"), "limits.seconds", "unknown key", "remove it"),
]
ERRORS = [
    ("{strategy: ignore}", ".strategy", "not one of the values", "choose one"),
    ("{log: sometimes}", ".log", "true or false", "true or false"),
    ("{max_retries: -1}", ".max_retries", "greater than or equal to 0", "larger"),
    ("{backoff: linear}", ".backoff", "not one of the values", "choose one"),
    ("{strtegy: skip}", ".strtegy", "unknown key", "did you mean 'strategy'?"),
    ("skip", "", "should be a mapping", "write a mapping"),
]


@pytest.mark.parametrize(("section", "key", "what", "remedy"), MISTAKES)
def test_a_mistake_in_an_input_has_its_line_its_reason_and_its_remedy(
    section: str, key: str, what: str, remedy: str
) -> None:
    dotted = "job.input" + (key if key.startswith("[") else f".{key}" if key else "")
    [found] = [problem for problem in problems_of(section) if problem.key == dotted]
    assert found.line == LINE
    assert what in found.what
    assert remedy in (found.remedy or "")
    assert "pw" not in str(found)
    assert "tok-123" not in str(found)


@pytest.mark.parametrize(("stated", "key", "what", "remedy"), ERRORS)
def test_a_mistake_in_what_becomes_of_bad_rows_is_answered_too(stated: str, key: str, what: str, remedy: str) -> None:
    section = f"error_handling: {{on_input_error: {stated}}}"
    [found] = [p for p in problems_of(section) if p.key == f"job.error_handling.on_input_error{key}"]
    assert found.line == LINE
    assert what in found.what
    assert remedy in (found.remedy or "")


GOOD = [
    "query: \"SELECT a FROM t WHERE b = ';' -- ; no end\"",
    'query: "WITH x AS (SELECT 1 AS a) SELECT a FROM x;"',
    'query: "SELECT $tag$ ; $tag$ AS a /* ; */"',
    "query: '(SELECT 1 AS a) UNION (SELECT 2)'",
    "query: VALUES (1)",
    "query: SELECT 1, connection: 'postgresql://a:${PW}@h/d'",
    f"{API}, auth: bearer_token, method: POST, body: {{since: 1}}",
    f"{API}, headers: {{X-Api-Key: '${{SHOP_KEY}}', Authorization: 'Basic ${{SHOP_LOGIN}}'}}",
    f"{API}, auth: {{bearer: '${{SHOP_TOKEN}}'}}, paging: {{next: /next}}, rows: /data",
    "batch_size: 10, batch_strategy: parallel",
    "path: 'in/*.csv.gz'",
    "path: a.tsv.xz, batch_strategy: sequential",
]


@pytest.mark.parametrize("stated", GOOD)
def test_what_is_right_is_accepted(stated: str) -> None:
    [document] = parse_document("nightly.yaml", (TEXT % source(stated)).encode())
    assert document.name == "nightly"


def test_bearer_token_is_the_variable_that_is_meant_for_it() -> None:
    [document] = parse_document("nightly.yaml", (TEXT % source(f"{API}, auth: bearer_token")).encode())
    assert document.input.api is not None
    assert document.input.api.bearer == "LLM_JOBS_API_TOKEN"
