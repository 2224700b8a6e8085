"""A job whose table is the result of another: it waits for it, and asks only about what is new in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from llm_jobs.errors import DocumentError
from llm_jobs.operations.accept import read_document
from llm_jobs.operations.describe import find_job
from llm_jobs_tests.documents.test_launching_mistakes import rules_of
from llm_jobs_tests.operations.launching import House, document, opened
from llm_jobs_tests.operations.test_dependencies import reasons, step

ROWS = "input: {rows: [{word: pear}, {word: plum}, {word: null}]}"
FIRST = document("first", ROWS, text="What is {{ word }}?")
SECOND = document("second", "input: {result_of: first}", "on_partial: run", text="Is this right? {{ answer }}").replace(
    "name: answer", "name: verdict"
)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path) as found:
        yield found


def test_the_rows_that_succeeded_are_the_table_and_the_job_waits_for_them(house: House) -> None:
    house.drop("b.yaml", SECOND)
    assert reasons(house) == {"second": "it waits for first, which was never submitted"}
    house.drop("a.yaml", FIRST)
    assert [step(house), step(house)] == [["first"], ["second"]]
    submission = find_job(house.services, "second")
    (record,) = house.services.ledger.results([submission.job_hash])[submission.job_hash]
    table = pq.read_table(house.services.store.locate(record.path))
    assert [name for name in table.column_names if not name.startswith("llm_")] == ["word", "answer", "verdict"]
    assert table.column("word").to_pylist() == ["pear", "plum"]


def test_a_result_with_new_rows_asks_about_those_and_one_that_says_the_same_is_the_same_job(house: House) -> None:
    house.drop("a.yaml", FIRST)
    step(house)
    house.drop("b.yaml", SECOND)
    assert step(house) == ["second"]
    before = house.services.ledger.audit().intents
    house.drop("a.yaml", FIRST.replace("{word: null}", "{word: fig}"))
    house.drop("b.yaml", SECOND)
    assert [step(house), step(house)] == [["first"], ["second"]]
    assert house.services.ledger.audit().intents == before + 2  # fig, asked once by each


def test_in_a_pipeline_a_job_reads_what_the_one_before_it_said(house: House) -> None:
    house.keep("documents", "first.yaml", FIRST.replace(", {word: null}", ""))
    house.keep("documents", "second.yaml", SECOND)
    house.drop("chain.yaml", "pipeline: {jobs: [first, second]}")
    assert [step(house), step(house)] == [["first"], ["second"]]


def test_a_result_that_is_not_there_is_told_with_line_and_remedy(house: House) -> None:
    path = house.keep("documents", "b.yaml", SECOND)
    with pytest.raises(DocumentError, match=r"b\.yaml:4: no job named 'first' was submitted .*run that job first"):
        read_document(house.services, path)
    house.drop("a.yaml", FIRST)
    with pytest.raises(DocumentError, match="has no result yet"):
        read_document(house.services, path)


@pytest.mark.parametrize(
    ("sections", "key", "what"),
    [
        ("  input: {result_of: reviews}\n", "job.input.result_of", "its own result"),
        ("  input: {result_of: a, path: b.csv}\n", "job.input", "two tables are given: a file and a result"),
        ("  input: {result_of: a, query: q}\n", "job.input", "two tables are given"),
        ("  input: {result_of: a, types: {x: text}}\n", "job.input.types", "types is said of a result"),
        ("  input: {result_of: a, source: file}\n", "job.input.result_of", "file table has no result_of"),
        ("  input: {result_of: 7}\n", "job.input.result_of", "should be text"),
        ("  input: {result_of: ''}\n", "job.input.result_of", "at least 1 character"),
        ("  input: {result_off: a}\n", "job.input.result_off", "unknown key 'result_off'"),
    ],
)
def test_a_mistake_about_it_has_its_line(sections: str, key: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        rules_of(sections)
    problem = next(problem for problem in caught.value.problems if problem.key == key)
    assert problem.line == 5
    assert what in problem.what


def test_the_job_whose_result_is_the_table_is_one_that_the_job_depends_on() -> None:
    assert rules_of("  input: {result_of: a}\n  depends_on: [b, a]\n").depends_on == ("b", "a")
    assert rules_of("  input: {result_of: a}\n  depends_on: b\n").depends_on == ("b", "a")
