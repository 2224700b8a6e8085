"""The requests of this project are those of the vendors' own SDKs: same path, same JSON, same headers that matter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anthropic
import ollama
import openai
import orjson
import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.providers.base import Request
from llm_jobs.providers.vendors import ollama_url
from llm_jobs_tests.providers.kit import HASH, AnthropicKind, Kind, OllamaKind, OpenAIKind, answer
from llm_jobs_tests.servers.wire import Received, Sent, listening

TURNS: list[Any] = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "4"},
    {"role": "user", "content": "3 + 3? ä😀"},
]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"sum": {"type": "integer"}},
    "required": ["sum"],
    "additionalProperties": False,
}
STRICT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
TEXT = {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}
OPTIONS = {"num_ctx": 4096, "seed": 7, "temperature": 0.5, "num_predict": 64, "stop": ["\n"]}
Ask = Callable[[str], Awaitable[Any]]


def openai_sdk(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="sk-key", max_retries=0)


def anthropic_sdk(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="sk-key", max_retries=0)


async def chat(url: str, **members: Any) -> None:
    async with openai_sdk(url) as client:
        await client.chat.completions.create(model="model-1", messages=TURNS, **members)


async def respond(url: str, **members: Any) -> None:
    async with openai_sdk(url) as client:
        await client.responses.create(model="model-1", input=TURNS, **members)


async def embed(url: str, **members: Any) -> None:
    async with openai_sdk(url) as client:
        await client.embeddings.create(model="model-1", input=TURNS[-1]["content"], **members)


async def say(url: str, **members: Any) -> None:
    async with anthropic_sdk(url) as client:
        await client.messages.create(model="model-1", system="Be short.", messages=TURNS[1:], **members)


async def ollama_chat(url: str, **members: Any) -> None:
    async with ollama.AsyncClient(url, headers={"Authorization": "Bearer sk-key"}) as client:
        await client.chat(model="model-1", messages=TURNS, **members)


async def ollama_embed(url: str, **members: Any) -> None:
    async with ollama.AsyncClient(url, headers={"Authorization": "Bearer sk-key"}) as client:
        await client.embed(model="model-1", input=TURNS[-1]["content"], **members)


Case = tuple[Kind, Operation, dict[str, Any], dict[str, Any] | None, Callable[..., Awaitable[None]], dict[str, Any]]
CASES: Mapping[str, Case] = {
    "chat": (OpenAIKind(), "chat", {}, None, chat, {}),
    "chat with parameters": (
        OpenAIKind(),
        "chat",
        {"temperature": 0.0, "seed": 7, "stop": ["\n"], "logit_bias": {"50256": -100}, "max_completion_tokens": 64},
        None,
        chat,
        {"temperature": 0.0, "seed": 7, "stop": ["\n"], "logit_bias": {"50256": -100}, "max_completion_tokens": 64},
    ),
    "chat with a schema": (OpenAIKind(), "chat", {}, SCHEMA, chat, {"response_format": STRICT}),
    "responses": (OpenAIKind(), "responses", {}, None, respond, {}),
    "responses with parameters": (
        OpenAIKind(),
        "responses",
        {"reasoning": {"effort": "low"}, "max_output_tokens": 64},
        SCHEMA,
        respond,
        {"reasoning": {"effort": "low"}, "max_output_tokens": 64, "text": TEXT},
    ),
    "embeddings": (
        OpenAIKind(),
        "embeddings",
        {"dimensions": 8, "encoding_format": "float"},
        None,
        embed,
        {"dimensions": 8, "encoding_format": "float"},
    ),
    "messages": (AnthropicKind(), "chat", {"max_tokens": 64}, None, say, {"max_tokens": 64}),
    "messages with parameters": (
        AnthropicKind(),
        "chat",
        {"max_tokens": 64, "stop_sequences": ["x"], "thinking": {"type": "adaptive"}},
        None,
        say,
        {"max_tokens": 64, "stop_sequences": ["x"], "thinking": {"type": "adaptive"}},
    ),
    "messages with a schema": (
        AnthropicKind(),
        "chat",
        {"max_tokens": 64, "output_config": {"effort": "low"}},
        SCHEMA,
        say,
        {"max_tokens": 64, "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}}},
    ),
    "ollama chat": (OllamaKind(), "chat", OPTIONS, None, ollama_chat, {"options": OPTIONS, "tools": None}),
    "ollama chat with members": (
        OllamaKind(),
        "chat",
        {"think": True, "keep_alive": "5m", "temperature": 0.0, "max_tokens": 9},
        SCHEMA,
        ollama_chat,
        {"think": True, "keep_alive": "5m", "options": {"temperature": 0.0, "num_predict": 9}, "format": SCHEMA},
    ),
    "ollama embed": (
        OllamaKind(),
        "embeddings",
        {"dimensions": 4, "truncate": True, "num_ctx": 512},
        None,
        ollama_embed,
        {"dimensions": 4, "truncate": True, "options": {"num_ctx": 512}},
    ),
}
# Members that an SDK adds and that say nothing: an empty list of tools is no tools.
EMPTY: Mapping[str, Any] = {"tools": []}
BEHAVIOUR_HEADERS = ("authorization", "x-api-key", "anthropic-version", "anthropic-beta", "content-type")


@pytest.mark.parametrize("name", CASES)
def test_the_request_is_that_of_the_vendors_sdk(tmp_path: Path, name: str) -> None:
    kind, operation, parameters, schema, sdk, members = CASES[name]
    seen: list[Received] = []

    def handle(received: Received) -> Sent:
        seen.append(received)
        return answer(received)

    async def both() -> None:
        async with listening(handle) as server:
            await sdk(server.url, **members)
            environment = dict.fromkeys((kind.key_variable,), "sk-key") | kind.environment(server.url)
            environment[kind.key_variable] = "sk-key"
            await ours(kind, environment, operation, parameters, schema, tmp_path)

    asyncio.run(both())
    theirs, own = seen
    assert (own.method, own.target) == (theirs.method, theirs.target)
    expected = {key: value for key, value in orjson.loads(theirs.body).items() if EMPTY.get(key, ...) != value}
    assert orjson.loads(own.body) == expected
    for header in BEHAVIOUR_HEADERS:
        assert own.headers.get(header) == theirs.headers.get(header), header


async def ours(
    kind: Kind,
    environment: Mapping[str, str],
    operation: Operation,
    parameters: Mapping[str, JsonValue],
    schema: Mapping[str, JsonValue] | None,
    folder: Path,
) -> None:
    provider = kind.open(environment, folder)
    model = kind.catalogue(environment).resolve(f"{kind.name}/model-1").model
    messages = [Message(**turn) for turn in (TURNS[-1:] if operation == "embeddings" else TURNS)]
    body = provider.body(model, operation, messages, parameters, schema)
    request = Request(endpoint=provider.endpoint(model, operation), model=model, body=body)
    await provider.send(request, call_hash=HASH, timeout_s=10)
    await provider.aclose()


@pytest.mark.parametrize(
    "host",
    [
        "1.2.3.4",
        ":56789",
        "1.2.3.4:56789",
        "http://1.2.3.4",
        "https://1.2.3.4",
        "example.com",
        "http://example.com:80",
        "example.com/path/",
        "https://example.com:56789/path",
        "[::1]",
        "[::1]:56789",
        "http://[::1]",
    ],
)
def test_an_ollama_host_is_read_as_the_sdk_reads_it(host: str) -> None:
    theirs = str(ollama.Client(host)._client.base_url).rstrip("/")
    assert ollama_url(host) == theirs


def test_the_bytes_keep_the_order_in_which_the_user_wrote_the_members(tmp_path: Path) -> None:
    async def ask() -> bytes:
        async with OpenAIKind().scene("answers", tmp_path) as scene:
            body: dict[str, JsonValue] = {"z": 1, "model": "model-1", "a": [True], "messages": TURNS}
            await scene.provider.send(
                Request(endpoint=scene.request.endpoint, model=scene.request.model, body=body),
                call_hash=HASH,
                timeout_s=10,
            )
            return scene.seen[0].body

    assert asyncio.run(ask()).startswith(b'{"z":1,"model":"model-1","a":[true],"messages":[')


@pytest.mark.parametrize("kind", [OpenAIKind(), OllamaKind()])
def test_what_is_no_part_of_the_question_stays_here(tmp_path: Path, kind: Kind) -> None:
    async def ask() -> Any:
        async with kind.scene("answers", tmp_path) as scene:
            body: dict[str, JsonValue] = {**scene.request.body, "api_key": "sk-in-clear", "stream": True, "timeout": 3}
            request = Request(endpoint=scene.request.endpoint, model=scene.request.model, body=body)
            await scene.provider.send(request, call_hash=HASH, timeout_s=10)
            return orjson.loads(scene.seen[0].body)

    sent = asyncio.run(ask())
    assert not {"api_key", "timeout"} & sent.keys()
    assert not sent.get("stream")
