"""The contract of a provider, kept by all five kinds, against real HTTP servers that behave well and badly."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote, unquote

import pytest

from llm_jobs.documents.identity import CallIdentity
from llm_jobs.documents.steps import Operation
from llm_jobs.errors import CallError, DocumentError, PermanentError, RateLimited, TransientError
from llm_jobs_tests.providers import kit
from llm_jobs_tests.providers.kit import BEHAVIOURS, KEY, Kind, Scene
from llm_jobs_tests.servers.faults import Echo, echoed
from llm_jobs_tests.servers.models import reply_to
from llm_jobs_tests.servers.wire import Received, Sent, listening

FAULTS = [name for name, (_, error) in BEHAVIOURS.items() if error is not None]

MUTATIONS: Mapping[str, Any] = {
    "temperature": 0.5,
    "seed": 7,
    "top_p": 0.9,
    "max_tokens": 17,
    "stop": ["x"],
    "num_ctx": 4096,
    "reasoning_effort": "low",
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "a_parameter_nobody_knows": {"deep": [1, None, True]},
}


class ProviderContract:
    """Each test holds for each provider. A subclass names the kind."""

    kind: ClassVar[Kind]

    def test_an_answer_is_read_whole(self, tmp_path: Path) -> None:
        async def ask(operation: Operation) -> None:
            async with self.kind.scene("answers", tmp_path, operation) as scene:
                answered = await scene.send()
                reply = scene.provider.read(scene.request, answered.raw)
                assert reply.status == "succeeded"
                assert reply.usage.prompt_tokens is not None
                if operation == "embeddings":
                    assert isinstance(reply.output, list)
                    assert all(isinstance(number, float) for number in reply.output)
                else:
                    assert "What is 2 + 2?" in str(reply.output)

        for operation in self.kind.operations:
            asyncio.run(ask(operation))

    @pytest.mark.parametrize("behaviour", FAULTS)
    def test_a_fault_has_its_class_and_is_met_once(self, tmp_path: Path, behaviour: str) -> None:
        async def meet() -> tuple[BaseException, Scene]:
            async with self.kind.scene(behaviour, tmp_path) as scene:
                with pytest.raises(CallError) as caught:
                    await scene.ask(timeout_s=0.3 if behaviour == "slow" else 10)
                return caught.value, scene

        error, scene = asyncio.run(meet())
        assert type(error) is BEHAVIOURS[behaviour][1]
        assert len(scene.seen) == (1 if self.kind.over_http else 0)

    @pytest.mark.parametrize(("behaviour", "wait_s"), [("429", 7.0), ("429 unsaid", None), ("503 with a wait", 7.0)])
    def test_a_refusal_for_now_tells_how_long(self, tmp_path: Path, behaviour: str, wait_s: float | None) -> None:
        async def meet() -> RateLimited:
            async with self.kind.scene(behaviour, tmp_path) as scene:
                with pytest.raises(RateLimited) as caught:
                    await scene.send()
                return caught.value

        assert asyncio.run(meet()).wait_s == wait_s

    def test_the_same_question_makes_the_same_request(self, tmp_path: Path) -> None:
        assert self.hash_of({"seed": 1, "temperature": 0}, tmp_path) == self.hash_of(
            {"temperature": 0, "seed": 1}, tmp_path
        )

    def test_any_parameter_is_identity(self, tmp_path: Path) -> None:
        hashes = {self.hash_of({name: value}, tmp_path) for name, value in MUTATIONS.items()}
        assert len({*hashes, self.hash_of({}, tmp_path)}) == len(MUTATIONS) + 1

    def test_unknown_parameters_pass(self, tmp_path: Path) -> None:
        environment = self.kind.environment("http://127.0.0.1:1")
        provider = self.kind.open(environment, tmp_path)
        request = self.kind.request(provider, self.kind.catalogue(environment), parameters=MUTATIONS)
        assert json.dumps(MUTATIONS["a_parameter_nobody_knows"]) in json.dumps(request.body)

    def hash_of(self, parameters: Mapping[str, Any], folder: Path) -> str:
        environment = self.kind.environment("http://127.0.0.1:1")
        provider = self.kind.open(environment, folder)
        request = self.kind.request(provider, self.kind.catalogue(environment), parameters=parameters)
        return CallIdentity(request.endpoint.identity()).hash(request.body)


class HttpContract(ProviderContract):
    """What holds for the providers that reach a server."""

    @pytest.mark.parametrize("form", ["plain", "url", "json"])
    @pytest.mark.parametrize("status", [200, 400, 429, 500])
    def test_a_server_that_repeats_the_key_reveals_it_to_nobody(self, tmp_path: Path, status: int, form: Echo) -> None:
        async def meet() -> str:
            async with self.kind.scene(lambda received: repeating(received, status, form), tmp_path) as scene:
                if status != 200:
                    with pytest.raises(CallError) as caught:
                        await scene.send()
                    assert caught.value.__context__ is None
                    return "".join(traceback.format_exception(caught.value)) + repr(caught.value.__dict__)
                answered = await scene.send()
                reply = scene.provider.read(scene.request, answered.raw)
                return f"{answered.raw.decode()} {answered.headers} {reply}"

        told = asyncio.run(meet())
        for way in (
            KEY,
            json.dumps(KEY)[1:-1],
            json.dumps(KEY, ensure_ascii=False)[1:-1],
            quote(KEY),
            quote(KEY, safe=""),
        ):
            assert way not in told
            assert way.lower() not in told.lower()
        assert KEY not in unquote(told)
        assert "[removed secret]" in told

    def test_the_server_gets_the_key_where_the_catalogue_lists_it(self, tmp_path: Path) -> None:
        async def ask() -> list[Received]:
            async with self.kind.scene("answers", tmp_path) as scene:
                await scene.send()
                return scene.seen

        (received,) = asyncio.run(ask())
        assert any(KEY in value for value in received.headers.values())

    def test_a_document_that_points_elsewhere_gets_no_key(self, tmp_path: Path) -> None:
        seen: list[Received] = []

        def elsewhere(received: Received) -> Sent:
            seen.append(received)
            return kit.answer(received)

        async def ask() -> None:
            async with self.kind.scene("answers", tmp_path) as listed, listening(elsewhere) as other:
                environment = self.kind.environment(listed.listening.url if listed.listening else "")
                provider = self.kind.open(environment, tmp_path)
                catalogue = self.kind.catalogue(environment)
                try:
                    request = self.kind.request(provider, catalogue, endpoint=self.endpoint_at(other.url))
                    await provider.send(request, call_hash=kit.HASH, timeout_s=10)
                finally:
                    await provider.aclose()

        self.expect_elsewhere(ask)
        assert seen or self.kind.name == "command"
        for received in seen:
            assert not any(KEY in value for value in (received.target, *received.headers.values()))
            assert KEY.encode() not in received.body

    def endpoint_at(self, url: str) -> str:
        return url

    def expect_elsewhere(self, ask: Any) -> None:
        asyncio.run(ask())

    def test_a_key_that_changes_is_used_at_the_next_call(self, tmp_path: Path) -> None:
        async def ask() -> list[Received]:
            seen: list[Received] = []

            def handle(received: Received) -> Sent:
                seen.append(received)
                return kit.answer(received)

            async with listening(handle) as server:
                environment = self.kind.environment(server.url)
                provider = self.kind.open(environment, tmp_path)
                request = self.kind.request(provider, self.kind.catalogue(environment))
                for key in ("first-key", "second-key"):
                    environment[self.kind.key_variable] = key
                    await provider.send(request, call_hash=kit.HASH, timeout_s=10)
                await provider.aclose()
            return seen

        first, second = asyncio.run(ask())
        assert "first-key" in repr(first.headers)
        assert "second-key" in repr(second.headers)

    def test_a_key_that_no_header_can_carry_is_an_error_without_the_key(self, tmp_path: Path) -> None:
        async def ask() -> str:
            async with listening(kit.answer) as server:
                environment = self.kind.environment(server.url)
                environment[self.kind.key_variable] = "secret-key-with\nnew-line"
                provider = self.kind.open(environment, tmp_path)
                request = self.kind.request(provider, self.kind.catalogue(environment))
                with pytest.raises(PermanentError) as caught:
                    await provider.send(request, call_hash=kit.HASH, timeout_s=10)
                await provider.aclose()
                return "".join(traceback.format_exception(caught.value))

        assert "secret-key" not in asyncio.run(ask())

    def test_a_server_that_is_not_there_may_come_back(self, tmp_path: Path) -> None:
        async def ask() -> None:
            environment = self.kind.environment("http://127.0.0.1:1")
            provider = self.kind.open(environment, tmp_path)
            request = self.kind.request(provider, self.kind.catalogue(environment))
            with pytest.raises(TransientError, match=r"no connection to http://127\.0\.0\.1:1"):
                await provider.send(request, call_hash=kit.HASH, timeout_s=10)
            await provider.aclose()

        asyncio.run(ask())

    def test_a_cancelled_call_leaves_no_connection_open(self, tmp_path: Path) -> None:
        async def cancel() -> int:
            async with self.kind.scene("slow", tmp_path) as scene:
                assert scene.listening is not None
                sending = asyncio.create_task(scene.send(timeout_s=60))
                while not scene.seen:
                    await asyncio.sleep(0)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                for _ in range(1000):
                    if not scene.listening.connections:
                        break
                    await asyncio.sleep(0)
                return len(scene.listening.connections)

        assert asyncio.run(cancel()) == 0

    def test_calls_share_connections_and_closing_gives_them_back(self, tmp_path: Path) -> None:
        async def ask() -> tuple[int, int]:
            async with self.kind.scene("answers", tmp_path) as scene:
                assert scene.listening is not None
                for _ in range(3):
                    await scene.send()
                during = len(scene.listening.connections)
                await scene.provider.aclose()
                for _ in range(1000):
                    if not scene.listening.connections:
                        break
                    await asyncio.sleep(0)
                return during, len(scene.listening.connections)

        assert asyncio.run(ask()) == (1, 0)


def repeating(received: Received, status: int, form: Echo) -> Sent:
    """A server that repeats what it was sent, in an answer or in an error, in body and headers."""
    text = echoed(received.headers, form)
    headers = {"x-echo": quote(text, safe="")}
    if status == 200:
        body = json.loads(received.body)
        raw = reply_to(received.path, body, text)
        return Sent(body=raw or b"", headers=headers)
    return Sent(status=status, body=json.dumps({"error": {"message": f"you sent {text}"}}).encode(), headers=headers)


class TestOpenAI(HttpContract):
    kind = kit.OpenAIKind()


class TestAnthropic(HttpContract):
    kind = kit.AnthropicKind()


class TestOllama(HttpContract):
    kind = kit.OllamaKind()


class TestCommand(HttpContract):
    kind = kit.CommandKind()

    def expect_elsewhere(self, ask: Any) -> None:
        """A script that names a credential for an unlisted host is refused before anything is sent."""
        with pytest.raises(DocumentError, match="OPENAI_API_KEY is not sent to"):
            asyncio.run(ask())


class TestSimulated(ProviderContract):
    kind = kit.SimulatedKind()
