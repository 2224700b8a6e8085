"""Images in requests: each vendor's words, the very bytes on the wire, and none of them in what is recorded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from llm_jobs.documents.content import Image, ImagePart, TextPart
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import PermanentError, RowError
from llm_jobs.providers.base import BYTES_PER_TOKEN, Request
from llm_jobs.providers.image_parts import with_bytes
from llm_jobs_tests.pictures import png
from llm_jobs_tests.providers.kit import HASH, AnthropicKind, Kind, OllamaKind, OpenAIKind

BYTES = png(7)
DATA = base64.b64encode(BYTES).decode()
DIGEST = hashlib.sha256(BYTES).hexdigest()
URL = "https://images.example/cat.png"


def image(read: Callable[[], bytes] = lambda: BYTES) -> Image:
    return Image(
        sha256=DIGEST, media_type="image/png", size_bytes=len(BYTES), width=8, height=8, detail="low", read=read
    )


def said(*parts: TextPart | ImagePart | Image) -> tuple[Message, ...]:
    return (Message(role="system", content="Be short."), Message(role="user", content=parts))


ASKED = said(TextPart(text=f"what is sha256:{DIGEST}?"), image())
TEXT = f"what is sha256:{DIGEST}?"  # no reference, though it looks like one

SENT: list[tuple[Kind, Operation, Any]] = [
    (
        OpenAIKind(),
        "chat",
        [
            {"type": "text", "text": TEXT},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}", "detail": "low"}},
        ],
    ),
    (
        OpenAIKind(),
        "responses",
        [
            {"type": "input_text", "text": TEXT},
            {"type": "input_image", "image_url": f"data:image/png;base64,{DATA}", "detail": "low"},
        ],
    ),
    (
        AnthropicKind(),
        "chat",
        [
            {"type": "text", "text": TEXT},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}},
        ],
    ),
    (OllamaKind(), "chat", TEXT),
]


async def sent(kind: Kind, operation: Operation, messages: tuple[Message, ...], folder: Path) -> tuple[Request, Any]:
    """The request for `messages`, and the body that the server saw."""
    async with kind.scene("answers", folder) as scene:
        model, parameters = scene.request.model, {"max_tokens": 9} if operation == "chat" else {}
        images = tuple(part for part in messages[-1].content if isinstance(part, ImagePart | Image))
        request = Request(
            endpoint=scene.provider.endpoint(model, operation),
            model=model,
            body=scene.provider.body(model, operation, messages, parameters, None),
            images=images,
        )
        await scene.provider.send(request, call_hash=HASH, timeout_s=10)
        return request, orjson.loads(scene.seen[-1].body)


@pytest.mark.parametrize(("kind", "operation", "content"), SENT, ids=[f"{kind.name} {op}" for kind, op, _ in SENT])
def test_each_vendor_receives_the_bytes_in_its_own_words(
    kind: Kind, operation: Operation, content: Any, tmp_path: Path
) -> None:
    request, body = asyncio.run(sent(kind, operation, ASKED, tmp_path))
    turn = body["input" if operation == "responses" else "messages"][-1]
    assert turn["content"] == content
    assert turn.get("images") == ([DATA] if kind.name == "ollama" else None)
    assert DATA.encode() not in request.json(), "what is recorded holds no bytes of images"
    assert DIGEST.encode() in request.json()


@pytest.mark.parametrize(
    ("kind", "operation", "part"),
    [
        (OpenAIKind(), "chat", {"type": "image_url", "image_url": {"url": URL}}),
        (OpenAIKind(), "responses", {"type": "input_image", "image_url": URL}),
        (AnthropicKind(), "chat", {"type": "image", "source": {"type": "url", "url": URL}}),
    ],
)
def test_an_image_of_the_web_is_sent_by_its_url(kind: Kind, operation: Operation, part: Any, tmp_path: Path) -> None:
    request, body = asyncio.run(sent(kind, operation, said(ImagePart(url=URL)), tmp_path))
    assert body["input" if operation == "responses" else "messages"][-1]["content"] == [part]
    assert orjson.loads(request.json()) == body, "by its text, which is its identity"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:image/png;base64,AAAA", f"sha256:{DIGEST}", ""])
@pytest.mark.parametrize(("kind", "operation"), [(OpenAIKind(), "chat"), (AnthropicKind(), "chat")])
def test_what_is_no_address_of_the_web_is_refused(kind: Kind, operation: Operation, url: str, tmp_path: Path) -> None:
    with pytest.raises(RowError, match="none of http or https"):
        asyncio.run(sent(kind, operation, said(ImagePart(url=url)), tmp_path))


def test_ollama_is_given_no_url(tmp_path: Path) -> None:
    with pytest.raises(RowError, match="name the image as a `file`"):
        asyncio.run(sent(OllamaKind(), "chat", said(ImagePart(url=URL)), tmp_path))


@pytest.mark.parametrize(("kind", "operation", "content"), SENT, ids=[f"{kind.name} {op}" for kind, op, _ in SENT])
def test_an_image_that_changed_is_not_sent(kind: Kind, operation: Operation, content: Any, tmp_path: Path) -> None:
    def read() -> bytes:
        raise PermanentError("the image has changed")

    async def scene() -> None:
        async with kind.scene("answers", tmp_path) as scene:
            request = replace(scene.request, body={"messages": []}, images=(image(read),))
            with pytest.raises(PermanentError, match="has changed"):
                await scene.provider.send(request, call_hash=HASH, timeout_s=10)
            assert scene.seen == []

    asyncio.run(scene())


def test_parts_of_texts_alone_are_a_system_s_too(tmp_path: Path) -> None:
    parts = (TextPart(text="one"), TextPart(text="two"))
    messages = (Message(role="system", content=parts), Message(role="user", content=parts))
    _, body = asyncio.run(sent(AnthropicKind(), "chat", messages, tmp_path))
    assert body["system"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    _, body = asyncio.run(sent(OllamaKind(), "chat", messages, tmp_path))
    assert body["messages"] == [{"role": "system", "content": "one\ntwo"}, {"role": "user", "content": "one\ntwo"}]


def test_the_same_image_twice_is_put_in_twice() -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "", "images": [image().reference] * 2}]}
    assert with_bytes(body, [image(), image()])["messages"] == [{"role": "user", "content": "", "images": [DATA, DATA]}]
    assert body["messages"][0]["images"] == [image().reference] * 2, "the body itself is as it was"


@pytest.mark.parametrize(
    ("width", "height", "tokens"), [(8, 8, 1), (750, 100, 100), (1000, 1000, 1334), (8000, 8000, 1600), (8000, 10, 5)]
)
def test_an_image_is_estimated_by_its_size_in_pixels(width: int, height: int, tokens: int) -> None:
    estimated = replace(image(), width=width, height=height)
    assert estimated.tokens == tokens
    request = Request(endpoint=None, model=None, body={"messages": []}, images=(estimated,))  # type: ignore[arg-type]
    assert request.size() == len(request.json()) + BYTES_PER_TOKEN * tokens
