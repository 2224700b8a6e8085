"""Malformed inputs: each is refused with its file, line, value, rule and remedy, and never read in part."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from llm_jobs.documents.job import FileFormat, Input
from llm_jobs.errors import DocumentError, Problem
from llm_jobs_tests.sources.inputs import batch_input, frozen, rows_of, written

BODY = '"method": "POST", "url": "/v1/responses", "body": {}'
TABLE: dict[str, tuple[str, bytes, int | None, str]] = {
    # name: format, content, line, what
    "empty CSV": ("csv", b"", None, "the file is empty"),
    "empty JSONL": ("jsonl", b"", None, "the file is empty"),
    "blank JSONL": ("jsonl", b"\n  \n", None, "the file is empty"),
    "empty JSON": ("json", b"", None, "the file is empty"),
    "only a BOM": ("jsonl", b"\xef\xbb\xbf", None, "the file is empty"),
    "duplicate header": ("csv", b"a,b,a\n1,2,3\n", 1, "a column is named twice"),
    "unnamed column": ("csv", b"a,,b\n1,2,3\n", 1, "column 2 has no name"),
    "short record": ("csv", b"a,b\n1,2\n3\n", 3, "the record has 1 fields"),
    "long record": ("csv", b'a,b\n"x\ny",2\n3,4,5\n', 4, "the record has 3 fields"),
    "open quote": ("csv", b'a,b\n1,"2\n', 2, "broken CSV"),
    "text after a quote": ("csv", b'a,b\n1,"2"3\n', 2, "broken CSV"),
    "CSV that is not UTF-8": ("csv", b"a,b\n1,caf\xe9\n", 2, "bytes that are not UTF-8"),
    "JSONL that is not UTF-8": ("jsonl", b'{"a": "ok"}\n{"a": "caf\xe9"}\n', 2, "bytes that are not UTF-8"),
    "JSON that is not UTF-8": ("json", b'[{"a": "ok"},\n{"a": "caf\xe9"}]', 2, "bytes that are not UTF-8"),
    "UTF-16": ("csv", "a,b\n1,2\n".encode("utf-16"), 1, "the file is UTF-16"),
    "broken line": ("jsonl", b'{"a": 1}\n{"a": 1,}\n', 2, "broken JSON"),
    "torn last line": ("jsonl", b'{"a": 1}\n{"a": "x', 2, "broken JSON"),
    "two values": ("jsonl", b'{"a": 1} {"a": 2}\n', 1, "broken JSON"),
    "a list": ("jsonl", b"[1]\n", 1, "the line is no object"),
    "a member twice": ("jsonl", b'{"a": 1, "a": 2}\n', 1, "member 'a' is written twice"),
    "NaN": ("jsonl", b'{"a": NaN}\n', 1, "NaN is no JSON"),
    "too large a number": ("jsonl", b'{"a": 1e999}\n', 1, "is too large"),
    "too long an integer": ("jsonl", b'{"a": ' + b"9" * 5000 + b"}\n", 1, "Exceeds the limit"),
    "lone surrogate": ("jsonl", b'{"a": "\\ud800"}\n', 1, "lone surrogate"),
    "nested too deeply": ("jsonl", b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 1, "nested too deeply"),
    "no array": ("json", b'{"a": 1}', 1, "expected '['"),
    "array that is not closed": ("json", b'[{"a": 1},\n{"a": 2}\n', 3, "expected ']'"),
    "broken array": ("json", b'[{"a": 1},\n\n{"a": 2,}]', 3, "broken JSON"),
    "no comma": ("json", b'[{"a": 1}\n{"a": 2}]', 2, "expected ']'"),
    "comma at the end": ("json", b'[{"a": 1},\n]', 2, "broken JSON"),
    "array of numbers": ("json", b"[{},\n 12]", 2, "the row is no object"),
    "member twice in an array": ("json", b'[\n{"a": 1, "a": 2}]', 2, "written twice"),
    "surrogate in an array": ("json", b'[\n{"a": "\\uDfff"}]', 2, "lone surrogate"),
    "more after the array": ("json", b'[{"a": 1}]\n[]', 2, "there is more after the array"),
    "no Parquet": ("parquet", b"PAR1 is how it begins", None, "no Parquet file"),
}


def refusal(source: Input, folder: Path) -> Problem:
    """The first problem, the same whether the rows are iterated or frozen."""
    with pytest.raises(DocumentError) as caught:
        rows_of(source)
    with pytest.raises(DocumentError) as again:
        frozen(source, folder)
    assert caught.value.problems == again.value.problems
    assert [path for path in folder.rglob("*") if path.suffix == ".parquet" and path.parent.name == "inputs"] == []
    return caught.value.problems[0]


@pytest.mark.parametrize("name", TABLE)
def test_a_malformed_file_is_refused_with_line_rule_and_remedy(tmp_path: Path, name: str) -> None:
    form, content, line, what = TABLE[name]
    source = written(tmp_path, content, cast(FileFormat, form))
    problem = refusal(source, tmp_path)
    assert what in problem.what
    assert (problem.file, problem.line) == (source.url, line)
    assert problem.rule
    assert problem.remedy


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"custom_id": "a"}', "body is missing"),
        ('{"custom_id": 1, ' + BODY + "}", "custom_id is not text"),
        ('{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": "{}"}', "body is not an object"),
        ('{"custom_id": "a", "extra": 1, ' + BODY + "}", "unknown member"),
    ],
)
def test_a_malformed_line_of_a_batch_file_is_refused(tmp_path: Path, line: str, what: str) -> None:
    path = tmp_path / "batch.jsonl"
    path.write_text('{"custom_id": "ok", ' + BODY + "}\n" + line + "\n")
    with pytest.raises(DocumentError) as caught:
        batch_input(path)
    assert any(what in problem.what and problem.line == 2 for problem in caught.value.problems)


def test_all_problems_are_told_at_once_but_no_more_than_twenty(tmp_path: Path) -> None:
    few = written(tmp_path, '{"a": 1}\n{\n{"a": 2}\n[]\n', "jsonl")
    with pytest.raises(DocumentError) as caught:
        rows_of(few)
    assert [problem.line for problem in caught.value.problems] == [2, 4]
    with pytest.raises(DocumentError) as capped:
        rows_of(written(tmp_path, "{\n" * 1000, "jsonl"))
    assert [problem.line for problem in capped.value.problems] == list(range(1, 21))


@pytest.mark.parametrize(("first", "second"), [("1", '"x"'), ('"x"', "true"), ("1.5", "[1]"), ("{}", "1")])
def test_two_types_in_one_column_are_named_with_both_lines(tmp_path: Path, first: str, second: str) -> None:
    source = written(tmp_path, f'{{"a": {first}}}\n{{"a": null}}\n{{"a": {second}}}\n', "jsonl")
    with pytest.raises(DocumentError) as caught:
        frozen(source, tmp_path)
    (problem,) = caught.value.problems
    assert "(line 1)" in problem.what
    assert "(line 3)" in problem.what
    assert problem.remedy == "write one type, or declare `types: {a: text}`"


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, -(2**63) - 1, 10**30])
def test_an_integer_that_would_change_beside_fractions_is_refused(tmp_path: Path, number: int) -> None:
    with pytest.raises(DocumentError, match="not exact"):
        frozen(written(tmp_path, f'{{"a": 0.5}}\n{{"a": {number}}}\n', "jsonl"), tmp_path)


def test_a_type_declared_for_no_column_is_refused(tmp_path: Path) -> None:
    for form, content in (("csv", "a\n1\n"), ("jsonl", '{"a": 1}\n')):
        source = written(tmp_path, content, cast(FileFormat, form), types={"b": "integer"})
        with pytest.raises(DocumentError, match="a column that is not there"):
            frozen(source, tmp_path)


def test_an_unknown_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="types are integer, number, boolean, text"):
        rows_of(written(tmp_path, "a\n1\n", "csv", types={"a": "date"}))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no such file"):
        rows_of(Input(kind="file", digest="", url=str(tmp_path / "gone.csv"), format="csv"))
