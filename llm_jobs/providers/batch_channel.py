"""What the vendors' batch endpoints share over HTTP: one request with its model's key, answers as JSON or lines.

The key of a model goes where the catalogue lists it, as for a call; an address that a vendor's answer names is never
followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from llm_jobs.errors import PermanentError, TransientError
from llm_jobs.providers.base import Answered
from llm_jobs.providers.batches import BatchTarget
from llm_jobs.providers.http_provider import AccessRules
from llm_jobs.providers.secrets import KeyRing, Scrubber
from llm_jobs.providers.vendors import origin_of

if TYPE_CHECKING:
    from llm_jobs.providers.http import HttpChannel

CONTROL_TIMEOUT_S = 60.0
TRANSFER_TIMEOUT_S = 900.0  # of a file of some hundred megabytes
CONNECTIONS = 4


class BatchChannel:
    """Requests to one vendor's batch endpoint. Looks keys up at each request and keeps none."""

    def __init__(self, *, environment: Mapping[str, str], catalogue: AccessRules) -> None:
        self._catalogue = catalogue
        self._keys = KeyRing(environment, names=catalogue.key_names())
        self._channel: HttpChannel | None = None

    async def send(
        self,
        method: str,
        target: BatchTarget,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        payload: bytes | None = None,
        timeout_s: float = CONTROL_TIMEOUT_S,
    ) -> Answered:
        """One request below the base URL of `target`. Raises CallError."""
        endpoint = target.endpoint
        key = self._keys.key(self._catalogue.access(target.model), origin_of(endpoint.base_url))
        head = {"accept": "application/json", **endpoint.headers, **(headers or {})}
        if key is not None:
            head["authorization"] = f"Bearer {key}"
        return await self._open().exchange(
            method,
            endpoint.base_url + path,
            headers=head,
            payload=payload,
            timeout_s=timeout_s,
            scrubber=self._keys.scrubber(),
        )

    async def json(
        self, method: str, target: BatchTarget, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The JSON object that is answered. Raises CallError."""
        payload = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        return whole_object(await self.send(method, target, path, headers=headers, payload=payload))

    async def whole(self, target: BatchTarget, path: str) -> bytes:
        """The bytes of a file. Raises CallError, also where less came than was announced."""
        return (await self.send("GET", target, path, timeout_s=TRANSFER_TIMEOUT_S)).raw

    @property
    def scrubber(self) -> Scrubber:
        return self._keys.scrubber()

    async def aclose(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.aclose()

    def _open(self) -> HttpChannel:
        if self._channel is None:
            # Imported when the first request is sent, as for calls: it is slow to import.
            from llm_jobs.providers.http import HttpChannel

            self._channel = HttpChannel(connections=CONNECTIONS)
        return self._channel


def whole_object(answered: Answered) -> dict[str, Any]:
    """A JSON object, or TransientError: a vendor that answers something else may mend itself."""
    try:
        found = orjson.loads(answered.raw)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise TransientError("the batch endpoint answered something that is no JSON object")
    return found


def text_of(found: Mapping[str, Any], name: str) -> str:
    """A member that has to be text. Raises TransientError."""
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise TransientError(f"the batch endpoint's answer has no {name}")
    return value


def json_lines(content: bytes) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Each line with its JSON object, None where it holds none (a torn line, an empty object of another kind)."""
    start = 0
    while start < len(content):  # one line at a time: all of them would be the file once more
        end = content.find(b"\n", start)
        end = len(content) if end < 0 else end
        text = content[start:end].strip()
        start = end + 1
        if text:
            try:
                found = orjson.loads(text)
            except orjson.JSONDecodeError:
                found = None
            yield text, found if isinstance(found, dict) else None


def bytes_of(body: Mapping[str, Any]) -> bytes:
    """A body as JSON. Raises PermanentError."""
    try:
        return orjson.dumps(body)
    except TypeError as error:
        raise PermanentError(f"the request body cannot be written as JSON: {error}") from None
