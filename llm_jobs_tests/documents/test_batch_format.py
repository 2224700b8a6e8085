"""Format 6: what an OpenAI batch file means, and which lines refuse it before the first call."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from llm_jobs.documents.identity import rows_digest
from llm_jobs.documents.parsed import ParsedDocument, ParsedRequests
from llm_jobs.documents.parsing import parse_document
from llm_jobs.errors import DocumentError, Problem

CHAT = "/v1/chat/completions"


def line(number: int, *, url: str = CHAT, model: str = "gpt-4.1-mini", **body: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Grüße {number} ${{HOME}} {{{{ x }}}}"}]
    return {
        "custom_id": f"request-{number}",
        "method": "POST",
        "url": url,
        "body": {"model": model, "messages": messages, **body},
    }


def text_of(rows: list[Any]) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def parsed(rows: list[Any], file: str = "batch.jsonl", **options: Any) -> ParsedDocument:
    (document,) = parse_document(file, text_of(rows), **options)
    return document


def problems_of(rows: list[Any], **options: Any) -> tuple[Problem, ...]:
    with pytest.raises(DocumentError) as caught:
        parsed(rows, **options)
    return caught.value.problems


ROWS = [line(1), line(2, temperature=0), line(3, tools=[{"type": "function"}])]


def test_the_whole_file_is_one_job_and_a_line_is_a_row() -> None:
    document = parsed(ROWS, epoch="e")
    assert (document.format, document.name, document.epoch) == ("batch", "batch", "e")
    assert document.steps == (ParsedRequests(model="gpt-4.1-mini", operation="chat"),)
    assert (document.input.kind, document.input.row_count) == ("batch", 3)
    assert document.input.digest == rows_digest(ROWS)


@pytest.mark.parametrize(
    ("url", "operation"), [(CHAT, "chat"), ("/v1/responses", "responses"), ("/v1/embeddings", "embeddings")]
)
def test_the_url_chooses_the_operation(url: str, operation: str) -> None:
    (step,) = parsed([line(1, url=url)]).steps
    assert isinstance(step, ParsedRequests)
    assert step.operation == operation


def test_layout_and_the_order_of_members_make_no_other_job() -> None:
    reordered = [dict(reversed(list(row.items()))) for row in ROWS]
    spaced = "\n\n".join(json.dumps(row, separators=(" , ", " : "), ensure_ascii=False) for row in reordered) + "\n\n"
    (document,) = parse_document("other.jsonl", b"\xef\xbb\xbf" + spaced.replace("\n", "\r\n").encode())
    assert document.input.digest == parsed(ROWS).input.digest


def test_what_is_asked_makes_another_job() -> None:
    variants = [ROWS[::-1], ROWS[:2], [*ROWS[:2], line(3)], [*ROWS[:2], {**ROWS[2], "custom_id": "x"}]]
    digests = {parsed(rows).input.digest for rows in [ROWS, *variants]}
    assert len(digests) == 5


def test_a_given_model_is_the_steps_and_the_lines_stay_as_they_are() -> None:
    lines = [line(1), line(2, model="other")]
    (first, second) = parse_document("b.jsonl", text_of(lines), models=["a/x", "gpt"])
    assert first.steps == (ParsedRequests(model="a/x", operation="chat"),)
    assert second.steps == (ParsedRequests(model="gpt", operation="chat"),)
    assert first.input.digest == second.input.digest == rows_digest(lines)


def test_the_content_tells_a_batch_file_whatever_its_name() -> None:
    assert parsed(ROWS, file="batch.txt").format == "batch"
    assert parsed(ROWS[:1], file="batch.json").format == "batch"


MISTAKES = [
    # (the second line, key, part of what, part of the remedy)
    ("{", None, "not JSON", "without line breaks"),
    ("[]", None, "not an object", "as one object"),
    ('{"custom_id": "a", "custom_id": "b"}', None, "'custom_id' is written twice", "write the line again"),
    (line(2, temperature=float("nan")), None, "NaN is not a JSON number", "write the line again"),
    (line(2, seed=2**53), None, "outside", "write the line again"),
    (json.dumps(line(2, stop="S")).replace('"S"', '"\\ud800"'), None, "lone surrogate", "write the line again"),
    ("[" * 100_000, None, "nested too deeply", "write the line again"),
    (line(1), "custom_id", "that of line 1 too", "rename one of the two"),
    ({**line(2), "custom_id": ""}, "custom_id", "not a text", "write one"),
    ({**line(2), "custom_id": 2}, "custom_id", "not a text", "in quotes"),
    ({**line(2), "method": "GET"}, "method", "not POST", "write POST"),
    ({**line(2), "url": "/v1/completions"}, "url", "not one of the endpoints", "did you mean '/v1/"),
    ({**line(2), "url": None}, "url", "not one of the endpoints", "choose"),
    ({**line(2), "url": "/v1/embeddings"}, "url", "differs from that of line 1, /v1/chat", "a file of their own"),
    (line(2, model="gpt-5"), "body.model", "differs from that of line 1, gpt-4.1-mini", "a file of their own"),
    ({**line(2), "body": []}, "body", "not an object", "write it"),
    (line(2, model=""), "body.model", "names no model", "add it"),
    (line(2, stream=True), "body.stream", "asks for a stream", "remove it"),
    (line(2, api_key="sk-1"), "body.api_key", "a credential", "replace the key"),
    ({key: value for key, value in line(2).items() if key != "body"}, "body", "'body' is missing", "add 'body'"),
    ({**line(2), "bodi": {}}, "bodi", "unknown key 'bodi'", "'body'"),
    ({"custom_id": "2", "method": "POST", "uri": CHAT, "body": {}}, "uri", "unknown key", "did you mean 'url'?"),
]


@pytest.mark.parametrize(("bad", "key", "what", "remedy"), MISTAKES)
def test_a_bad_line_refuses_the_file_with_its_number(bad: Any, key: str | None, what: str, remedy: str) -> None:
    (problem,) = problems_of([line(1), bad, line(3)])
    assert (problem.file, problem.line, problem.key) == ("batch.jsonl", 2, key)
    assert what in problem.what
    assert problem.remedy is not None
    assert remedy in problem.remedy
    assert problem.rule
    assert "sk-1" not in str(problem)


def test_a_line_that_is_not_utf_8_is_refused_with_its_number() -> None:
    with pytest.raises(DocumentError, match=r"b\.jsonl:2: the line is not UTF-8"):
        parse_document("b.jsonl", text_of([line(1)]) + b'\n{"custom_id": "\xff"}')


def test_every_bad_line_is_listed_up_to_twenty_and_the_rest_is_counted() -> None:
    problems = problems_of([line(1), *["x"] * 1500])
    assert [problem.line for problem in problems] == [*range(2, 22), None]
    assert problems[-1].what == "and 1,480 more bad lines"


def test_a_file_without_requests_is_refused() -> None:
    assert problems_of(["", " "])[0].what == "the file holds no request"


@pytest.mark.parametrize("options", [{"profile": "x"}, {"parameters": {"seed": 1}}, {"input_override": "a.csv"}])
def test_what_could_change_nothing_is_refused(options: dict[str, Any]) -> None:
    (problem,) = problems_of(ROWS, **options)
    assert "cannot be used here" in problem.what
    assert problem.remedy


def test_ten_thousand_lines_are_checked_in_well_under_a_second_of_processor_time() -> None:
    content = text_of([line(number, max_tokens=1000) for number in range(10_000)])
    started = time.process_time()
    (document,) = parse_document("b.jsonl", content)
    assert document.input.row_count == 10_000
    assert time.process_time() - started < 1
