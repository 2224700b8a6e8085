"""A seeded plan of what goes wrong: 429 with Retry-After, 500, torn bodies, closed connections, slow answers, poison.

A decision depends on the seed and on how often this body was seen, so that a repeated request meets another fate.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Literal
from urllib.parse import quote, quote_plus

from llm_jobs_tests.servers.wire import Received, Sent

Echo = Literal["plain", "url", "json"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultPlan:
    """Shares of requests, 0 to 1, that meet each fault; together at most 1. `poison`: a text that is answered 400."""

    seed: int = 0
    rate_limited: float = 0.0
    retry_after_s: float = 1.0
    failing: float = 0.0
    torn: float = 0.0
    closed: float = 0.0
    slow: float = 0.0
    slow_s: float = 60.0
    poison: str | None = None
    echo_headers: Echo | None = None  # errors repeat the request's headers; so do answers

    def decide(self, body_hash: str, seen: int, received: Received) -> Sent | None:
        """What goes wrong with this request; None: nothing. `seen`: how often its body came before."""
        if self.poison is not None and self.poison.encode() in received.body:
            return Sent(status=400, body=_error("the prompt is poison", self._echo(received)))
        drawn = Random(f"{self.seed} {body_hash} {seen}").random()
        for share, sent in self._fates(received):
            if drawn < share:
                return sent
            drawn -= share
        return None

    def _fates(self, received: Received) -> list[tuple[float, Sent]]:
        echo = self._echo(received)
        wait = {"retry-after": f"{self.retry_after_s:g}"}
        return [
            (self.rate_limited, Sent(status=429, headers=wait, body=_error("slow down", echo))),
            (self.failing, Sent(status=500, body=_error("the server failed", echo))),
            (self.torn, Sent(body=b'{"id": "half of an answer that never', fault="torn")),
            (self.closed, Sent(fault="closed")),
            (self.slow, Sent(status=500, body=_error("too late", echo), delay_s=self.slow_s)),
        ]

    def _echo(self, received: Received) -> str:
        return echoed(received.headers, self.echo_headers) if self.echo_headers else ""


def echoed(headers: Mapping[str, str], form: Echo) -> str:
    """The request's headers as a careless server repeats them."""
    text = "; ".join(f"{name}={value}" for name, value in headers.items())
    if form == "url":
        lower = re.sub("%..", lambda pair: pair[0].lower(), quote_plus(text))
        return f"{quote(text, safe='')} {lower}"
    return text if form == "plain" else json.dumps(text)


def _error(message: str, echo: str) -> bytes:
    said = f"{message}: {echo}" if echo else message
    return json.dumps({"error": {"message": said, "type": "error", "code": None}}).encode()
