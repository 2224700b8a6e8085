"""Rows of several results find each other by what they are about, in any order, however many are equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.errors import DocumentError
from llm_jobs.events import ignore
from llm_jobs.results import columns
from llm_jobs.results.base import ResultStore
from llm_jobs.results.beside import beside, columns_compared, differs
from llm_jobs.results.layout import result_path
from llm_jobs.results.matching import match
from llm_jobs.results.opening import open_store
from llm_jobs.results.rows_at import open_rows
from llm_jobs.results.writing import ResultWriter

SAID = pa.schema([pa.field("id", pa.int64()), pa.field("answer", pa.string()), pa.field(columns.STATUS, pa.string())])
IDS = st.lists(st.integers(0, 6), max_size=20)


@pytest.fixture
def store(tmp_path: Path) -> ResultStore:
    return open_store(str(tmp_path), emit=ignore)


def written(store: ResultStore, job: str, rows: Sequence[dict[str, Any]], schema: pa.Schema = SAID) -> str:
    path = result_path(job * 32, 1)
    with ResultWriter(store, path, schema) as writer:
        writer.write({columns.STATUS: "succeeded", **row} for row in rows)
        writer.close()
    return path


def numbered(ids: Sequence[int | None]) -> list[dict[str, Any]]:
    return [{"id": each, "answer": f"row {number}"} for number, each in enumerate(ids)]


@given(IDS, IDS, IDS)
def test_the_nth_of_equal_rows_matches_the_nth_and_no_row_is_lost(a: list[int], b: list[int], c: list[int]) -> None:
    with TemporaryDirectory() as folder:
        store = open_store(folder, emit=ignore)
        paths = [written(store, job, numbered(ids)) for job, ids in zip("abc", (a, b, c), strict=True)]
        matching = match(store, paths, ["id"])
        seen = list(beside(store, paths, matching, names=[None] * 3, places=range(matching.places), at_once=3))
    for each, ids in enumerate((a, b, c)):
        numbers = [number for row in seen if (number := row.numbers[each]) is not None]
        assert sorted(numbers) == list(range(len(ids)))
    assert [row.place for row in seen] == list(range(matching.places))
    assert all(len({found["id"] for found in row.rows if found is not None}) == 1 for row in seen)
    most = Counter(a) | Counter(b) | Counter(c)
    assert matching.places == most.total()
    assert [row.numbers[0] for row in seen][: len(a)] == list(range(len(a)))


def test_rows_match_by_several_columns_and_empty_ones_are_values(store: ResultStore) -> None:
    first = written(store, "a", [{"id": 1, "answer": "x"}, {"id": 1, "answer": None}])
    second = written(store, "b", [{"id": 1, "answer": None}, {"id": 1, "answer": "x"}])
    assert [list(each) for each in match(store, [first, second], ["id", "answer"]).numbers] == [[0, 1], [1, 0]]


def test_integers_match_the_same_numbers_with_a_point(store: ResultStore) -> None:
    schema = pa.schema([pa.field("id", pa.float64()), pa.field(columns.STATUS, pa.string())])
    first, second = written(store, "a", [{"id": 2}]), written(store, "b", [{"id": 2.0}], schema)
    assert match(store, [first, second], ["id"]).places == 1


def test_samples_of_one_row_match_by_their_number(store: ResultStore) -> None:
    schema = pa.schema([*SAID, pa.field(columns.SAMPLE, pa.int64())])
    first = written(store, "a", [{"id": 1, columns.SAMPLE: 0}, {"id": 1, columns.SAMPLE: 1}], schema)
    second = written(store, "b", [{"id": 1, columns.SAMPLE: 1}, {"id": 1, columns.SAMPLE: 0}], schema)
    assert [list(each) for each in match(store, [first, second], ["id"]).numbers] == [[0, 1], [1, 0]]


def test_a_column_that_one_result_lacks_is_refused_and_the_others_are_named(store: ResultStore) -> None:
    paths = [written(store, "a", numbered([1])), written(store, "b", numbered([1]))]
    with pytest.raises(DocumentError, match=f"job {'a' * 32} has no such column .key key.*there are: id, answer"):
        match(store, paths, ["key"])


def test_text_does_not_match_numbers_and_both_jobs_are_named(store: ResultStore) -> None:
    schema = pa.schema([pa.field("id", pa.string()), pa.field(columns.STATUS, pa.string())])
    paths = [written(store, "a", numbered([1])), written(store, "b", [{"id": "1"}], schema)]
    with pytest.raises(DocumentError, match=f"numbers in job {'a' * 32} and text in job {'b' * 32}"):
        match(store, paths, ["id"])


@pytest.mark.parametrize(
    ("answers", "compared"),
    [
        ([["x", "y"], ["y", "z"]], [["y"], ["y"]]),
        ([["x"], ["z"]], [["x"], ["z"]]),
        ([["x", "y"], ["z"]], [["x"], ["z"]]),
        ([["x"], []], [[], []]),
    ],
)
def test_answers_are_compared_by_name_and_else_by_place(answers: list[list[str]], compared: list[list[str]]) -> None:
    assert columns_compared(answers) == compared


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("a", "a", False),
        ("a", "b", True),
        (None, "a", True),
        (float("nan"), float("nan"), False),
        ([1.0, float("nan")], [1.0, float("nan")], False),
        ({"a": [1]}, {"a": [2]}, True),
    ],
)
def test_rows_differ_where_their_answers_do(first: object, second: object, expected: bool) -> None:
    rows = [{"x": value, columns.STATUS: "succeeded"} for value in (first, second)]
    assert differs(rows, [["x"], ["x"]]) is expected


def test_rows_differ_where_their_statuses_do() -> None:
    rows = [{"x": None, columns.STATUS: status} for status in ("failed", "refused")]
    assert differs(rows, [["x"], ["x"]])


def test_rows_are_taken_in_any_order_from_any_row_group(store: ResultStore) -> None:
    path = written(store, "a", numbered(range(40_000)))
    with open_rows(store, path, ["answer"]) as rows:
        wanted = [39_999, None, 0, 16_384, 16_383, 0]
        found = [row and row["answer"] for row in rows.take(wanted)]
    assert found == ["row 39999", None, "row 0", "row 16384", "row 16383", "row 0"]
