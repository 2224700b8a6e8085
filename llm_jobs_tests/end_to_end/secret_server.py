"""A model server that repeats the headers of each request wherever it can, encoded as the question asks.

A question reads `<anything> <behaviour> <form>`: what happens, and how the headers are written in it. A behaviour
that ends in `once` happens the first time only; any other question is answered. The server runs in a thread and keeps
every request.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import orjson

from llm_jobs_tests.servers.models import asked, reply_to
from llm_jobs_tests.servers.wire import Received, Sent, listening


def _as_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _base64_each(text: str) -> str:
    return " ".join(base64.b64encode(b"x" * start + text.encode()).decode() for start in range(3))


FORMS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "url": lambda text: quote(text, safe=""),
    "url-plus": quote_plus,
    "url-lower": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "url-twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: _as_json(text).replace("/", "\\/"),
    "json-in-json": lambda text: _as_json(_as_json(text)),
    "json-unicode": lambda text: "".join(f"\\u{ord(character):04x}" for character in text),
    "html": lambda text: html.escape(text, quote=True),
    "html-numbers": lambda text: "".join(f"&#{ord(c)};" if not c.isalnum() else c for c in text),
    "base64": _base64_each,
}


def _status(status: int, headers: Mapping[str, str] | None = None) -> Callable[[str], Sent]:
    return lambda echo: Sent(status=status, headers=headers or {}, body=_error(echo))


BEHAVIOURS: Mapping[str, Callable[[str], Sent | None]] = {
    "answers": lambda echo: None,
    "fails-once": _status(500),
    "limits-once": _status(429, {"retry-after": "0"}),
    "tears-once": lambda echo: Sent(body=_error(echo), fault="torn"),
    "closes-once": lambda echo: Sent(fault="closed"),
    "garbles-once": lambda echo: Sent(body=f"<html>{echo}</html>".encode(), headers={"content-type": "text/html"}),
    "refuses": _status(400),
    "forbids": _status(401),
    "redirects": lambda echo: Sent(status=302, headers={"location": f"http://127.0.0.1:1/?{quote(echo)}"}),
}


@dataclass(kw_only=True)
class SecretServer:
    """A running server. `hooks`: what is done when a question holds a text, before it is answered."""

    url: str = ""
    seen: list[Received] = field(default_factory=list)
    hooks: dict[str, Callable[[], None]] = field(default_factory=dict)
    _times: Counter[bytes] = field(default_factory=Counter)

    def __call__(self, received: Received) -> Sent:
        self.seen.append(received)
        if received.path == "/api/tags":
            listed = [{"name": "m:latest", "model": "m:latest", "digest": "0" * 64, "details": _headers(received)}]
            return Sent(body=orjson.dumps({"models": listed}))
        body = orjson.loads(received.body)
        question = asked(body)
        for text, hook in self.hooks.items():
            if text in question:
                hook()
        *_, behaviour, form = ("answers", "plain", *question.split())
        if behaviour not in BEHAVIOURS:
            behaviour, form = "answers", "plain"
        echo = FORMS[form](f"{received.target}; {_headers(received)}")
        self._times[received.body] += 1
        sent = None if behaviour.endswith("-once") and self._times[received.body] > 1 else BEHAVIOURS[behaviour](echo)
        raw = reply_to(received.path, body, f"answer to {question}: {echo}")
        return sent or Sent(body=raw or b"", headers={"x-echo": _one_line(echo), "x-request-id": _one_line(echo)})


@contextmanager
def secret_server() -> Iterator[SecretServer]:
    """A server on a free port, in a thread that ends with the block."""
    server = SecretServer()
    started, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with listening(server) as address:
            server.url = address.url
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert started.wait(timeout=30), "the server did not start"
        yield server
    finally:
        ended.set()
        thread.join(timeout=30)


def _headers(received: Received) -> str:
    return "; ".join(f"{name}: {value}" for name, value in received.headers.items())


def _error(echo: str) -> bytes:
    return json.dumps({"error": {"message": f"no: {echo}", "type": "error", "code": None}}).encode()


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
