"""Anthropic's messages. `max_tokens` is required there: the catalogue states a default, which becomes part of the body.

Source: the API reference of platform.claude.com, and the request bytes of the vendor's SDK (the tests compare).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_jobs.documents.content import content_texts
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import DocumentError, Problem
from llm_jobs.providers.answers import compact, count, objects_at, status_by, text_or_none, whole_object
from llm_jobs.providers.base import Reply, ReplyStatus, Request, Usage
from llm_jobs.providers.http_provider import HttpProvider
from llm_jobs.providers.image_parts import anthropic_content

_VERSION = "2026-10-21"  # of the API, as the vendor's SDK 2 speaks it; part of every call's identity
_STATUS: Mapping[str, ReplyStatus] = {
    "max_tokens": "truncated",
    "model_context_window_exceeded": "truncated",
    "pause_turn": "truncated",
    "refusal": "refused",
}


class AnthropicProvider(HttpProvider):
    kind: str = "anthropic"

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        if operation != "chat":
            what = f"the provider anthropic does not offer {operation}"
            remedy = "use `operation: chat`, or a model of another provider"
            raise DocumentError([Problem(what=what, key="operation", rule="it offers chat", remedy=remedy)])
        return Endpoint(
            provider=self.kind,
            base_url=model.base_url,
            identity_url=model.identity_url,
            path="/v1/messages",
            headers={"anthropic-version": _VERSION},
            digest=model.digest,
        )

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        if "max_tokens" not in parameters:
            remedy = "write max_tokens, e.g. 4096, or `defaults: {max_tokens: 4096}` in models.yaml"
            what = f"max_tokens is missing for {model.name}"
            raise DocumentError([Problem(what=what, key="max_tokens", rule="Anthropic requires it", remedy=remedy)])
        system, turns = _split(messages)
        body: dict[str, JsonValue] = {"model": model.upstream, "messages": turns}
        if system:
            body["system"] = system[0] if len(system) == 1 else [{"type": "text", "text": text} for text in system]
        body.update(parameters)
        if schema is not None:
            config = body.get("output_config")
            form: JsonValue = {"type": "json_schema", "schema": dict(schema)}
            body["output_config"] = {**(config if isinstance(config, dict) else {}), "format": form}
        return body

    def read(self, request: Request, raw: bytes) -> Reply:
        answer = whole_object(raw)
        blocks = objects_at(answer, "content")
        finish_reason = text_or_none(answer.get("stop_reason"))
        output = "".join(str(block.get("text", "")) for block in blocks if block.get("type") == "text")
        if any(block.get("type") == "tool_use" for block in blocks):
            output = compact(blocks)
        return Reply(
            status=status_by(_STATUS.get(finish_reason or "", "succeeded"), output),
            output=output,
            usage=_usage(answer.get("usage")),
            finish_reason=finish_reason,
            model=text_or_none(answer.get("model")),
        )


def _split(messages: Sequence[Message]) -> tuple[list[str], list[JsonValue]]:
    """The system texts before the first turn, which travel apart, and the turns (a later system message is one)."""
    roles = ["system" if message.role == "developer" else message.role for message in messages]
    leading = next((at for at, role in enumerate(roles) if role != "system"), len(roles))
    turns: list[JsonValue] = [
        {"role": role, "content": anthropic_content(message.content)}
        for role, message in zip(roles[leading:], messages[leading:], strict=True)
    ]
    return [text for message in messages[:leading] for text in content_texts(message.content)], turns


def _usage(usage: Any) -> Usage:
    """Anthropic counts apart what is read from the cache and written to it; the project, within the prompt."""
    fresh, read = count(usage, "input_tokens"), count(usage, "cache_read_input_tokens")
    written = count(usage, "cache_creation_input_tokens")
    return Usage(
        prompt_tokens=None if fresh is None else fresh + (read or 0) + (written or 0),
        completion_tokens=count(usage, "output_tokens"),
        cached_tokens=read,
        cache_write_tokens=written,
        cache_write_1h_tokens=count(usage, "cache_creation", "ephemeral_1h_input_tokens"),
        reasoning_tokens=count(usage, "output_tokens_details", "thinking_tokens"),
    )
