"""What the tests of providers share: each kind of provider, opened against a server that behaves as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import orjson

from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import CallError, CallTimeout, PermanentError, RateLimited, TransientError
from llm_jobs.providers.base import Answered, Provider, Reply, Request
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.command import parse_command
from llm_jobs.providers.registry import open_provider
from llm_jobs.providers.simulated import Fault, SimulatedProvider
from llm_jobs_tests.servers.models import asked, reply_to
from llm_jobs_tests.servers.wire import Listening, Received, Sent, listening

KEY = 'sk-Te/st+K%ey"wi\\th-éverything'
HASH = "0123456789abcdef0123456789abcdef"
MESSAGES = (Message(role="system", content="Be short."), Message(role="user", content="What is 2 + 2?"))

# How a server behaves, and the class of the error that follows (None: it answers).
BEHAVIOURS: Mapping[str, tuple[Sent | None, type[CallError] | None]] = {
    "answers": (None, None),
    "400": (Sent(status=400, body=b'{"error": {"message": "bad parameter"}}'), PermanentError),
    "401": (Sent(status=401, body=b'{"error": "no key"}'), PermanentError),
    "404": (Sent(status=404, body=b"not found"), PermanentError),
    "408": (Sent(status=408), TransientError),
    "409": (Sent(status=409), TransientError),
    "425": (Sent(status=425), TransientError),
    "429": (Sent(status=429, headers={"Retry-After": "7"}), RateLimited),
    "429 unsaid": (Sent(status=429), RateLimited),
    "500": (Sent(status=500), TransientError),
    "502": (Sent(status=502, body=b"<html>bad gateway</html>"), TransientError),
    "503": (Sent(status=503), TransientError),
    "503 with a wait": (Sent(status=503, headers={"Retry-After": "7"}), RateLimited),
    "529": (Sent(status=529), TransientError),
    "529 with a wait": (Sent(status=529, headers={"Retry-After": "7"}), RateLimited),
    "redirects": (Sent(status=307, headers={"Location": "http://127.0.0.1:1/elsewhere"}), PermanentError),
    "torn": (Sent(body=b'{"id": "half of an answer"}', fault="torn"), TransientError),
    "closed": (Sent(fault="closed"), TransientError),
    "slow": (Sent(body=b"{}", delay_s=60), CallTimeout),
}


@dataclass
class Scene:
    """A provider, its server's books, and a request that it can send."""

    provider: Provider
    request: Request
    seen: list[Received] = field(default_factory=list)
    listening: Listening | None = None

    async def send(self, timeout_s: float = 10.0) -> Answered:
        return await self.provider.send(self.request, call_hash=HASH, timeout_s=timeout_s)

    async def ask(self, timeout_s: float = 10.0) -> Reply:
        """Send and read."""
        return self.provider.read(self.request, (await self.send(timeout_s)).raw)


class Kind:
    """One kind of provider, and how to set its scene."""

    name: ClassVar[str]
    over_http: ClassVar[bool] = True
    operations: ClassVar[tuple[Operation, ...]] = ("chat",)
    key_variable: ClassVar[str] = ""

    def environment(self, url: str) -> dict[str, str]:
        raise NotImplementedError

    def model_name(self) -> str:
        return f"{self.name}/model-1"

    def catalogue(self, environment: Mapping[str, str]) -> Catalogue:
        return Catalogue(environment=environment)

    def open(self, environment: Mapping[str, str], folder: Path) -> Provider:
        return open_provider(
            self.name, environment=environment, catalogue=self.catalogue(environment), script_folder=folder
        )

    def request(
        self,
        provider: Provider,
        catalogue: Catalogue,
        operation: Operation = "chat",
        parameters: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> Request:
        entry = catalogue.resolve(self.model_name(), endpoint=endpoint)
        messages = MESSAGES[1:] if operation == "embeddings" else MESSAGES
        chosen = entry.with_defaults(operation, parameters or {})
        body = provider.body(entry.model, operation, messages, chosen, None)
        return Request(endpoint=provider.endpoint(entry.model, operation), model=entry.model, body=body)

    @asynccontextmanager
    async def scene(
        self, behaviour: str | Sent | Callable[[Received], Sent], folder: Path, operation: Operation = "chat"
    ) -> AsyncIterator[Scene]:
        """A provider before a server that behaves as told (a name in BEHAVIOURS, what it sends, or a function)."""
        seen: list[Received] = []
        stated = BEHAVIOURS[behaviour][0] if isinstance(behaviour, str) else behaviour

        def handle(received: Received) -> Sent:
            seen.append(received)
            if callable(stated):
                return stated(received)
            return stated or answer(received)

        async with listening(handle) as server:
            environment = self.environment(server.url)
            provider = self.open(environment, folder)
            try:
                request = self.request(provider, self.catalogue(environment), operation)
                yield Scene(provider, request, seen, server)
            finally:
                await provider.aclose()
                await asyncio.sleep(0)


def answer(received: Received, finish: str = "stop") -> Sent:
    """What a well-behaved model says."""
    body = orjson.loads(received.body)
    raw = reply_to(received.path, body, f"echo: {asked(body)}", finish)
    return Sent(body=raw) if raw is not None else Sent(status=404, body=received.path.encode())


class OpenAIKind(Kind):
    name = "openai"
    operations = ("chat", "responses", "embeddings")
    key_variable = "OPENAI_API_KEY"

    def environment(self, url: str) -> dict[str, str]:
        return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY}


class AnthropicKind(Kind):
    name = "anthropic"
    key_variable = "ANTHROPIC_API_KEY"

    def environment(self, url: str) -> dict[str, str]:
        return {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": KEY}


class OllamaKind(Kind):
    name = "ollama"
    operations = ("chat", "embeddings")
    key_variable = "OLLAMA_API_KEY"

    def environment(self, url: str) -> dict[str, str]:
        return {"OLLAMA_HOST": url, "OLLAMA_API_KEY": KEY}


class CommandKind(Kind):
    """Requests that a script printed, to the server's chat completions, with a credential."""

    name = "command"
    key_variable = "OPENAI_API_KEY"

    def environment(self, url: str) -> dict[str, str]:
        return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": KEY}

    def request(
        self,
        provider: Provider,
        catalogue: Catalogue,
        operation: Operation = "chat",
        parameters: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> Request:
        base_url = endpoint or catalogue.resolve("openai/model-1").model.base_url
        messages = [{"role": message.role, "content": message.content} for message in MESSAGES]
        printed = {
            "url": f"{base_url}/chat/completions",
            "headers": {"Authorization": "Bearer ${OPENAI_API_KEY}"},
            "body": {"model": "model-1", "messages": messages, **(parameters or {})},
            "answer": "/choices/0/message/content",
        }
        parsed = parse_command(json.dumps(printed).encode(), script="command.py", catalogue=catalogue)
        model = ModelRef(name="command/model-1", provider="command", upstream="model-1", base_url="")
        return Request(endpoint=parsed.endpoint, model=model, body=parsed.body, answer_pointer=parsed.answer_pointer)


class SimulatedKind(Kind):
    """No server: what a server would do is scripted."""

    name = "simulated"
    over_http = False
    operations = ("chat", "responses", "embeddings")

    def environment(self, url: str) -> dict[str, str]:
        return {}

    @asynccontextmanager
    async def scene(
        self, behaviour: str | Sent | Callable[[Received], Sent], folder: Path, operation: Operation = "chat"
    ) -> AsyncIterator[Scene]:
        assert isinstance(behaviour, str)
        expected = BEHAVIOURS[behaviour][1]
        fault: Fault | None = expected("scripted") if expected in (PermanentError, TransientError) else None
        if expected is RateLimited:
            wait_s = None if behaviour == "429 unsaid" else 7.0
            fault = RateLimited("scripted", wait_s=wait_s)
        if behaviour == "torn":
            fault = "torn"
        provider = SimulatedProvider(faults=[fault], latency_s=60 if expected is CallTimeout else 0)
        catalogue = self.catalogue({})
        yield Scene(provider, self.request(provider, catalogue, operation))
        await provider.aclose()


KINDS = (OpenAIKind(), AnthropicKind(), OllamaKind(), CommandKind(), SimulatedKind())
