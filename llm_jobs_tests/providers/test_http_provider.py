"""A request's head is written once per key; the key is read at each call and stays nowhere when it is gone."""

from __future__ import annotations

import asyncio
import gc
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

from llm_jobs.errors import PermanentError
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.registry import open_provider
from llm_jobs_tests.providers import kit
from llm_jobs_tests.servers.wire import Received, Sent, listening

NEVER_OURS = (ModuleType, FunctionType, CodeType, type, asyncio.AbstractEventLoop, asyncio.Transport)


def holding(root: object, text: str) -> list[str]:
    """The kinds of what can be reached from `root` and holds `text`."""
    found, seen, waiting = [], {id(root)}, [root]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str | bytes | bytearray) and text.encode() in (
            each.encode("utf-8", "replace") if isinstance(each, str) else each
        ):
            found.append(type(each).__name__)
        for other in gc.get_referents(each):
            if id(other) not in seen and not isinstance(other, NEVER_OURS):
                seen.add(id(other))
                waiting.append(other)
    return found


async def sent_with(keys: list[str | None], *, provider_of: Any = None) -> tuple[list[str | None], list[list[str]]]:
    """One call with each key; what the server got, and what of the keys before is left after each."""
    got: list[str | None] = []
    left: list[list[str]] = []

    def handle(received: Received) -> Sent:
        got.append(received.headers.get("authorization"))
        return kit.answer(received)

    async with listening(handle) as server:
        environment = {"OPENAI_BASE_URL": f"{server.url}/v1"}
        provider = open_provider("openai", environment=environment, catalogue=Catalogue(environment=environment))
        request = kit.OpenAIKind().request(provider, Catalogue(environment=environment))
        for number, key in enumerate(keys):
            environment.pop("OPENAI_API_KEY", None)
            if key is not None:
                environment["OPENAI_API_KEY"] = key
            await provider.send(request, call_hash=kit.HASH, timeout_s=10)
            left.append([kind for old in keys[:number] if old and old != key for kind in holding(provider, old)])
        await provider.aclose()
    return got, left


def test_each_call_carries_the_key_that_is_set_then_and_no_older_one_is_left() -> None:
    keys = ["sk-the-first-key", "sk-the-second-key", None, "sk-the-first-key", "sk-the-first-key"]
    got, left = asyncio.run(sent_with(keys))
    assert got == [f"Bearer {key}" if key else None for key in keys]
    assert left == [[], [], [], [], []]


def test_the_search_for_what_is_left_finds_a_key_that_is_in_use() -> None:
    async def search() -> list[str]:
        async with listening(kit.answer) as server:
            environment = {"OPENAI_BASE_URL": f"{server.url}/v1", "OPENAI_API_KEY": "sk-a-key-in-use"}
            provider = open_provider("openai", environment=environment, catalogue=Catalogue(environment=environment))
            request = kit.OpenAIKind().request(provider, Catalogue(environment=environment))
            await provider.send(request, call_hash=kit.HASH, timeout_s=10)
            environment.clear()
            found = holding(provider, "sk-a-key-in-use")
            await provider.aclose()
            return found

    assert "bytes" in asyncio.run(search())


def test_a_key_that_cannot_be_sent_is_not_kept_either() -> None:
    async def send() -> list[str]:
        environment = {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1", "OPENAI_API_KEY": "sk-a-key-with\na-line-break"}
        provider = open_provider("openai", environment=environment, catalogue=Catalogue(environment=environment))
        request = kit.OpenAIKind().request(provider, Catalogue(environment=environment))
        with pytest.raises(PermanentError, match="cannot be written: the value of the header authorization") as caught:
            await provider.send(request, call_hash=kit.HASH, timeout_s=10)
        assert "sk-a-key" not in repr(caught.value) + str(caught.value.__dict__)
        assert caught.value.__context__ is None
        environment["OPENAI_API_KEY"] = "sk-another-key\n"
        with pytest.raises(PermanentError):
            await provider.send(request, call_hash=kit.HASH, timeout_s=10)
        return holding(provider, "sk-a-key-with")

    assert asyncio.run(send()) == []


def test_members_that_stay_here_are_not_sent() -> None:
    async def send() -> bytes:
        seen: list[bytes] = []

        def handle(received: Received) -> Sent:
            seen.append(received.body)
            return kit.answer(received)

        async with listening(handle) as server:
            environment = {"OPENAI_BASE_URL": f"{server.url}/v1"}
            provider = open_provider("openai", environment=environment, catalogue=Catalogue(environment=environment))
            request = kit.OpenAIKind().request(
                provider, Catalogue(environment=environment), parameters={"seed": 1, "stream": True, "timeout": 5}
            )
            await provider.send(request, call_hash=kit.HASH, timeout_s=10)
            await provider.aclose()
        return seen[0]

    sent = asyncio.run(send())
    assert b'"seed":1' in sent
    assert b"stream" not in sent
    assert b"timeout" not in sent
