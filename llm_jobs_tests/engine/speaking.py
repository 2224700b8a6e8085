"""A provider that speaks OpenAI's chat format; what it says, and how that ends, is a function of the request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import CallError
from llm_jobs.providers.base import Answered, Reply, Request
from llm_jobs.providers.openai_format import PATHS, openai_body, read_openai
from llm_jobs_tests.servers.models import reply_to

Said = str | tuple[str, str] | CallError  # a text, a text and how it ends (see `reply_to`), or a failure
Speech = Callable[[Mapping[str, Any]], Said]


def model(name: str) -> ModelRef:
    return ModelRef(name=f"speaking/{name}", provider="speaking", upstream=name, base_url="http://speaking.test")


class SpeakingProvider:
    """Keeps every body that it was sent, in order."""

    kind = "speaking"

    def __init__(self, speech: Speech, *, latency_s: float = 0.01) -> None:
        self._speech = speech
        self._latency_s = latency_s
        self.bodies: list[Mapping[str, Any]] = []

    @property
    def asked(self) -> Counter[str]:
        """How often each model was asked."""
        return Counter(str(body["model"]) for body in self.bodies)

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        return Endpoint(provider=self.kind, base_url=model.base_url, path=PATHS[operation])

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
        self.bodies.append(request.body)
        await asyncio.sleep(self._latency_s)
        said = self._speech(request.body)
        if isinstance(said, CallError):
            raise said
        text, finish = (said, "stop") if isinstance(said, str) else said
        raw = reply_to(request.endpoint.path, request.body, text, finish)
        assert raw is not None
        return Answered(raw=raw, headers={})

    def read(self, request: Request, raw: bytes) -> Reply:
        return read_openai(request.endpoint.path, raw)

    async def aclose(self) -> None:
        return None
