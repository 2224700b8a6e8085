"""What only Ollama has: the digest of a model's weights."""

from __future__ import annotations

import asyncio

import pytest

from llm_jobs.errors import NotFound, SetupError
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.ollama import OllamaProvider
from llm_jobs_tests.servers.replay import ModelServer
from llm_jobs_tests.servers.wire import listening

MODELS = [{"name": "llama3.2:latest", "model": "llama3.2:latest", "digest": "a" * 64}, {"name": "b:7b", "digest": "b"}]


async def digest(name: str, url: str) -> str:
    environment = {"OLLAMA_HOST": url}
    catalogue = Catalogue(environment=environment)
    provider = OllamaProvider(environment=environment, catalogue=catalogue)
    try:
        return await provider.digest(catalogue.resolve(name).model)
    finally:
        await provider.aclose()


async def served(name: str) -> str:
    async with listening(ModelServer(models=MODELS)) as server:
        return await digest(name, server.url)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ollama/llama3.2", "a" * 64), ("ollama/llama3.2:latest", "a" * 64), ("ollama/b:7b", "b")],
)
def test_the_digest_of_the_weights_is_told(name: str, expected: str) -> None:
    assert asyncio.run(served(name)) == expected


def test_a_model_that_is_not_there_comes_with_the_remedy() -> None:
    with pytest.raises(NotFound, match=r"b:7b.*ollama pull b"):
        asyncio.run(served("ollama/b"))


def test_a_server_that_is_not_there_is_an_error_of_the_setup() -> None:
    with pytest.raises(SetupError, match="ollama serve"):
        asyncio.run(digest("ollama/b", "http://127.0.0.1:1"))
