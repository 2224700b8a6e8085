"""The page as text: it needs nothing beside it, says what it leaves out, and shows each value as a reader wants it."""

from __future__ import annotations

import json
import re

import pytest

from llm_jobs.observability.rendered import MOST_CHARACTERS
from llm_jobs.observability.report_model import Group, ReportedRow
from llm_jobs.observability.report_page import policy
from llm_jobs.observability.report_values import request_html, value_html
from llm_jobs_tests.observability.reports import row, side, text_of


def test_the_page_allows_its_own_script_and_style_and_nothing_else() -> None:
    parts = dict(part.split(" ", 1) for part in policy().split("; "))
    assert parts["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]+'", parts["script-src"])
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/=]+'", parts["style-src"])
    assert policy() in text_of([row("x")])


def test_the_page_refers_to_nothing_outside() -> None:
    text = text_of([row("x")])
    assert re.findall(r"(?:src|href)=|@import|url\(", text.split("<main")[0]) == []


def test_the_page_says_how_many_rows_it_does_not_show() -> None:
    groups = [Group(name="failed", rows=3, shown=3), Group(name="succeeded", rows=100_000, shown=200)]
    text = text_of([row("x")], groups=groups)
    assert "99,800 rows are not shown" in text
    assert "200 of 100,000" in text
    assert "not shown" not in text_of([row("x")])


def test_a_failed_row_tells_its_error_its_attempts_and_what_was_said() -> None:
    text = text_of([row(None, status="invalid", error="no JSON", raw="well, **yes**", tries=["failed, 0.1 s, $0"])])
    for piece in ("no JSON", "well, **yes**", "failed, 0.1 s, $0", '<span class="badge bad">invalid</span>'):
        assert piece in text


def test_a_row_that_was_not_asked_says_so() -> None:
    assert "no request is kept" in text_of([row("x", request=None)])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", '<p class="text" dir="auto">plain</p>'),
        ("**bold**", "<strong>bold</strong>"),
        ('{"a": [1, 2]}', '<pre dir="auto">{\n  &quot;a&quot;: [\n    1,'),
        ({"a": None}, "&quot;a&quot;: null"),
        (3, '<p class="text" dir="auto">3</p>'),
        (True, '<p class="text" dir="auto">true</p>'),
        (None, '<p class="none">nothing</p>'),
        ([0.5] * 1536, "1,536 numbers: 0.5, 0.5, 0.5, 0.5, …"),
        ("{" * 5000, "{{{"),
    ],
)
def test_values_are_shown_as_a_reader_wants_them(value: object, shown: str) -> None:
    assert shown in value_html(value, as_markdown=True)


def test_rendered_markdown_has_its_source_beside() -> None:
    assert '<p class="text" dir="auto">**bold**</p>' in value_html("**bold**", as_markdown=True)
    assert "<strong>" not in value_html("**bold**")


@pytest.mark.parametrize("text", ["x" * (MOST_CHARACTERS + 5), "*x* " + "x" * (MOST_CHARACTERS + 1)])
def test_a_long_text_is_cut_and_says_so(text: str) -> None:
    html = value_html(text, as_markdown=True)
    assert "… and 5 more characters" in html
    assert len(html) < 2.2 * MOST_CHARACTERS


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]},
        {"system": "Be brief.", "messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]},
        {"instructions": "Be brief.", "input": [{"role": "user", "content": [{"type": "input_text", "text": "Why?"}]}]},
        {"system": "Be brief.", "prompt": "Why?"},
    ],
    ids=["OpenAI", "Anthropic", "OpenAI responses", "Ollama generate"],
)
def test_a_request_is_shown_by_its_messages(body: dict[str, object]) -> None:
    html = request_html(json.dumps({"model": "small", **body}).encode())
    assert html.index("Be brief.") < html.index("Why?") < html.index("parameters")
    assert "small" in html.split("parameters")[1]
    assert "Why?" not in html.split("parameters")[1]


def test_a_picture_in_a_request_is_told_by_its_length() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5000}}
    html = request_html(json.dumps({"messages": [{"role": "user", "content": [part]}]}).encode())
    assert "(5,022 characters)" in html
    assert len(html) < 1000


@pytest.mark.parametrize("body", [b"not JSON", b"\xff\xfe", b"[" * 100_000, b"3", b'{"input": ["a", "b"]}', b"{}"])
def test_any_request_is_shown(body: bytes) -> None:
    request_html(body).encode()


def test_answers_that_differ_are_marked_and_the_same_are_not() -> None:
    differing = ReportedRow(group="differs", inputs={"q": "?"}, sides=[side("a b"), side("a c")])
    same = ReportedRow(group="same", inputs={"q": "?"}, sides=[side("a b"), side("a b")])
    alone = ReportedRow(group="only in one", inputs={"q": "?"}, sides=[side("a b"), None])
    main = text_of([differing, same, alone], ["one", "other"]).split("<main")[1]
    assert main.count("<del>b</del>") == main.count("<ins>c</ins>") == main.count("<del>") == main.count("<ins>") == 1
    assert "no such row" in main


def test_columns_of_other_names_are_compared_in_their_places() -> None:
    sides = [side(None, answers={"first": "a b"}), side(None, answers={"second": "a c", "third": "d"})]
    text = text_of([ReportedRow(group="differs", inputs={}, sides=sides)], ["one", "other"])
    assert "<del>b</del>" in text
    assert "<h4>third</h4>" in text
