"""Bounds on tokens hold for any tokenizer, and limits are found under every vendor's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.providers.entries import CatalogueEntry
from llm_jobs.providers.tokens import (
    IMAGE_TOKENS,
    TOOL_TOKENS,
    estimated_input_tokens,
    output_limit,
    request_bytes,
    worst_input_tokens,
    worst_output_tokens,
)

MODEL = ModelRef(name="m", provider="openai", upstream="m", base_url="http://127.0.0.1")
ENTRY = CatalogueEntry(model=MODEL, max_output_tokens=4_096)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def chat(*contents: Any, **members: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content} for content in contents], **members}


@given(st.lists(TEXT, min_size=1, max_size=5), st.text('aé漢😀\n"\\', max_size=50))
def test_no_tokenizer_passes_the_bound_even_if_every_byte_is_a_token(contents: list[str], schema: str) -> None:
    body = chat(*contents, response_format={"type": "json_schema", "json_schema": {"description": schema}})
    every_byte = sum(len(content.encode()) + len("user") for content in contents) + len(schema.encode())
    template = 5 * len(contents) + 30
    bound = worst_input_tokens(body)
    assert bound is not None
    assert bound >= every_byte + template
    assert bound == worst_input_tokens(body, payload_bytes=request_bytes(body))


@pytest.mark.parametrize(
    ("body", "images"),
    [
        (chat("text"), 0),
        (chat([{"type": "text", "text": "what is it"}, {"type": "image_url", "image_url": {"url": "https://x/y"}}]), 1),
        (chat([{"type": "image", "source": {"type": "base64", "data": "AAAA"}}] * 3), 3),
        ({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, 1),
        ({"model": "m", "messages": [{"role": "user", "content": "what", "images": ["AAAA", "BBBB"]}]}, 2),
        (chat([{"type": "tool_result", "content": [{"type": "image", "source": {}}]}]), 1),
        ({"model": "m", "input": ["one text", "another"]}, 0),
    ],
)
def test_a_picture_counts_as_the_dearest_one_there_is(body: dict[str, Any], images: int) -> None:
    bound = worst_input_tokens(body)
    assert bound is not None
    assert bound // IMAGE_TOKENS == images
    assert estimated_input_tokens(body) // IMAGE_TOKENS == images


@pytest.mark.parametrize(
    "body",
    [
        chat([{"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}]),
        chat([{"type": "file", "file": {"file_id": "f"}}]),
        chat([{"type": "tool_result", "content": [{"type": "document"}]}]),
        chat([{"type": "something of next year"}]),
        chat("hello", web_search_options={}),
        chat("hello", tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        {"model": "m", "input": "hello", "previous_response_id": "r"},
        {"model": "m", "prompt": {"id": "stored"}},
        {"model": "m", "input": [{"type": "item_reference", "id": "x"}]},
    ],
)
def test_what_cannot_be_measured_has_no_bound(body: dict[str, Any]) -> None:
    assert worst_input_tokens(body) is None


def test_tools_bring_a_prompt_of_the_vendors_own() -> None:
    plain, with_tools = chat("hello"), chat("hello", tools=[{"name": "f", "input_schema": {}}])
    assert (worst_input_tokens(with_tools) or 0) >= (worst_input_tokens(plain) or 0) + TOOL_TOKENS


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (chat("a", max_tokens=7), 7),
        (chat("a", max_completion_tokens=8), 8),
        (chat("a", max_tokens=9, max_completion_tokens=8), 8),
        ({"model": "m", "input": "a", "max_output_tokens": 5}, 5),
        (chat("a", options={"num_predict": 11}), 11),
        (chat("a", options={"num_predict": -1}), None),
        (chat("a", options={"temperature": 0}), None),
        ({"inputs": "a", "parameters": {"max_new_tokens": 3}}, 3),
        (chat("a", max_tokens=None), None),
        (chat("a", max_tokens=True), None),
        (chat("a"), None),
    ],
)
def test_the_limit_of_a_request_is_found_under_each_vendors_name(body: dict[str, Any], limit: int | None) -> None:
    assert output_limit(body) == limit
    assert worst_output_tokens(body, ENTRY) == (4_096 if limit is None else limit)
    assert worst_output_tokens(body, None) == limit


@pytest.mark.parametrize(
    ("members", "worst"),
    [({"n": 3}, 300), ({"n": 2, "best_of": 5}, 500), ({"n": None}, 100), ({"prediction": {"content": "x"}}, None)],
)
def test_several_answers_are_several_times_the_limit(members: dict[str, Any], worst: int | None) -> None:
    assert worst_output_tokens(chat("a", max_tokens=100, **members), ENTRY) == worst


def test_embeddings_have_no_output() -> None:
    body = {"model": "m", "input": "a text"}
    assert worst_output_tokens(body, None, path="/v1/embeddings") == 0
    assert worst_output_tokens(body, None, path="/api/embed") == 0
    assert worst_output_tokens(body, None, path="/v1/responses") is None


@pytest.mark.parametrize(
    "odd", [{"tools": ["x"]}, {"tools": 5}, {"tools": {"a": 1}}, {"messages": [{"content": "a", "images": 5}]}]
)
def test_of_a_request_in_a_shape_that_is_not_known_there_is_no_bound(odd: dict[str, Any]) -> None:
    assert worst_input_tokens({"model": "m", "messages": [], **odd}) is None
