"""Requests that travel as one come back as if each had travelled alone."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.errors import TransientError
from llm_jobs.providers.base import Request
from llm_jobs.providers.grouping import group_key, merged, split

MODEL = ModelRef(name="openai/e", provider="openai", upstream="e", base_url="https://a.test/v1")
OPENAI = Endpoint(provider="openai", base_url="https://a.test/v1", path="/embeddings")
OLLAMA = Endpoint(provider="ollama", base_url="https://a.test", path="/api/embed")


def request(text: Any, endpoint: Endpoint = OPENAI, **parameters: Any) -> Request:
    return Request(endpoint=endpoint, model=MODEL, body={"input": text, "model": "e", **parameters})


def answer(vectors: list[Any], tokens: int) -> bytes:
    data = [{"object": "embedding", "index": number, "embedding": vector} for number, vector in enumerate(vectors)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return orjson.dumps({"object": "list", "data": data, "model": "e", "usage": usage})


def test_only_what_differs_in_nothing_but_the_text_travels_together() -> None:
    assert group_key(request("a")) == group_key(request("b")) is not None
    others = [
        request("a", dimensions=8),
        request("a", OLLAMA),
        Request(endpoint=OPENAI, model=MODEL, body={"input": "a", "model": "f"}),
    ]
    assert len({group_key(one) for one in [request("a"), *others]}) == 4
    chat = Endpoint(provider="openai", base_url="https://a.test/v1", path="/chat/completions")
    assert group_key(request(["a", "b"])) is group_key(request("a", chat)) is None


@given(
    texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=9), min_size=2, max_size=9),
    tokens=st.integers(0, 999),
)
def test_each_member_gets_its_vector_and_the_tokens_add_up(texts: list[str], tokens: int) -> None:
    requests = [request(text) for text in texts]
    assert merged(requests).body["input"] == texts
    vectors = [[float(number), 0.1] for number in range(len(texts))]
    alone = [orjson.loads(raw) for raw in split(answer(vectors, tokens), requests)]
    assert [one["data"] for one in alone] == [[{"object": "embedding", "index": 0, "embedding": v}] for v in vectors]
    assert sum(one["usage"]["prompt_tokens"] for one in alone) == tokens
    assert {one["grouped"] for one in alone} == {len(texts)}


def test_vectors_are_told_apart_by_their_number_not_by_their_place() -> None:
    members = orjson.loads(answer([[1.0], [2.0]], 4))
    members["data"].reverse()
    alone = [orjson.loads(raw) for raw in split(orjson.dumps(members), [request("a"), request("b")])]
    assert [one["data"][0]["embedding"] for one in alone] == [[1.0], [2.0]]


def test_ollamas_lists_of_vectors_are_divided_too() -> None:
    raw = orjson.dumps({"model": "e", "embeddings": [[1.0], [2.0]], "prompt_eval_count": 5})
    requests = [request("a", OLLAMA), request("bbbb", OLLAMA)]
    alone = [orjson.loads(one) for one in split(raw, requests)]
    assert [(one["embeddings"], one["prompt_eval_count"]) for one in alone] == [([[1.0]], 1), ([[2.0]], 4)]


@pytest.mark.parametrize(
    "raw",
    [
        answer([[1.0]], 2),
        answer([[1.0], [2.0], [3.0]], 2),
        orjson.dumps({"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}),
        orjson.dumps({"data": None}),
        b"[",
    ],
)
def test_an_answer_that_lacks_a_member_is_not_whole(raw: bytes) -> None:
    with pytest.raises(TransientError):
        split(raw, [request("a"), request("b")])


def test_one_alone_is_sent_and_answered_as_it_is() -> None:
    alone = request("a")
    assert merged([alone]) is alone
    assert split(b"anything", [alone]) == [b"anything"]
