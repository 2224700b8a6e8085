"""Requests that can travel as one: embeddings, of which both OpenAI and Ollama take a list of texts at once.

Each member keeps its own identity and its own answer, in the form that it would have had alone, with `grouped` telling
how many travelled together. Tokens are stated for the whole group: each member gets its share by the bytes of its text,
and the shares add up. Pure.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from llm_jobs.documents.model_refs import Endpoint
from llm_jobs.errors import TransientError
from llm_jobs.providers.answers import count, member, whole_object
from llm_jobs.providers.base import Request

_TEXT = "input"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """Where an answer holds the vectors and the tokens."""

    vectors: str
    tokens: tuple[str, ...]


_OPENAI = _Form(vectors="data", tokens=("usage", "prompt_tokens"))
_OLLAMA = _Form(vectors="embeddings", tokens=("prompt_eval_count",))


def group_key(request: Request) -> Hashable | None:
    """Requests of one key may travel together. None: this one travels alone."""
    if _form(request.endpoint) is None or type(request.body.get(_TEXT)) is not str:
        return None
    others = {name: value for name, value in request.body.items() if name != _TEXT}
    where = request.endpoint
    return where.base_url, where.path, request.model, orjson.dumps(others, option=orjson.OPT_SORT_KEYS)


def merged(requests: Sequence[Request]) -> Request:
    """One request for all of `requests`, which have one key; the only one is returned as it is."""
    first = requests[0]
    if len(requests) == 1:
        return first
    body = {**first.body, _TEXT: [request.body[_TEXT] for request in requests]}
    return Request(endpoint=first.endpoint, model=first.model, body=body)


def split(raw: bytes, requests: Sequence[Request]) -> list[bytes]:
    """The answers of the members, in the order of `requests`. Raises TransientError if one of them has none."""
    if len(requests) == 1:
        return [raw]
    form = _form(requests[0].endpoint)
    assert form is not None, "only what has a key is merged"
    answer = whole_object(raw)
    vectors = _in_order(member(answer, form.vectors), len(requests))
    tokens = _shares(count(answer, *form.tokens), [1 + len(str(request.body[_TEXT]).encode()) for request in requests])
    return [
        orjson.dumps(_alone(answer, form, vector, share, len(requests)))
        for vector, share in zip(vectors, tokens, strict=True)
    ]


def _form(endpoint: Endpoint) -> _Form | None:
    if endpoint.provider in ("openai", "sentence-transformers") and endpoint.path.endswith("/embeddings"):
        return _OPENAI
    return _OLLAMA if endpoint.provider == "ollama" and endpoint.path.endswith("/api/embed") else None


def _in_order(vectors: object, members: int) -> list[object]:
    if not isinstance(vectors, list) or len(vectors) != members:
        found = len(vectors) if isinstance(vectors, list) else "no"
        raise TransientError(f"the answer is not whole: {members} texts were asked about, {found} vectors came")
    if all(isinstance(vector, dict) and type(vector.get("index")) is int for vector in vectors):
        placed = {vector["index"]: vector for vector in vectors}
        if placed.keys() != set(range(members)):
            raise TransientError("the answer is not whole: its vectors are not numbered as the texts were")
        return [{**placed[number], "index": 0} for number in range(members)]
    return vectors


def _shares(tokens: int | None, sizes: Sequence[int]) -> list[int | None]:
    """`tokens` divided by `sizes` into integers that add up (what is left of each share goes on to the next)."""
    if tokens is None:
        return [None] * len(sizes)
    whole, before, given = sum(sizes), 0, 0
    shares: list[int | None] = []
    for size in sizes:
        before += size
        upto = tokens * before // whole
        shares.append(upto - given)
        given = upto
    return shares


def _alone(
    answer: Mapping[str, Any], form: _Form, vector: object, tokens: int | None, members: int
) -> dict[str, object]:
    alone: dict[str, object] = {**answer, form.vectors: [vector], "grouped": members}
    if tokens is not None:
        if form is _OPENAI:
            alone["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        else:
            alone[form.tokens[0]] = tokens
    return alone
