"""Tables elsewhere as part of a job: which of their members are its identity, and that JSON keeps them all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.documents.job import Input, Job, Policy
from llm_jobs.documents.parsing import parse_document
from llm_jobs.documents.table_sources import ApiSource, InputErrors, InputFile, Paging, QuerySource
from llm_jobs_tests.documents.test_identity import STEP

QUERY = Input(
    kind="query",
    digest="d",
    query=QuerySource(text="SELECT 1 AS a", connection="postgresql://a:${PW}@h/d", place="postgresql://h/d"),
    as_of_ns=1_795_267_441_681_388_245,
)
API = Input(
    kind="api",
    digest="d",
    api=ApiSource(
        endpoint="https://h/rows",
        params={"a": 1},
        headers={"X-Shop": "a", "X-Key": "${KEY}"},
        bearer="TOKEN",
        rows="/data",
        paging=Paging(kind="next", pointer="/next"),
    ),
    as_of_ns=5,
)
FILES = Input(
    kind="file",
    digest="d",
    url="in/*.csv",
    format="csv",
    files=(InputFile(url="a", digest="1"), InputFile(url="b", digest="2")),
)
POLICY = Policy(input_errors=InputErrors(strategy="retry", max_retries=7))


def job(source: Input) -> Job:
    return Job(name="a", steps=(STEP,), input=source, policy=POLICY)


# They never change: a change would make every job of the past another one.
GOLDEN = [(QUERY, "847400307e9a58f182eda30ef9fcea14"), (API, "04cd7fee5fc883f2be1f6ab6bc1df201")]


@pytest.mark.parametrize(("source", "expected"), GOLDEN)
def test_golden_hashes_of_tables_elsewhere(source: Input, expected: str) -> None:
    assert job(source).hash == expected


@pytest.mark.parametrize("source", [QUERY, API, FILES])
def test_json_keeps_every_member(source: Input) -> None:
    assert job_from_json(job_to_json(job(source))) == job(source)


def query(**members: Any) -> Input:
    assert QUERY.query is not None
    return replace(QUERY, query=replace(QUERY.query, **members))


def api(**members: Any) -> Input:
    assert API.api is not None
    return replace(API, api=replace(API.api, **members))


OTHERS = [
    (QUERY, query(text="SELECT 2 AS a")),
    (QUERY, query(place="postgresql://other/d")),
    (QUERY, replace(QUERY, as_of_ns=6)),
    (QUERY, replace(QUERY, types={"a": "text"})),
    (API, api(endpoint="https://h/other")),
    (API, api(method="POST")),
    (API, api(params={"a": 2})),
    (API, api(body={"a": 1})),
    (API, api(headers={"X-Shop": "b"})),
    (API, api(rows="/rows")),
    (API, api(paging=Paging(kind="link"))),
    (API, replace(API, as_of_ns=6)),
]
SAME = [
    (QUERY, query(connection="postgresql://b:${OTHER}@h/d")),
    (QUERY, query(dialect="postgresql")),
    (QUERY, query(file="/moved/shop.db")),
    (QUERY, replace(QUERY, batch_size=7)),
    (API, api(bearer="OTHER")),
    (API, api(headers={"x-shop": "a", "X-Key": "${OTHER}"})),
    (API, api(max_rows=7, max_bytes=7, timeout_s=7.0)),
    (API, api(paging=Paging(kind="next", pointer="/next", size="per_page"))),
]


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_what_is_asked_of_whom_and_as_of_when_is_identity(one: Input, other: Input) -> None:
    assert job(one).hash != job(other).hash


@pytest.mark.parametrize(("one", "other"), SAME)
def test_credentials_and_limits_are_no_identity(one: Input, other: Input) -> None:
    assert job(one).hash == job(other).hash


def test_the_table_of_a_pair_may_be_an_api_whose_token_stays_a_name() -> None:
    text = b"""{"configuration": {"LLM_name": "simulated"}, "prompt": {"base": "{{ a }}", "data": {"input":
    {"endpoint": "https://h/rows", "headers": {"X-Key": "${SHOP_KEY}"}}}}}"""
    [document] = parse_document("a.json", text)
    assert document.input.api is not None
    assert document.input.api.headers == {"X-Key": "${SHOP_KEY}"}
