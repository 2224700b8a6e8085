"""What an answer says: finish reasons become statuses, tokens are counted once, half an answer is none."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.errors import CallError, PermanentError, RateLimited, TransientError
from llm_jobs.providers.base import Provider, Reply, Request, Usage
from llm_jobs.providers.catalogue import Catalogue
from llm_jobs.providers.registry import open_provider
from llm_jobs_tests.servers.models import reply_to

PATHS = {
    "openai": ("/v1/chat/completions", "/v1/responses"),
    "anthropic": ("/v1/messages",),
    "ollama": ("/api/chat",),
    "simulated": ("/chat/completions", "/responses"),
}
_NO_MESSAGE = b'{"choices": [{"message": "text"}], "message": "text", "content": "text", "output": "text"}'
_NOTHING = b'{"choices": null, "message": null, "content": null, "output": null}'
STATUSES = {"stop": "succeeded", "length": "truncated", "filtered": "filtered", "refused": "refused", "empty": "empty"}
NOT_THERE = {("ollama", "filtered"), ("ollama", "refused"), ("anthropic", "filtered")}


def provider_of(kind: str) -> Provider:
    return open_provider(kind, environment={}, catalogue=Catalogue(environment={}))


def read(kind: str, path: str, raw: bytes | Mapping[str, Any], pointer: str | None = None) -> Reply:
    model = ModelRef(name="m", provider=kind, upstream="m", base_url="")
    endpoint = Endpoint(provider=kind, base_url="", path=path)
    request = Request(endpoint=endpoint, model=model, body={}, answer_pointer=pointer)
    return provider_of(kind).read(request, raw if isinstance(raw, bytes) else orjson.dumps(raw))


@pytest.mark.parametrize(
    ("kind", "path", "finish"),
    [(k, p, f) for k, paths in PATHS.items() for p in paths for f in STATUSES if (k, f) not in NOT_THERE],
)
def test_a_finish_reason_becomes_a_status(kind: str, path: str, finish: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a b c"}], "input": "a b c"}
    raw = reply_to(path, body, "the text", finish)
    assert raw is not None
    reply = read(kind, path, raw)
    assert reply.status == STATUSES[finish]
    if finish in ("stop", "length"):
        assert reply.output == "the text"
        assert reply.usage.completion_tokens == 2


def test_cached_tokens_are_part_of_the_prompt_for_every_provider() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a b c d"}], "input": "a b c d"}
    for kind, path in (("openai", "/v1/chat/completions"), ("openai", "/v1/responses")):
        usage = read(kind, path, reply_to(path, body, "x") or b"").usage
        assert usage == Usage(prompt_tokens=4, completion_tokens=1, cached_tokens=1, reasoning_tokens=0)
    usage = read("anthropic", "/v1/messages", reply_to("/v1/messages", body, "x") or b"").usage
    assert usage == Usage(prompt_tokens=4 + 3 + 2, completion_tokens=1, cached_tokens=2, cache_write_tokens=3)


def test_what_was_written_to_the_cache_is_part_of_the_prompt_for_every_provider() -> None:
    told = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 600, "ephemeral_1h_input_tokens": 400},
        "output_tokens": 5,
    }
    usage = read("anthropic", "/v1/messages", {"content": [], "usage": told}).usage
    assert usage == Usage(prompt_tokens=1010, completion_tokens=5, cache_write_tokens=1000, cache_write_1h_tokens=400)
    chat = {"prompt_tokens": 1010, "completion_tokens": 5, "prompt_tokens_details": {"cache_write_tokens": 1000}}
    usage = read("openai", "/chat/completions", {"choices": [{"message": {"content": "x"}}], "usage": chat}).usage
    assert usage == Usage(prompt_tokens=1010, completion_tokens=5, cache_write_tokens=1000)
    responses = {"input_tokens": 1010, "output_tokens": 5, "input_tokens_details": {"cache_write_tokens": 1000}}
    usage = read("openai", "/responses", {"output": [], "usage": responses}).usage
    assert usage == Usage(prompt_tokens=1010, completion_tokens=5, cache_write_tokens=1000)


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"prompt_tokens": "4"}, [1]])
def test_tokens_that_are_not_stated_are_not_zero(usage: Any) -> None:
    answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "usage": usage}
    assert read("openai", "/chat/completions", answer).usage == Usage()


def test_the_tier_that_served_a_call_is_read() -> None:
    chat = {"choices": [{"message": {"content": "x"}}], "service_tier": "flex", "usage": {"prompt_tokens": 4}}
    assert read("openai", "/chat/completions", chat).usage == Usage(prompt_tokens=4, tier="flex")
    responses = {"output": [], "service_tier": "priority", "usage": {"input_tokens": 4}}
    assert read("openai", "/responses", responses).usage == Usage(prompt_tokens=4, tier="priority")


def test_a_call_of_a_tool_is_an_answer_whose_text_is_the_message() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}
    chat = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
    reply = read("openai", "/chat/completions", chat)
    assert reply.status == "succeeded"
    assert orjson.loads(str(reply.output)) == message
    blocks = [{"type": "tool_use", "id": "1", "name": "f", "input": {}}]
    said = read("anthropic", "/v1/messages", {"content": blocks, "stop_reason": "tool_use"})
    assert orjson.loads(str(said.output)) == blocks
    item = {"type": "function_call", "name": "f", "arguments": "{}"}
    responses = read("openai", "/responses", {"status": "completed", "output": [item]})
    assert orjson.loads(str(responses.output)) == [item]
    local = read("ollama", "/api/chat", {"message": {"content": "", "tool_calls": [{}]}, "done_reason": "stop"})
    assert orjson.loads(str(local.output)) == {"content": "", "tool_calls": [{}]}


def test_content_in_parts_is_one_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    answer = {"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]}
    assert read("openai", "/chat/completions", answer).output == "ab"


def test_vectors_come_as_numbers_or_as_base64_and_alone_or_in_a_list() -> None:
    encoded = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    assert read("openai", "/embeddings", {"data": [{"embedding": encoded}]}).output == [0.5, -1.0]
    two = {"data": [{"embedding": [0.5]}, {"embedding": [1.5]}]}
    assert read("openai", "/embeddings", two).output == [[0.5], [1.5]]
    assert read("ollama", "/api/embed", {"embeddings": [[0.5]], "prompt_eval_count": 3}).output == [0.5]
    assert read("openai", "/embeddings", {"data": [{"embedding": []}]}).status == "empty"


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"choices": []}', b"[]", b'"text"', b"{}", b"<html>", b'{"choices": [1]}', _NO_MESSAGE, _NOTHING],
)
def test_half_an_answer_is_asked_again(kind: str, raw: bytes) -> None:
    with pytest.raises(TransientError, match="answer"):
        read(kind, PATHS[kind][0], raw)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "overloaded", "code": 502}, TransientError),
        ({"message": "overloaded", "type": "server_error"}, TransientError),
        ({"message": "slow down", "code": 429}, RateLimited),
        ({"message": "no such model", "code": 404}, PermanentError),
        ("it broke", TransientError),
    ],
)
def test_an_error_in_an_answer_that_looks_good_is_an_error(error: Any, expected: type[CallError]) -> None:
    with pytest.raises(expected) as caught:
        read("openai", "/chat/completions", {"error": error})
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("pointer", "output", "status"),
    [
        ("/result/0/text", "hello", "succeeded"),
        ("/result/1", "[1,2]", "succeeded"),
        ("/a~1b/~0c", "odd", "succeeded"),
        ("/result/7", None, "empty"),
        ("/nothing/here", None, "empty"),
        (None, '{"result":[{"text":"hello"},[1,2]],"a/b":{"~c":"odd"},"usage":{"prompt_tokens":3}}', "succeeded"),
    ],
)
def test_a_commands_answer_is_where_its_pointer_says(pointer: str | None, output: str | None, status: str) -> None:
    answer = {"result": [{"text": "hello"}, [1, 2]], "a/b": {"~c": "odd"}, "usage": {"prompt_tokens": 3}}
    reply = read("command", "/", answer, pointer)
    assert (reply.output, reply.status, reply.usage.prompt_tokens) == (output, status, 3)


def test_a_commands_answer_may_be_plain_text() -> None:
    assert read("command", "/", b"just text").output == "just text"
    assert read("command", "/", b"").status == "empty"
