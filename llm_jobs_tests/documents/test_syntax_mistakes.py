"""What is no document at all is told with its line and column, and with what the file is instead."""

from __future__ import annotations

import pytest

from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, Problem

JOB = "job:\n  name: reviews\n  model: simulated\n  prompts: [{name: said, text: Hello}]\n"


def problem_of(content: bytes, file: str = "document.yaml") -> Problem:
    with pytest.raises(DocumentError) as caught:
        parse_document(file, content)
    [problem] = caught.value.problems
    assert problem.rule
    return problem


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (JOB.encode("utf-16"), "the file is UTF-16", "save the file as UTF-8"),
        (JOB.encode("utf-32"), "the file is UTF-32", "save the file as UTF-8"),
        (JOB.encode("utf-16-le"), "zero bytes", "save the file as UTF-8"),
        (b"\x1f\x8b\x08\x00", "compressed by gzip", "gunzip"),
        (b"PAR1\x00", "a table in Parquet", "input: {path"),
        (b"PK\x03\x04", "a ZIP archive, or a spreadsheet", "export it as CSV"),
    ],
)
def test_bytes_that_are_no_text_are_told_for_what_they_are(content: bytes, what: str, remedy: str) -> None:
    problem = problem_of(content)
    assert what in problem.what
    assert remedy in (problem.remedy or "")


@pytest.mark.parametrize(
    ("file", "text", "place", "remedy"),
    [
        ("document.yaml", "job:\n\tname: a\n", (2, 1), "write spaces"),
        ("document.yaml", "job:\n  name: say: hello\n", (2, 12), "in quotes"),
        ("document.yaml", "job:\n  name: @home\n", (2, 9), "in quotes"),
        ("document.json", '{\n "prompt": "a",\n}', (3, 1), "remove the comma"),
        ("document.json", "{'prompt': 1}", (1, 2), "write double quotes"),
        ("document.json", '{"prompt": "a" // text\n}', (1, 16), "no comments"),
        ("document.json", '{"prompt": 1', (1, 13), "close what is open"),
    ],
)
def test_broken_syntax_is_told_with_its_column_and_what_to_write(
    file: str, text: str, place: tuple[int, int], remedy: str
) -> None:
    problem = problem_of(text.encode(), file)
    assert (problem.line, problem.column) == place
    assert str(problem).startswith(f"{file}:{place[0]}:{place[1]}: ")
    assert remedy in (problem.remedy or "")


@pytest.mark.parametrize("days", ["30 2 *", "31 4,6,9,11 *", "31 feb-feb *"])
def test_a_schedule_that_never_comes_is_refused(days: str) -> None:
    problem = problem_of(f"{JOB}  schedule:\n    cron: 0 9 {days}\n".encode())
    assert (problem.line, "never comes" in problem.what) == (6, True)


@pytest.mark.parametrize("days", ["29 2 *", "31 */2 *", "30 2 1", "31 4-5 *", "1,31 2 *"])
def test_a_schedule_that_comes_rarely_is_accepted(days: str) -> None:
    assert parse_document("document.yaml", f"{JOB}  schedule:\n    cron: 0 9 {days}\n".encode())
