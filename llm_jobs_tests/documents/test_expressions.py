"""Expressions: what they say, what they refuse, and what they cannot reach."""

from __future__ import annotations

import pytest

from llm_jobs.documents.expressions import compile_expression
from llm_jobs.errors import DocumentError, RowError


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("error_rate > 0.05", {"error_rate": 0.06}, True),
        ("error_rate > 0.05", {"error_rate": 0.05}, False),
        ("label == 'spam' and score >= 0.5", {"label": "spam", "score": 0.5}, True),
        ("answer is none", {"answer": None}, True),
        ("answer | length > 3", {"answer": "four"}, True),
        ("not done", {"done": False}, True),
        ("'a' in tags", {"tags": ["a", "b"]}, True),
        ("missing is defined", {"here": 1}, False),
        ("grade.score > 3", {"grade": {"score": 4}}, True),
        ("scores | select('gt', 3)", {"scores": [1, 2]}, False),
        ("scores | select('gt', 3)", {"scores": [1, 4]}, True),
    ],
)
def test_an_expression_says_what_it_reads(text: str, values: dict[str, object], expected: bool) -> None:
    assert compile_expression(text, where="the condition").is_true(values) is expected


def test_an_expression_names_what_it_reads() -> None:
    assert compile_expression("a.b > c[0] and range(3)", where="when").names == {"a", "c"}
    assert compile_expression("alone", where="when").names == {"alone"}


@pytest.mark.parametrize(
    "text",
    ["", "a >", "a; b", "{% if a %}", "a | nosuchfilter", "a b", "a" * 5000, "(" * 2000 + "a" + ")" * 2000, "}} {{ a"],
)
def test_what_is_no_expression_is_refused_with_where_it_stands(text: str) -> None:
    with pytest.raises(DocumentError, match="the condition of step x"):
        compile_expression(text, where="the condition of step x")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("score > 3", {"other": 1}),
        ("score", {"other": 1}),
        ("score > 3", {"score": None}),
        ("score > 3", {"score": "high"}),
        ("1 / score > 3", {"score": 0}),
        ("score.__class__.__mro__", {"score": 1}),
        ("'x' * 999999999", {"score": 1}),
        ("2 ** 99999999 > score", {"score": 1}),
    ],
)
def test_values_that_do_not_fit_are_an_error_of_that_row(text: str, values: dict[str, object]) -> None:
    with pytest.raises(RowError, match="the condition"):
        compile_expression(text, where="the condition").value(values)
