"""How many tokens a request can come to, before it is sent: bounds that hold, and a guess. Pure; a few µs per call.

No tokenizer is used. tiktoken fetches its vocabularies, other vendors publish none, and a bound has to hold for models
that nobody has seen yet. The rule instead: a token stands for at least one byte of UTF-8 text (byte-pair encodings
start from single bytes: R. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", ACL 2016;
SentencePiece falls back to bytes), so the request body's JSON, which holds all text and escapes some of it to more
bytes, has at least as many bytes as its text has tokens. What a vendor adds (chat template, tools) is an allowance.
None: no bound is known. Counts of answers that came are the provider's own (`Usage`), never these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.providers.entries import CatalogueEntry

# Tokens that templates add beside what each message's own JSON covers ({"role":"user","content":""} is 28 bytes, a
# chat template marks a message with some 5): a default system prompt, the opening of the answer.
TEMPLATE_TOKENS = 64
# Anthropic's prompt for tools is 264 to 804 tokens by model and choice, the one for structured outputs of that order:
# https://docs.claude.com/en/docs/agents-and-tools/tool-use/overview (the table of system prompt tokens).
TOOL_TOKENS = 1_000
# OpenAI's dearest picture (gpt-4o-mini, 2,833 and 5,667 per tile, 8 tiles) is 48,169 tokens; others are below 5,000:
# https://platform.openai.com/docs/guides/images-vision (calculating costs).
IMAGE_TOKENS = 50_000
# A guess where nothing was learned: English text has some 4 bytes per token in the vendors' words.
BYTES_PER_TOKEN = 4

# Members that bring in text which the request does not hold.
_ELSEWHERE = frozenset({"previous_response_id", "conversation", "container", "mcp_servers", "web_search_options"})
_ADDS_PROMPT = frozenset({"tools", "functions", "output_config", "output_format", "response_format"})
_TEXT_PARTS = frozenset(
    {
        "text", "input_text", "output_text", "refusal", "thinking", "redacted_thinking", "reasoning", "message",
        "tool_use", "tool_result", "function_call", "function_call_output", "custom_tool_call",
        "custom_tool_call_output", "input_audio", "audio",
    }
)  # fmt: skip
_IMAGE_PARTS = frozenset({"image", "image_url", "input_image"})
_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_EMBEDDING_PATHS = ("/embeddings", "/embed")


def request_bytes(body: Mapping[str, JsonValue]) -> int:
    """Bytes of the body as JSON, what the other functions are given where a caller has the payload anyway."""
    return len(orjson.dumps(body))


def worst_input_tokens(body: Mapping[str, Any], *, payload_bytes: int | None = None) -> int | None:
    """A number that the tokens of the prompt cannot pass; None where the request brings in what cannot be measured
    (files, video, a stored conversation, a vendor's own tools)."""
    if not _ELSEWHERE.isdisjoint(body) or isinstance(body.get("prompt"), dict):
        return None
    tokens = (request_bytes(body) if payload_bytes is None else payload_bytes) + TEMPLATE_TOKENS
    if not _ADDS_PROMPT.isdisjoint(body):
        tools = body.get("tools") or []
        if not isinstance(tools, list) or not all(map(_is_own, tools)):
            return None
        tokens += TOOL_TOKENS
    images = _images(body)
    return None if images is None else tokens + images * IMAGE_TOKENS


def _is_own(tool: object) -> bool:
    """A tool that the caller runs, so that what it says comes in with a later request."""
    return isinstance(tool, dict) and tool.get("type") in (None, "function", "custom")


def estimated_input_tokens(body: Mapping[str, Any], *, payload_bytes: int | None = None) -> int:
    """A guess for a model of which nothing was learned: four bytes of JSON per token, and pictures by their bound."""
    size = request_bytes(body) if payload_bytes is None else payload_bytes
    return math.ceil(size / BYTES_PER_TOKEN) + (_images(body) or 0) * IMAGE_TOKENS


def worst_output_tokens(body: Mapping[str, Any], entry: CatalogueEntry | None, *, path: str = "") -> int | None:
    """A number that the tokens of the answer cannot pass: the request's own limit, else the model's, times the answers
    asked for; None where neither is known. `path`: the endpoint's; embeddings have no output."""
    if path.endswith(_EMBEDDING_PATHS):
        return 0
    limit = output_limit(body)
    if limit is None:
        limit = None if entry is None else entry.max_output_tokens
    if limit is None or body.get("prediction") is not None:  # rejected predictions are paid beside the limit
        return None
    return limit * _answers(body)


def output_limit(body: Mapping[str, Any]) -> int | None:
    """The most tokens that the request allows for one answer, under whatever name; None where it says nothing."""
    for name in _LIMITS:
        if (limit := _count(body.get(name))) is not None:
            return limit
    for name, member in (("options", "num_predict"), ("parameters", "max_new_tokens")):
        options = body.get(name)
        if isinstance(options, dict) and (limit := _count(options.get(member))) is not None:
            return limit
    return None


def _count(value: object) -> int | None:
    """A limit that is one: Ollama's -1 (no end) and -2 (fill the context) are none."""
    return value if type(value) is int and value >= 0 else None


def _answers(body: Mapping[str, Any]) -> int:
    asked = max(_count(body.get("n")) or 1, _count(body.get("best_of")) or 1)
    texts = body.get("prompt")
    return asked * (len(texts) if isinstance(texts, list) and texts and isinstance(texts[0], str | list) else 1)


def _images(body: Mapping[str, Any]) -> int | None:
    """Pictures in the messages; None where a part is neither text nor picture."""
    turns = body.get("messages")
    if turns is None:
        turns = body.get("input")
    if type(turns) is not list:
        return 0
    images = 0
    for turn in turns:
        if type(turn) is not dict:
            continue
        content = turn.get("content")
        if type(content) is not str:
            found = _in_parts(content) if "content" in turn else _in_parts([turn])
            if found is None:
                return None
            images += found
        beside = turn.get("images") or []  # Ollama's place for them
        if not isinstance(beside, list):
            return None
        images += len(beside)
    return images


def _in_parts(parts: object) -> int | None:
    images = 0
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        kind = part.get("type", "text")
        if kind in _IMAGE_PARTS:
            images += 1
        elif kind not in _TEXT_PARTS:
            return None
        elif isinstance(part.get("content"), list):  # of a tool's result
            found = _in_parts(part["content"])
            if found is None:
                return None
            images += found
    return images
