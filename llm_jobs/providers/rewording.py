"""The same question asked in another way: with a larger limit, another draw, or the answer and what is wrong with it.

Pure: from a request's body to another body, in the words of whoever reads it. Which is asked, and when, is the
engine's. None: this request cannot be asked so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.providers.base import Request
from llm_jobs.providers.parameters import counts_reasoning
from llm_jobs.providers.tokens import output_limit

Body = Mapping[str, JsonValue]

# Where a limit stands, by the end of the path; of chat completions, which have two, `_limit_place` says which.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "/responses": ("max_output_tokens",),
    "/messages": ("max_tokens",),
    "/api/chat": ("options", "num_predict"),
}
_STATED = (
    ("max_completion_tokens",),
    ("max_tokens",),
    ("max_output_tokens",),
    ("options", "num_predict"),
    ("parameters", "max_new_tokens"),
)
_SEEDS = (("seed",), ("options", "seed"), ("parameters", "seed"))


def with_output_limit(request: Request, limit: int) -> Body | None:
    """The body with a limit of `limit` tokens, larger than the one that it states; None where it is not larger."""
    body = request.body
    stated = output_limit(body)
    if stated is not None and stated >= limit:
        return None
    places: list[tuple[str, ...]] = [place for place in _STATED if _at(body, place) is not None]
    for place in places or [_limit_place(request)]:
        body = _with(body, place, limit)
    return body


def larger_limit(request: Request, factor: float, *, used: int | None) -> int | None:
    """`factor` times the limit that the request states, or the tokens that the truncated answer used where it states
    none; None where neither is known."""
    known = output_limit(request.body) or used
    return None if not known else int(known * factor)


def another_draw(body: Body, draw: int) -> Body:
    """The same question for another sample. A stated seed would bring the same answer again: it is moved on."""
    for place in _SEEDS:
        seed = _at(body, place)
        if isinstance(seed, int) and not isinstance(seed, bool):
            body = _with(body, place, seed + draw)
    return body


def continued(body: Body, answer: str, complaint: str) -> Body | None:
    """The conversation with the model's answer and a user's turn about it; None where there is no conversation."""
    key = "messages" if "messages" in body else "input"
    turns = body.get(key)
    if isinstance(turns, str):
        turns = [{"role": "user", "content": turns}]
    if not isinstance(turns, list) or not answer.strip():
        return None
    said: list[JsonValue] = [{"role": "assistant", "content": answer}, {"role": "user", "content": complaint}]
    return {**body, key: [*turns, *said]}


def _limit_place(request: Request) -> tuple[str, ...]:
    path = request.endpoint.path
    for ending, place in _PLACES.items():
        if path.endswith(ending):
            return place
    reasons = request.endpoint.provider == "openai" and counts_reasoning(request.model.upstream)
    return ("max_completion_tokens",) if reasons else ("max_tokens",)


def _at(body: Mapping[str, Any], place: tuple[str, ...]) -> object:
    value: Any = body
    for name in place:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _with(body: Body, place: tuple[str, ...], value: JsonValue) -> Body:
    name, *rest = place
    if not rest:
        return {**body, name: value}
    inner = body.get(name)
    return {**body, name: dict(_with(inner if isinstance(inner, dict) else {}, tuple(rest), value))}
