"""A provider whose model's health is kept: what each sending came to is told, and a cooling model is not asked.

Around the providers of calls that another model may answer, and of no others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelRef
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.engine.health import ModelHealth
from llm_jobs.errors import PermanentError, TransientError
from llm_jobs.limits.limiter import Permit
from llm_jobs.providers.base import Answered, Provider, Reply, Request

TOO_MANY_REQUESTS = 429


class CoolingDown(PermanentError):
    """The model failed too often lately and is left in peace. Nothing was sent."""


class WatchedProvider:
    """`provider` for one model. `insists`: there is nobody else to ask, so the model is asked however it is."""

    def __init__(self, provider: Provider, health: ModelHealth, *, insists: bool) -> None:
        self.kind = provider.kind
        self._provider = provider
        self._health = health
        self._insists = insists

    def endpoint(self, model: ModelRef, operation: Operation) -> Endpoint:
        return self._provider.endpoint(model, operation)

    def body(
        self,
        model: ModelRef,
        operation: Operation,
        messages: Sequence[Message],
        parameters: Mapping[str, JsonValue],
        schema: Mapping[str, JsonValue] | None,
    ) -> dict[str, JsonValue]:
        return self._provider.body(model, operation, messages, parameters, schema)

    def refusal(self, request: Request) -> CoolingDown | None:
        """What `send` would raise now because the model is left in peace; None where it would ask. Changes nothing."""
        if self._insists or not self._health.is_cooling(asyncio.get_running_loop().time()):
            return None
        return _cooling_down(request)

    @contextmanager
    def ending(self, wait: asyncio.Task[Permit]) -> Iterator[None]:
        """`wait`, for a call to be sent, is cancelled where the model begins to cool down meanwhile."""
        if not self._insists:
            self._health.waiting.add(wait.cancel)
        try:
            yield
        finally:
            self._health.waiting.discard(wait.cancel)

    async def send(self, request: Request, *, call_hash: str, timeout_s: float) -> Answered:
        health, now = self._health, asyncio.get_running_loop().time
        was_cooling, admitted = health.coolings > 0, health.admits(now())
        if not admitted and not self._insists:
            raise _cooling_down(request)
        try:
            answered = await self._provider.send(request, call_hash=call_hash, timeout_s=timeout_s)
        except TransientError as error:
            if error.http_status != TOO_MANY_REQUESTS:
                health.failed(now(), probe=was_cooling and admitted)
            raise
        except PermanentError:
            health.answered()
            raise
        health.answered()
        return answered

    def read(self, request: Request, raw: bytes) -> Reply:
        return self._provider.read(request, raw)

    async def aclose(self) -> None:
        """Whoever opened the provider closes it."""


def _cooling_down(request: Request) -> CoolingDown:
    return CoolingDown(f"{request.model.name} is cooling down; nothing was sent", was_sent=False)
