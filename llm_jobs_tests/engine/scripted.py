"""A provider whose answers and faults are scripted, in order. It counts what it is sent."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import orjson

from llm_jobs.documents.content import content_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import CallError, PermanentError
from llm_jobs.providers.base import Answered, Reply, Request, Usage
from llm_jobs.providers.openai_format import read_openai

MODEL = ModelRef(name="scripted/m", provider="scripted", upstream="m", base_url="")
Fault = CallError | None


class ScriptedProvider:
    """Answers `answer to <prompt>` after `latency_s`, unless `faults` holds an error for that prompt's next attempt."""

    kind = "scripted"

    def __init__(
        self,
        *,
        latency_s: float = 0.0,
        faults: Mapping[str, Sequence[Fault]] | None = None,
        status: Callable[[str], str] = lambda prompt: "succeeded",
    ) -> None:
        self.sent: Counter[str] = Counter()
        self.in_flight = 0
        self.most_in_flight = 0
        self._latency_s = latency_s
        self._faults = {prompt: list(script) for prompt, script in (faults or {}).items()}
        self._status = status

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        return Endpoint(provider="scripted", base_url="", path=f"/{operation}")

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        return {"model": model.upstream, "prompt": content_json(messages[-1].content), **parameters}

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        prompt = str(request.body["prompt"])
        self.sent[prompt] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._latency_s)
        finally:
            self.in_flight -= 1
        script = self._faults.get(prompt)
        fault = script.pop(0) if script else None
        if fault is not None:
            raise fault
        return Answered(raw=orjson.dumps({"text": f"answer to {prompt}", "status": self._status(prompt)}), headers={})

    def read(self, request: Request, raw: bytes) -> Reply:
        members = orjson.loads(raw)
        return Reply(
            status=members["status"],
            output=members["text"],
            usage=Usage(prompt_tokens=3, completion_tokens=2),
            finish_reason="stop",
            model="scripted-1",
        )

    async def aclose(self) -> None:
        return None


EMBEDDING = Endpoint(provider="openai", base_url="https://scripted.test/v1", path="/embeddings")


class ScriptedEmbeddings(ScriptedProvider):
    """Embeds texts, several in one request too; a request that holds a poisonous one is refused as a whole."""

    def __init__(self, *, latency_s: float = 0.0, poison: frozenset[str] = frozenset()) -> None:
        super().__init__(latency_s=latency_s)
        self.requests: list[list[str]] = []
        self._poison = poison

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        return EMBEDDING

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        return {"input": content_json(messages[-1].content), "model": model.upstream}

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        asked = request.body["input"]
        texts = [str(text) for text in (asked if isinstance(asked, list) else [asked])]
        self.requests.append(texts)
        await asyncio.sleep(self._latency_s)
        if not self._poison.isdisjoint(texts):
            raise PermanentError("one of the texts is refused", http_status=400)
        data = [{"index": place, "embedding": [float(len(text))]} for place, text in enumerate(texts)]
        usage = {"prompt_tokens": 3 * len(texts), "total_tokens": 3 * len(texts)}
        return Answered(raw=orjson.dumps({"data": data, "model": "m", "usage": usage}), headers={})

    def read(self, request: Request, raw: bytes) -> Reply:
        return read_openai(request.endpoint.path, raw)
