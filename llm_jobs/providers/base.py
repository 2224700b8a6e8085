"""The contract of a provider: a way to reach models.

A provider builds requests (pure), sends one (never sleeps, never retries, raises classified errors) and reads answers
(pure). It looks its key up by name at the moment of the call and returns bytes from which every form of that key has
been removed. Retries, quotas, hashing and recording belong to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Literal, Protocol, runtime_checkable

import orjson

from llm_jobs.documents.content import Image, ImagePart
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.values import value

BYTES_PER_TOKEN = 4  # of English text, in the vendors' words
ReplyStatus = Literal["succeeded", "truncated", "refused", "filtered", "empty"]


@value
class Request:
    """One whole request as it reaches the model. Strings in `body` are final."""

    endpoint: Endpoint
    model: ModelRef
    body: Mapping[str, JsonValue]
    answer_pointer: str | None = None
    images: tuple[ImagePart | Image, ...] = ()  # of the body, which holds references where their bytes will stand
    _json: bytes | None = field(default=None, init=False, repr=False, compare=False)

    def json(self) -> bytes:
        """The body as JSON, members in their order; written once. Raises TypeError for what JSON does not know."""
        if self._json is None:
            self._json = orjson.dumps(self.body)  # type: ignore[misc] # kept, not changed
        return self._json

    def size(self) -> int:
        """What tokens are estimated by: the bytes of the JSON, and of each image as many as text of its tokens has."""
        size = len(self.json())
        return size + BYTES_PER_TOKEN * sum(image.tokens for image in self.images) if self.images else size


@value
class Usage:
    """Tokens as the provider counted them. `prompt_tokens` includes `cached_tokens` (read from the vendor's cache) and
    `cache_write_tokens` (written to it), these include `cache_write_1h_tokens` (written for an hour), and
    `completion_tokens` includes `reasoning_tokens`. `tier`: the vendor's word for how it served the call, which may
    change the price. None: not stated."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    tier: str | None = None


@value
class Reply:
    """What a raw answer says. `output` is text, or a list of floats for embeddings."""

    status: ReplyStatus
    output: JsonValue
    usage: Usage
    finish_reason: str | None  # the provider's own word
    model: str | None  # the model that answered, as the provider names it


@value
class Answered:
    """The body of a successful HTTP answer, secrets removed, with the response headers in lower case."""

    raw: bytes
    headers: Mapping[str, str]


class Provider(Protocol):
    """One way to reach models. Instances belong to one event loop between `open` and `aclose`."""

    kind: str

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        """Where `operation` of `model` is asked. Raises DocumentError if the provider does not offer it."""

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        """The request body for rendered messages. Unknown parameters pass through."""

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        """One attempt. Raises PermanentError, TransientError, RateLimited or CallTimeout; never anything else."""

    def read(self, request: Request, raw: bytes) -> Reply:
        """What `raw`, an answer to `request`, says. Raises TransientError if it is not a whole answer."""

    async def aclose(self) -> None:
        """Give back connections and processes."""


@runtime_checkable
class Pulls(Protocol):
    """A provider whose server downloads models."""

    async def pull(self, model: ModelRef) -> None:
        """Download `model` where it is not there yet. Raises CallError."""


@runtime_checkable
class Digests(Protocol):
    """A provider that reads the weights of its models itself."""

    def digest(self, model: ModelRef) -> str | None:
        """Of the weights, where they are here."""
