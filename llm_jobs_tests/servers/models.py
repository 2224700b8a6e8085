"""Answers as the vendors write them: OpenAI (chat, responses, embeddings), Anthropic messages, Ollama (chat, embed).

`reply_to` turns a request's path and body into the bytes of an answer with a given text; nothing here serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import orjson

FINISH_REASONS = ("stop", "length", "filtered", "refused", "empty")
_OPENAI_FINISH = {"length": "length", "filtered": "content_filter"}
_ANTHROPIC_FINISH = {"length": "max_tokens", "refused": "refusal", "filtered": "refusal"}
_INCOMPLETE = {"length": "max_output_tokens", "filtered": "content_filter"}


def asked(body: Mapping[str, Any]) -> str:
    """The text of the last user turn of a request, whatever the protocol; the input of an embedding."""
    turns = body.get("messages", body.get("input", ""))
    if isinstance(turns, str):
        return turns
    for turn in reversed(turns):
        if isinstance(turn, str):
            return turn
        if turn.get("role") == "user":
            content = turn.get("content")
            return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return ""


def tokens(text: str) -> int:
    return len(text.split())


def reply_to(path: str, body: Mapping[str, Any], text: str, finish: str = "stop") -> bytes | None:
    """The bytes of an answer that says `text`; None for a path that no vendor has."""
    if finish == "empty":
        text = ""
    for ending, write in _WRITERS.items():
        if path.endswith(ending):
            return orjson.dumps(write(body, text, finish))
    return None


def vector(text: str, size: int = 8) -> list[float]:
    """A vector that depends on the text alone."""
    digest = hashlib.sha256(text.encode()).digest()
    return [digest[at % 32] / 256 for at in range(size)]


def _chat(body: Mapping[str, Any], text: str, finish: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None}
    if finish == "refused":
        message = {"role": "assistant", "content": None, "refusal": text}
    prompt, completion = tokens(asked(body)), tokens(text)
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": f"{body.get('model')}-2026-01-01",
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": _OPENAI_FINISH.get(finish, "stop")}
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def _responses(body: Mapping[str, Any], text: str, finish: str) -> dict[str, Any]:
    reason = _INCOMPLETE.get(finish)
    part = {"type": "output_text", "text": text, "annotations": []}
    if finish == "refused":
        part = {"type": "refusal", "refusal": text}
    prompt, completion = tokens(asked(body)), tokens(text)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "model": f"{body.get('model')}-2026-01-01",
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]},
        ],
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens": completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + completion,
        },
    }


def _embeddings(body: Mapping[str, Any], text: str, finish: str) -> dict[str, Any]:
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    data = [
        {"object": "embedding", "index": at, "embedding": [] if finish == "empty" else vector(str(one))}
        for at, one in enumerate(inputs)
    ]
    used = sum(tokens(str(one)) for one in inputs)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return {"object": "list", "model": body.get("model"), "data": data, "usage": usage}


def _messages(body: Mapping[str, Any], text: str, finish: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": f"{body.get('model')}-20260101",
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": _ANTHROPIC_FINISH.get(finish, "end_turn"),
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens(asked(body)),
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 2,
            "output_tokens": tokens(text),
        },
    }


def _ollama_chat(body: Mapping[str, Any], text: str, finish: str) -> dict[str, Any]:
    return {
        "model": body.get("model"),
        "created_at": "2026-01-01T00:00:00Z",
        "message": {"role": "assistant", "content": text},
        "done": True,
        "done_reason": "length" if finish == "length" else "stop",
        "total_duration": 1,
        "prompt_eval_count": tokens(asked(body)),
        "eval_count": tokens(text),
    }


def _ollama_embed(body: Mapping[str, Any], text: str, finish: str) -> dict[str, Any]:
    vectors = [[] if finish == "empty" else vector(asked(body))]
    return {"model": body.get("model"), "embeddings": vectors, "prompt_eval_count": tokens(asked(body))}


def _ollama_pull(body: Mapping[str, Any], text: str, finish: str) -> dict[str, Any]:
    return {"status": "success"}


_WRITERS: Mapping[str, Callable[[Mapping[str, Any], str, str], dict[str, Any]]] = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/embeddings": _embeddings,
    "/v1/messages": _messages,
    "/api/chat": _ollama_chat,
    "/api/embed": _ollama_embed,
    "/api/pull": _ollama_pull,
}
