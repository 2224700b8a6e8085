"""What the providers behind HTTP share: where a request goes, which headers it gets, one attempt at it.

The HTTP client is imported when the first request is sent: a job whose answers are all recorded needs it never.
Invariant: what was prepared with a key is kept no longer than the `Scrubber` that removes that key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import orjson

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.errors import PermanentError
from llm_jobs.providers.base import Answered, Reply, Request
from llm_jobs.providers.image_parts import body_to_send
from llm_jobs.providers.secrets import Access, KeyRing
from llm_jobs.providers.vendors import origin_of

if TYPE_CHECKING:
    from llm_jobs.providers.http import HttpChannel
    from llm_jobs.providers.http_request import Prepared
    from llm_jobs.providers.secrets import Scrubber

# Members that never leave this process: answers are taken whole, and a key travels in a header or not at all.
_NOT_SENT = frozenset({"api_key", "background", "stream", "stream_options", "timeout"})
_FIXED_HEADERS = {"content-type": "application/json", "accept": "application/json"}


class AccessRules(Protocol):
    """The part of the model catalogue that decides who gets which key."""

    def access(self, model: ModelRef) -> Access: ...

    def origins_for(self, key_name: str) -> frozenset[str]: ...

    def key_names(self) -> frozenset[str]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Target:
    method: str
    url: str
    origin: str
    headers: Mapping[str, str]


class HttpProvider:
    """One attempt at a request, with the key of its model where the catalogue allows it."""

    kind: str

    def __init__(self, *, environment: Mapping[str, str], catalogue: AccessRules, connections: int = 100) -> None:
        """`connections`: at most so many are open at once. The keys are read from `environment` at each call."""
        self._catalogue = catalogue
        self._connections = connections
        self._keys = KeyRing(environment, names=catalogue.key_names())
        self._channel: HttpChannel | None = None
        self._targets: dict[tuple[str, str], _Target] = {}
        self._access: dict[ModelRef, Access] = {}
        self._prepared: dict[tuple[_Target, str | None], Prepared] = {}
        self._scrubber: Scrubber | None = None  # of the keys in `_prepared`

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        raise NotImplementedError

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        raise NotImplementedError

    def read(self, request: Request, raw: bytes) -> Reply:
        raise NotImplementedError

    def authorisation(self, key: str) -> dict[str, str]:
        """The headers that carry a key."""
        return {"authorization": f"Bearer {key}"}

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        """One attempt, as `Provider.send`."""
        endpoint = request.endpoint
        target = self._targets.get((endpoint.base_url, endpoint.path)) or self._target(endpoint)
        access = self._access.get(request.model) or self._look_up(request.model)
        scrubber = self._keys.scrubber()
        if scrubber is not self._scrubber:  # a key was changed
            self._prepared.clear()
            self._scrubber = scrubber
        key = self._keys.key(access, target.origin)
        prepared = self._prepared.get((target, key)) or self._prepare(target, key)
        return await self.channel().send(
            prepared,
            payload=await asyncio.to_thread(self.payload, request) if request.images else self.payload(request),
            timeout_s=timeout_s,
            scrubber=scrubber,
        )

    def payload(self, request: Request) -> bytes:
        """The bytes of a request body, members in their order. Reads the images where there are any, which blocks."""
        body = body_to_send(request)
        try:
            if not request.images and _NOT_SENT.isdisjoint(body):
                return request.json()
            return orjson.dumps({name: value for name, value in body.items() if name not in _NOT_SENT})
        except TypeError as error:
            raise PermanentError(f"the request body cannot be written as JSON: {error}") from None

    def channel(self) -> HttpChannel:
        if self._channel is None:
            from llm_jobs.providers.http import HttpChannel

            self._channel = HttpChannel(connections=self._connections)
        return self._channel

    async def aclose(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.aclose()

    def _target(self, endpoint: Endpoint) -> _Target:
        url = endpoint.base_url + endpoint.path
        target = _Target(endpoint.method, url, origin_of(endpoint.base_url), {**_FIXED_HEADERS, **endpoint.headers})
        self._targets[endpoint.base_url, endpoint.path] = target
        return target

    def _prepare(self, target: _Target, key: str | None) -> Prepared:
        headers = {**target.headers, **self.authorisation(key)} if key else target.headers
        prepared = self._prepared[target, key] = self.channel().prepare(target.method, target.url, headers)
        return prepared

    def _look_up(self, model: ModelRef) -> Access:
        access = self._access[model] = self._catalogue.access(model)
        return access
