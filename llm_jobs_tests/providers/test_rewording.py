"""The same question asked in another way, in the words of each vendor."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.providers.base import Request
from llm_jobs.providers.rewording import another_draw, continued, larger_limit, with_output_limit

TURNS = [{"role": "user", "content": "hi"}]


def request(path: str, body: dict[str, Any], *, provider: str = "openai", upstream: str = "m") -> Request:
    endpoint = Endpoint(provider=provider, base_url="http://x", path=path)
    return Request(
        endpoint=endpoint,
        model=ModelRef(name="m", provider=provider, upstream=upstream, base_url="http://x"),
        body=body,
    )


@pytest.mark.parametrize(
    ("path", "upstream", "body", "larger"),
    [
        ("/chat/completions", "m", {"max_tokens": 5}, {"max_tokens": 9}),
        ("/chat/completions", "m", {"max_completion_tokens": 5}, {"max_completion_tokens": 9}),
        ("/chat/completions", "m", {}, {"max_tokens": 9}),
        ("/chat/completions", "o3-mini", {}, {"max_completion_tokens": 9}),
        ("/responses", "m", {"max_output_tokens": 5}, {"max_output_tokens": 9}),
        ("/responses", "m", {}, {"max_output_tokens": 9}),
        ("/v1/messages", "m", {"max_tokens": 5}, {"max_tokens": 9}),
        (
            "/api/chat",
            "m",
            {"options": {"num_predict": 5, "seed": 1}},
            {"options": {"num_predict": 9, "seed": 1}},
        ),
        ("/api/chat", "m", {"options": {"num_predict": -1}}, {"options": {"num_predict": 9}}),
        ("/api/chat", "m", {}, {"options": {"num_predict": 9}}),
        ("/generate", "m", {"parameters": {"max_new_tokens": 5}}, {"parameters": {"max_new_tokens": 9}}),
        ("/chat/completions", "m", {"max_tokens": 9}, None),
        ("/chat/completions", "m", {"max_tokens": 10}, None),
    ],
)
def test_a_larger_limit_stands_where_the_vendor_looks_for_it(
    path: str, upstream: str, body: dict[str, Any], larger: dict[str, Any] | None
) -> None:
    before = {"messages": TURNS, **body}
    changed = with_output_limit(request(path, before, upstream=upstream), 9)
    assert changed == (None if larger is None else {"messages": TURNS, **larger})
    assert before == {"messages": TURNS, **body}


@given(st.integers(1, 10**6), st.floats(1.01, 16))
def test_a_factor_makes_the_limit_larger_or_says_that_it_cannot(limit: int, factor: float) -> None:
    asked = request("/chat/completions", {"max_tokens": limit})
    after = larger_limit(asked, factor, used=None)
    assert after == int(limit * factor)
    assert (with_output_limit(asked, after) is None) == (after == limit)


def test_where_no_limit_is_stated_the_length_of_the_truncated_answer_is_one() -> None:
    assert larger_limit(request("/responses", {}), 2.0, used=800) == 1600
    assert larger_limit(request("/responses", {}), 2.0, used=None) is None


@pytest.mark.parametrize(
    ("body", "after"),
    [
        ({"seed": 1}, {"seed": 3}),
        ({"options": {"seed": 1, "top_k": 2}}, {"options": {"seed": 3, "top_k": 2}}),
        ({"seed": None}, {"seed": None}),
        ({"temperature": 1}, {"temperature": 1}),
    ],
)
def test_another_draw_moves_a_stated_seed_and_nothing_else(body: dict[str, Any], after: dict[str, Any]) -> None:
    assert another_draw(body, 2) == after


@pytest.mark.parametrize(
    ("body", "turns"),
    [
        ({"messages": TURNS, "n": 1}, TURNS),
        ({"input": TURNS, "n": 1}, TURNS),
        ({"input": "hi", "n": 1}, TURNS),
    ],
)
def test_a_conversation_goes_on_with_the_answer_and_the_complaint(body: dict[str, Any], turns: list[Any]) -> None:
    key = "messages" if "messages" in body else "input"
    said = [{"role": "assistant", "content": "no JSON"}, {"role": "user", "content": "mend it"}]
    assert continued(body, "no JSON", "mend it") == {**body, key: [*turns, *said]}


@pytest.mark.parametrize(("body", "answer"), [({"prompt": "hi"}, "x"), ({"messages": TURNS}, "  ")])
def test_what_is_no_conversation_cannot_go_on(body: dict[str, Any], answer: str) -> None:
    assert continued(body, answer, "mend it") is None
