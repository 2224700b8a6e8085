"""The batch endpoints by themselves: what they send, whom they give keys, what they make of strange answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.errors import CallError, PermanentError, SetupError, TransientError
from llm_jobs.providers.batches import BatchEndpoint, BatchLimits, BatchTarget, Progress, Ticket, inputs_of, is_full
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.registry import open_batch_endpoint
from llm_jobs_tests.servers.batches import BatchServer, batch_server
from llm_jobs_tests.servers.wire import Received, Sent, listening

T = TypeVar("T")
KEY = "sk-batch-secret-key-0123456789"
PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages"}
BODY: dict[str, JsonValue] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}


def endpoint(kind: str, url: str, *, listed: bool = True) -> BatchEndpoint:
    """An endpoint whose key is set; `listed`: its address is one that may have the key."""
    named = {"openai": "OPENAI", "anthropic": "ANTHROPIC"}[kind]
    environment = {f"{named}_API_KEY": KEY}
    if listed:
        environment[f"{named}_BASE_URL"] = url
    return open_batch_endpoint(
        kind, environment=environment, catalogue=Catalogue(environment=environment), folder=Path("unused")
    )


def target(kind: str, url: str) -> BatchTarget:
    model = ModelRef(name=f"{kind}/m", provider=kind, upstream="m", base_url=url)
    headers = {"anthropic-version": "2023-06-01"} if kind == "anthropic" else {}
    return BatchTarget(model=model, endpoint=Endpoint(provider=kind, base_url=url, path=PATHS[kind], headers=headers))


def ticket(kind: str, url: str, **members: Any) -> Ticket:
    return Ticket(target=target(kind, url), token="t" * 32, calls=1, recorded_ns=0, **members)


def served(kind: str, act: Callable[[BatchServer, BatchEndpoint, str], Awaitable[T]], *, listed: bool = True) -> T:
    """What `act` does with an endpoint of a server."""
    with batch_server() as server:
        url = server.openai_url if kind == "openai" else server.url

        async def go() -> T:
            opened = endpoint(kind, url, listed=listed)
            try:
                return await act(server, opened, url)
            finally:
                await opened.aclose()

        return asyncio.run(go())


async def submitted(opened: BatchEndpoint, kind: str, url: str) -> str:
    content = opened.content([opened.request(target(kind, url), "a" * 32, BODY)])
    asked = ticket(kind, url)
    file_id = await opened.upload(asked, content)
    return await opened.submit(ticket(kind, url, file_id=file_id), content)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_batch_goes_there_and_comes_back(kind: str) -> None:
    async def act(server: BatchServer, opened: BatchEndpoint, url: str) -> None:
        vendor_id = await submitted(opened, kind, url)
        assert not (await opened.poll(target(kind, url), vendor_id)).ended
        server.finish()
        progress = await opened.poll(target(kind, url), vendor_id)
        assert (progress.ended, progress.answered, progress.total) == (True, 1, 1)
        [line] = [line async for line in opened.lines(target(kind, url), vendor_id, progress)]
        assert (line.custom_id, line.status) == ("a" * 32, "answered")
        assert b"echo: Hello" in (line.raw or b"")

    served(kind, act)


def test_what_openai_is_sent_is_a_line_of_its_batch_file() -> None:
    opened = endpoint("openai", "http://gateway/openai/v1")
    body = {**BODY, "stream": True, "api_key": "x"}
    line = orjson.loads(opened.request(target("openai", "http://gateway/openai/v1"), "a" * 32, body))
    assert line == {"custom_id": "a" * 32, "method": "POST", "url": "/v1/chat/completions", "body": BODY}


def test_what_anthropic_is_sent_is_a_list_of_requests() -> None:
    opened = endpoint("anthropic", "http://gateway")
    one = opened.request(target("anthropic", "http://gateway"), "a" * 32, {**BODY, "stream": True})
    assert orjson.loads(opened.content([one])) == {"requests": [{"custom_id": "a" * 32, "params": BODY}]}
    assert orjson.loads(opened.content([])) == {"requests": []}


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_key_goes_to_listed_addresses_only(kind: str) -> None:
    async def act(server: BatchServer, opened: BatchEndpoint, url: str) -> set[str]:
        await submitted(opened, kind, url)
        return server.keys

    assert served(kind, act) == {f"Bearer {KEY}"}
    assert served(kind, act, listed=False) == set()


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_key_that_a_server_repeats_is_in_no_error(kind: str, status: int) -> None:
    def careless(received: Received) -> Sent:
        said = f"{received.headers['authorization']} is wrong"
        errors = {"data": [{"code": "bad", "message": said, "line": 1}]}
        body = {"id": "b1", "status": "failed", "errors": errors, "error": {"message": said}, "processing_status": said}
        return Sent(status=status, body=orjson.dumps(body))

    async def go() -> str:
        async with listening(careless) as address:
            opened = endpoint(kind, address.url)
            try:
                return repr(await opened.poll(target(kind, address.url), "b1"))
            except CallError as error:
                return str(error)
            finally:
                await opened.aclose()

    told = asyncio.run(go())
    assert "wrong" in told
    assert KEY not in told


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("body", [b"[]", b"<html>", b"{}", b'{"id": 7}'])
def test_an_answer_that_is_none_leaves_it_open_whether_the_batch_was_made(kind: str, body: bytes) -> None:
    async def go() -> None:
        async with listening(lambda received: Sent(body=body)) as address:
            opened = endpoint(kind, address.url)
            try:
                await opened.submit(ticket(kind, address.url, file_id="f"), b"")
            finally:
                await opened.aclose()

    with pytest.raises(TransientError):
        asyncio.run(go())


def test_providers_without_batches_say_so(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="ollama has no batch endpoint"):
        open_batch_endpoint("ollama", environment={}, catalogue=Catalogue(environment={}), folder=tmp_path)


def test_a_simulated_batch_that_nobody_made_is_absent(tmp_path: Path) -> None:
    opened = open_batch_endpoint("simulated", environment={}, catalogue=Catalogue(environment={}), folder=tmp_path)
    asked = ticket("openai", "")
    assert asyncio.run(opened.find(asked, known=frozenset(), custom_ids=frozenset())).absent
    with pytest.raises(PermanentError):
        asyncio.run(opened.poll(asked.target, "simulated-x"))


def test_progress_is_the_same_after_it_was_recorded() -> None:
    progress = Progress(
        status="failed",
        ended=True,
        total=3,
        refusal="file",
        reason="no",
        bad_lines={2: "bad"},
        files={"error": "f"},
    )
    assert Progress.from_json("failed", orjson.loads(orjson.dumps(progress.to_json()))) == progress


@pytest.mark.parametrize(
    ("requests", "size", "inputs", "full"),
    [(5, 100, 5, False), (6, 100, 6, True), (5, 101, 5, True), (2, 10, 21, True)],
)
def test_a_file_is_full_at_the_first_limit_it_passes(requests: int, size: int, inputs: int, full: bool) -> None:
    limits = BatchLimits(requests=5, bytes=100, inputs=20)
    assert is_full(limits, requests=requests, bytes=size, inputs=inputs) is full


def test_embeddings_count_their_texts() -> None:
    assert inputs_of({"input": ["a", "b", "c"]}) == 3
    assert inputs_of({"input": "a"}) == 1
    assert inputs_of({"messages": [], "input": ["a", "b"]}) == 1
