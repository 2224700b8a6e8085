"""The model that is none: no network, no cost, and an answer that depends on the call hash alone and says what it is.

It speaks OpenAI's format. Tokens are UTF-8 bytes / 4, rounded up. Faults, latency and limits are given to the
constructor, for tests and rehearsals.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, Literal

import orjson

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import CallError, CallTimeout, PermanentError, RateLimited
from llm_jobs.providers.base import Answered, Reply, Request
from llm_jobs.providers.image_parts import body_to_send
from llm_jobs.providers.openai_format import PATHS, openai_body, read_openai
from llm_jobs.providers.simulated_values import conforming

Fault = CallError | Literal["truncated", "refused", "filtered", "empty", "torn"]

_FINISH = {"truncated": "length", "filtered": "content_filter"}
_SHOWN_CHARACTERS = 80
_DIMENSIONS = 64
_WINDOW_S = 60.0


class SimulatedProvider:
    """Answers without a model. `faults` are met one per sending, in order; None is an ordinary answer, as is all
    that follows. A body that holds the text `poison` is always refused. `latency_s` is slept in the event loop's time.
    """

    kind: str = "simulated"

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        faults: Iterable[Fault | None] = (),
        poison: str | None = None,
        requests_per_minute: int | None = None,
    ) -> None:
        self._latency_s = latency_s
        self._faults = iter(faults)
        self._poison = poison
        self._requests_per_minute = requests_per_minute
        self._recent: deque[float] = deque()

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        return Endpoint(provider=self.kind, base_url=model.base_url, path=PATHS[operation], digest=model.digest)

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        return openai_body(model.upstream, operation, messages, parameters, schema)

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        fault = next(self._faults, None)
        if self._latency_s:
            await asyncio.sleep(min(self._latency_s, timeout_s))
            if self._latency_s > timeout_s:
                raise CallTimeout(f"the simulated model gave no answer within {timeout_s:g} s")
        self._count_request()
        if isinstance(fault, CallError):
            raise fault
        if self._poison is not None and self._poison in orjson.dumps(request.body).decode():
            raise PermanentError("the simulated model refuses this request", http_status=400)
        if request.images:
            await asyncio.to_thread(body_to_send, request)  # as a real one reads its images
        raw = orjson.dumps(simulated_answer(request, call_hash, fault))
        return Answered(raw=raw[: len(raw) // 2] if fault == "torn" else raw, headers={})

    def read(self, request: Request, raw: bytes) -> Reply:
        return read_openai(request.endpoint.path, raw)

    async def aclose(self) -> None:
        """Nothing is open."""

    def _count_request(self) -> None:
        if self._requests_per_minute is None:
            return
        now = asyncio.get_running_loop().time()
        while self._recent and self._recent[0] <= now - _WINDOW_S:
            self._recent.popleft()
        if len(self._recent) >= self._requests_per_minute:
            raise RateLimited("the simulated model's limit is reached", wait_s=self._recent[0] + _WINDOW_S - now)
        self._recent.append(now)


def simulated_answer(request: Request, call_hash: str, fault: Fault | None = None) -> dict[str, Any]:
    """The answer of no model, as OpenAI would write it."""
    operation = next((name for name, path in PATHS.items() if request.endpoint.path.endswith(path)), "chat")
    random = Random(call_hash)
    model = _model_name(str(request.body.get("model", request.model.upstream)))
    asked = _asked(request.body)
    shared: dict[str, Any] = {"id": f"simulated-{call_hash}", "simulated": True, "model": model}
    if operation == "embeddings":
        return {**shared, "object": "list", **_embeddings(request.body, random, _tokens(asked))}
    text = "" if fault == "empty" else _text(request.body, model, asked, call_hash, random)
    counted = _tokens(asked), _tokens(text)
    if operation == "responses":
        return {**shared, "object": "response", **_response(text, fault, counted)}
    refusal = text if fault == "refused" else None
    message = {"role": "assistant", "content": None if refusal else text, "refusal": refusal}
    return {
        **shared,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": _FINISH.get(str(fault), "stop")}],
        "usage": _usage("prompt_tokens", "completion_tokens", counted),
    }


def _model_name(upstream: str) -> str:
    return upstream if upstream == "simulated" else f"simulated/{upstream}"


def _response(text: str, fault: Fault | None, counted: tuple[int, int]) -> dict[str, Any]:
    refused = fault == "refused"
    part = {"type": "refusal", "refusal": text} if refused else {"type": "output_text", "text": text}
    reason = {"truncated": "max_output_tokens", "filtered": "content_filter"}.get(str(fault))
    return {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": [{"type": "message", "role": "assistant", "content": [part]}],
        "usage": _usage("input_tokens", "output_tokens", counted),
    }


def _embeddings(body: Mapping[str, JsonValue], random: Random, tokens: int) -> dict[str, Any]:
    wanted = body.get("dimensions")
    size = wanted if isinstance(wanted, int) and 0 < wanted <= 100_000 else _DIMENSIONS
    texts = body.get("input")
    count = len(texts) if isinstance(texts, list) and texts and isinstance(texts[0], str | list) else 1
    data = [{"object": "embedding", "index": i, "embedding": _unit_vector(random, size)} for i in range(count)]
    return {"data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _unit_vector(random: Random, size: int) -> list[float]:
    vector = [2 * random.random() - 1 for _ in range(size)]
    length = math.sqrt(sum(x * x for x in vector)) or 1.0
    return [round(x / length, 6) for x in vector]


def _text(body: Mapping[str, JsonValue], model: str, asked: str, call_hash: str, random: Random) -> str:
    schema = _schema(body)
    if schema is not None:
        return orjson.dumps(conforming(schema, random)).decode()
    shown = asked if len(asked) <= _SHOWN_CHARACTERS else asked[:_SHOWN_CHARACTERS] + "…"
    return f"[simulated] No model was asked. {call_hash[:8]} stands for the answer of {model} to: {shown}"


def _schema(body: Mapping[str, Any]) -> Mapping[str, JsonValue] | None:
    """The JSON Schema that a request asks for, an empty one where it asks for any JSON object."""
    form = body.get("response_format")
    if not isinstance(form, dict):
        text = body.get("text")
        form = text.get("format") if isinstance(text, dict) else None
    if not isinstance(form, dict):
        return None
    if form.get("type") == "json_object":
        return {"type": "object", "properties": {"simulated": {"const": True}}}
    described = form.get("json_schema", form)
    schema = described.get("schema") if isinstance(described, dict) else None
    return schema if isinstance(schema, dict) else None


def _asked(body: Mapping[str, Any]) -> str:
    """The last text of a request."""
    turns = body.get("messages", body.get("input", ""))
    if isinstance(turns, list) and turns:
        last = turns[-1]
        content = last.get("content", "") if isinstance(last, dict) else last
        return content if isinstance(content, str) else orjson.dumps(content).decode()
    return turns if isinstance(turns, str) else ""


def _usage(prompt: str, completion: str, counted: tuple[int, int]) -> dict[str, int]:
    return {prompt: counted[0], completion: counted[1], "total_tokens": sum(counted)}


def _tokens(text: str) -> int:
    return math.ceil(len(text.encode()) / 4)
