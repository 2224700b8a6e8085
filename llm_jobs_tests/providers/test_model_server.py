"""The `openai` provider against a real model server: real tokens, usage and finish reasons, from a tiny model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import PermanentError
from llm_jobs.providers.base import Reply, Request
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.registry import open_provider
from llm_jobs_tests.servers.transformers_server import transformers_server

QUESTION = "What is 2 + 2?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    with transformers_server(tmp_path_factory.mktemp("model-server")) as address:
        yield address


async def ask(server: tuple[str, str], times: int = 1, operation: Operation = "chat", **parameters: Any) -> list[Reply]:
    url, name = server
    environment = {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "sk-not-needed"}
    catalogue = Catalogue(environment=environment)
    model = catalogue.resolve(f"openai/{name}").model
    provider = open_provider("openai", environment=environment, catalogue=catalogue)
    body = provider.body(model, operation, [Message(role="user", content=QUESTION)], parameters, None)
    request = Request(endpoint=provider.endpoint(model, operation), model=model, body=body)
    try:
        replies = []
        for _ in range(times):
            answered = await provider.send(request, call_hash="0" * 32, timeout_s=120)
            replies.append(provider.read(request, answered.raw))
        return replies
    finally:
        await provider.aclose()


async def ask_with_sdk(server: tuple[str, str], **parameters: Any) -> Any:
    async with openai.AsyncOpenAI(base_url=server[0], api_key="sk-not-needed", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": QUESTION}]
        return await client.chat.completions.create(model=server[1], messages=messages, **parameters)


def test_a_real_model_answers_as_it_answers_the_vendors_sdk(server: tuple[str, str]) -> None:
    first, second = asyncio.run(ask(server, times=2, max_tokens=8, temperature=0.0))
    theirs = asyncio.run(ask_with_sdk(server, max_tokens=8, temperature=0.0))
    assert first == second
    assert first.output == theirs.choices[0].message.content
    assert (first.status, first.finish_reason) == ("truncated", "length")
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (theirs.usage.prompt_tokens, 8)
    assert first.model == theirs.model


def test_a_server_that_streams_unasked_is_told_at_once(server: tuple[str, str]) -> None:
    with pytest.raises(PermanentError, match="streams its answers"):
        asyncio.run(ask(server, operation="responses", max_output_tokens=4))
