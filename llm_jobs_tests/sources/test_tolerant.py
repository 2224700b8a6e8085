"""Rows that cannot be read: each is marked in its place with its reason, and its neighbours are as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_jobs.documents.job import FileFormat, Input
from llm_jobs.documents.table_sources import INPUT_ERROR, ApiSource
from llm_jobs.errors import DocumentError
from llm_jobs.sources.freeze import FrozenInput, find_frozen, freeze
from llm_jobs.sources.reach import Reach
from llm_jobs.sources.tables import open_table
from llm_jobs_tests.servers.listing import Told, listing_server
from llm_jobs_tests.sources.databases import frozen_query, query_input, reach, sqlite_file
from llm_jobs_tests.sources.inputs import Row, written


def tolerated(source: Input, folder: Path) -> FrozenInput:
    return freeze(source, folder / "inputs", epoch_ns=1, is_tolerant=True)


def rows(source: Input, frozen: FrozenInput) -> list[Row]:
    return [row for batch in open_table(source, frozen).batches() for row in batch]


TABLES: list[tuple[FileFormat, str | bytes, dict[str, str], list[str]]] = [
    ("jsonl", '{"a": 1}\n{"a":\n{"a": 3}\n', {}, ["broken JSON"]),
    ("jsonl", '{"a": 1}\n[2]\n{"a": 3}\n', {}, ["the line is no object"]),
    ("jsonl", '{"a": 1}\n{"a": NaN}\n{"a": 3}\n', {}, ["NaN is no JSON"]),
    ("jsonl", b'{"a": 1}\n{"a": "\xff"}\n{"a": 3}\n', {}, ["not UTF-8"]),
    ("jsonl", '{"a": 1}\n{"a": "two"}\n{"a": 3}\n', {"a": "integer"}, ["not of the declared type integer"]),
    ("json", '[{"a": 1}, 2, {"a": 3}]', {}, ["the row is no object"]),
    ("csv", "a\n1\n2,x\n3\n", {"a": "integer"}, ["the record has 2 fields"]),
    ("csv", "a\n1\ntwo\n3\n", {"a": "integer"}, ["not of the declared type integer"]),
    ("tsv", "a\n1\n2\tx\n3\n", {"a": "integer"}, ["the record has 2 fields"]),
]


@pytest.mark.parametrize(("form", "text", "types", "reasons"), TABLES)
def test_a_row_that_cannot_be_read_is_marked_and_its_neighbours_are_not(
    tmp_path: Path, form: FileFormat, text: str | bytes, types: dict[str, str], reasons: list[str]
) -> None:
    source = written(tmp_path, text, form, types=types)
    frozen = tolerated(source, tmp_path)
    first, bad, last = rows(source, frozen)
    assert (first["a"], first[INPUT_ERROR], bad["a"], last["a"], last[INPUT_ERROR]) == (1, None, None, 3, None)
    assert all(reason in str(bad[INPUT_ERROR]) for reason in reasons)
    assert frozen.schema.names == ["a"]
    assert (frozen.rows, frozen.bad_rows, frozen.bad_row) == (3, 1, bad[INPUT_ERROR])
    assert find_frozen(tmp_path / "inputs") == frozen
    with pytest.raises(DocumentError):
        freeze(source, tmp_path / "strict", epoch_ns=1)


BROKEN: list[tuple[FileFormat, str]] = [
    ("json", '[{"a": 1}, {"a": ]'),
    ("csv", 'a\n1\n"2\n'),
    ("jsonl", '{"a": 1}\n{"a": "x"}\n'),
    ("jsonl", '{"llm_input_error": "I say"}\n'),
    ("jsonl", "\n"),
]


@pytest.mark.parametrize(("form", "text"), BROKEN)
def test_a_table_that_is_none_is_refused_all_the_same(tmp_path: Path, form: FileFormat, text: str) -> None:
    with pytest.raises(DocumentError):
        tolerated(written(tmp_path, text, form), tmp_path)


def test_a_table_without_a_bad_row_has_none(tmp_path: Path) -> None:
    source = written(tmp_path, '{"a": 1}\n', "jsonl")
    assert tolerated(source, tmp_path).bad_rows == 0


def test_a_value_of_a_query_that_json_lacks_is_its_rows_alone(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t(a)", [(1.5,), (float("inf"),), (2.5,)])
    source = query_input("SELECT a FROM t", "shop.db", file=path)
    frozen = frozen_query(source, tmp_path, reach(tmp_path), is_tolerant=True)
    assert [row["a"] for row in rows(source, frozen)] == [1.5, None, 2.5]
    assert frozen.bad_rows == 1


def test_an_item_of_an_api_that_is_no_object_is_its_rows_alone(tmp_path: Path) -> None:
    with listing_server(lambda asked, before: Told(value=[{"a": 1}, "no", {"a": 3}])) as server:
        source = Input(kind="api", digest="a", api=ApiSource(endpoint=server.url), as_of_ns=1)
        there = Reach(environment={}, home=tmp_path, allowed_hosts=("127.0.0.1",))
        frozen = freeze(source, tmp_path / "inputs", epoch_ns=1, reach=there, is_tolerant=True)
    assert [row["a"] for row in rows(source, frozen)] == [1, None, 3]
    assert "row 2 is text" in (frozen.bad_row or "")
