"""Quotas in Redis, for many machines: one script per exchange, run where the counts are; the server tells the time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from llm_jobs.errors import SetupError
from llm_jobs.limits.base import Ask, Grant
from llm_jobs.limits.room import in_order

if TYPE_CHECKING:
    import redis

# The number is the form of the state: another version of the program that counts otherwise counts apart.
PREFIX = "llm-jobs:limits:1:"
TIMEOUT_S = 10.0


class RedisLimitStore:
    """The counts in the Redis server at `url`. `now_ms` None: the server's clock. Raises SetupError."""

    def __init__(self, url: str, *, now_ms: Callable[[], int] | None = None) -> None:
        import redis  # a fifth of a second, and only for those whose quotas are here

        self._driver_error: type[Exception] = redis.RedisError
        self._shown = _without_password(url)
        self._now_ms = now_ms
        self._client: redis.Redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
        script = resources.files("llm_jobs.limits").joinpath("decide.lua").read_text(encoding="utf-8")
        self._script: Any = self._client.register_script(script)

    def exchange(self, key: str, ask: Ask) -> Grant:
        now = "" if self._now_ms is None else str(self._now_ms())
        try:
            answer = self._script(keys=[PREFIX + key], args=[packed(ask), now])
        except self._driver_error as error:
            raise self._unusable(error) from None
        hot, cold, ahead, slot, keep, retry_ms, paused_ms, contended = answer
        return Grant(hot, cold, ahead, slot, None if keep < 0 else keep, retry_ms, paused_ms, contended == 1)

    def migrate(self) -> None:
        """Nothing to make; raises SetupError where the server does not answer."""
        try:
            self._client.ping()
        except self._driver_error as error:
            raise self._unusable(error) from None

    def close(self) -> None:
        self._client.close()

    def _unusable(self, error: Exception) -> SetupError:
        return SetupError(
            f"the quotas at {self._shown} cannot be used: check that the server runs ({type(error).__name__})"
        )


def packed(ask: Ask) -> bytes:
    """An ask as the script reads it."""
    return orjson.dumps(
        [
            ask.owner,
            [-1 if most is None else most for most in in_order(ask.limits)],
            int(ask.limits.burst_s * 1000),
            ask.hot,
            ask.cold,
            ask.hot_waiting,
            ask.cold_waiting,
            ask.ahead,
            ask.in_use,
            ask.corrections,
            ask.pause_ms,
            ask.told,
            ask.leaving,
        ]
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}{parts.path}"
