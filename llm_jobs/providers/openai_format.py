"""OpenAI's request bodies and answers (chat completions, responses, embeddings), as data. Pure.

The `openai` provider sends them, the `simulated` one answers in them. Sources: the reference of platform.openai.com,
and the request bytes of the vendor's SDK, with which the tests compare.
"""

from __future__ import annotations

import base64
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.providers.answers import (
    compact,
    count,
    member,
    number,
    object_at,
    objects_at,
    status_by,
    text_or_none,
    whole_object,
)
from llm_jobs.providers.base import Reply, ReplyStatus, Usage
from llm_jobs.providers.image_parts import chat_content, responses_content

PATHS: Mapping[Operation, str] = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
}
_SCHEMA_NAME = "answer"
_CHAT_STATUS: Mapping[str, ReplyStatus] = {"length": "truncated", "content_filter": "filtered"}
_INCOMPLETE: Mapping[str, ReplyStatus] = {"max_output_tokens": "truncated", "content_filter": "filtered"}


def openai_body(
    upstream: str,
    operation: Operation,
    messages: Sequence[Message],
    parameters: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
) -> dict[str, JsonValue]:
    """The body of a request for rendered messages; parameters as they are."""
    if operation == "embeddings":
        return {"input": single_text(messages), "model": upstream, **parameters}
    shaped = responses_content if operation == "responses" else chat_content
    turns: list[JsonValue] = [{"role": message.role, "content": shaped(message.content)} for message in messages]
    if operation == "responses":
        body: dict[str, JsonValue] = {"input": turns, "model": upstream, **parameters}
        if schema is not None:
            text = body.get("text")
            body["text"] = {**(text if isinstance(text, dict) else {}), "format": _format(schema, flat=True)}
        return body
    body = {"messages": turns, "model": upstream, **parameters}
    if schema is not None:
        body["response_format"] = _format(schema, flat=False)
    return body


def single_text(messages: Sequence[Message]) -> str:
    """The one text that an embedding is asked for."""
    if len(messages) == 1 and isinstance(text := messages[0].content, str):
        return text
    rule = "an embedding has one text: one prompt or one message"
    problem = Problem(
        what=f"{len(messages)} messages, or one in parts, for an embedding", rule=rule, remedy="write a single text"
    )
    raise DocumentError([problem])


def read_openai(path: str, raw: bytes) -> Reply:
    """What an answer to a request at `path` says."""
    return _reader(path)(whole_object(raw))


def read_chat(answer: Mapping[str, Any]) -> Reply:
    message = object_at(answer, "choices", 0, "message")
    finish_reason = text_or_none(answer["choices"][0].get("finish_reason"))
    output = _content(message.get("content"))
    status = _CHAT_STATUS.get(finish_reason or "", "succeeded")
    if status == "succeeded" and message.get("refusal"):
        status, output = "refused", message["refusal"]
    elif message.get("tool_calls") or message.get("function_call"):
        output = compact(message)
    return Reply(
        status=status_by(status, output),
        output=output,
        usage=openai_usage(answer),
        finish_reason=finish_reason,
        model=text_or_none(answer.get("model")),
    )


def read_responses(answer: Mapping[str, Any]) -> Reply:
    items = objects_at(answer, "output")
    parts = [part for item in items if item.get("type") == "message" for part in item.get("content") or ()]
    calls = [item for item in items if str(item.get("type", "")).endswith("_call") and "arguments" in item]
    output = "".join(part.get("text", "") for part in parts if part.get("type") == "output_text")
    refusal = "".join(part.get("refusal", "") for part in parts if part.get("type") == "refusal")
    reason = (answer.get("incomplete_details") or {}).get("reason")
    status: ReplyStatus = "succeeded"
    if answer.get("status") == "incomplete":
        status = _INCOMPLETE.get(str(reason), "truncated")
    elif refusal:
        status, output = "refused", refusal
    elif calls and not output:
        output = compact(items)
    return Reply(
        status=status_by(status, output),
        output=output,
        usage=_responses_usage(answer),
        finish_reason=text_or_none(reason) or text_or_none(answer.get("status")),
        model=text_or_none(answer.get("model")),
    )


def read_embeddings(answer: Mapping[str, Any]) -> Reply:
    """One vector, or a list of them where the request (of a batch file) had several texts."""
    vectors = [_vector(member(entry, "embedding")) for entry in objects_at(answer, "data")]
    output: JsonValue = vectors[0] if len(vectors) == 1 else [*vectors]
    return Reply(
        status=status_by("succeeded", output),
        output=output,
        usage=Usage(prompt_tokens=count(answer, "usage", "prompt_tokens"), completion_tokens=0),
        finish_reason=None,
        model=text_or_none(answer.get("model")),
    )


_READERS: Mapping[Operation, Callable[[Mapping[str, Any]], Reply]] = {
    "chat": read_chat,
    "responses": read_responses,
    "embeddings": read_embeddings,
}


@lru_cache
def _reader(path: str) -> Callable[[Mapping[str, Any]], Reply]:
    return next((_READERS[operation] for operation, ending in PATHS.items() if path.endswith(ending)), read_chat)


def openai_usage(answer: Mapping[str, Any]) -> Usage:
    return _usage(answer, "prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")


def _responses_usage(answer: Mapping[str, Any]) -> Usage:
    return _usage(answer, "input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")


def _usage(answer: Mapping[str, Any], prompt: str, completion: str, of_prompt: str, of_completion: str) -> Usage:
    """The tokens in the `usage` of an answer, by the names that its members have there."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return Usage()
    return Usage(
        prompt_tokens=number(usage.get(prompt)),
        completion_tokens=number(usage.get(completion)),
        cached_tokens=count(usage.get(of_prompt), "cached_tokens"),
        cache_write_tokens=count(usage.get(of_prompt), "cache_write_tokens"),
        reasoning_tokens=count(usage.get(of_completion), "reasoning_tokens"),
        tier=text_or_none(answer.get("service_tier")),
    )


def _content(content: object) -> str | None:
    """Text, whether a server wrote it as text or as parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return text_or_none(content)


def _vector(embedding: object) -> list[JsonValue]:
    """Numbers, whether written as such or as base64 of little-endian float32."""
    if isinstance(embedding, str):
        return list(array("f", base64.b64decode(embedding)))
    return list(embedding) if isinstance(embedding, list) else []


def _format(schema: Mapping[str, JsonValue], *, flat: bool) -> dict[str, JsonValue]:
    described: dict[str, JsonValue] = {"name": _SCHEMA_NAME, "schema": dict(schema), "strict": _is_strict(schema)}
    return {"type": "json_schema", **described} if flat else {"type": "json_schema", "json_schema": described}


def _is_strict(schema: JsonValue | Mapping[str, JsonValue]) -> bool:
    """Whether the schema keeps the rules of the strict mode: every object closed, every property required."""
    if isinstance(schema, list):
        return all(map(_is_strict, schema))
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        names = set(properties) if isinstance(properties, Mapping) else set()
        required = schema.get("required")
        stated = {str(name) for name in required} if isinstance(required, list) else set()
        if schema.get("additionalProperties") is not False or stated != names:
            return False
    return all(map(_is_strict, schema.values()))
