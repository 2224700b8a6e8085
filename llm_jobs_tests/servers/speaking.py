"""A model server in a thread of its own: what it says, in the words of whichever vendor is asked, is a function."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from llm_jobs_tests.servers.models import reply_to
from llm_jobs_tests.servers.wire import Received, Sent, listening

Said = str | tuple[str, str] | int  # a text, a text and how it ends (see `reply_to`), or an HTTP status
Speech = Callable[[Mapping[str, Any]], Said]


@dataclass
class Speaking:
    """Where it listens, and what it was asked, in order."""

    url: str = ""
    bodies: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def asked(self) -> Counter[str]:
        return Counter(str(body["model"]) for body in self.bodies)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that send every vendor's calls here."""
        return {
            "OPENAI_BASE_URL": f"{self.url}/v1",
            "OPENAI_API_KEY": "sk-of-tests",
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "sk-of-tests",
        }


@contextmanager
def speaking_server(speech: Speech) -> Iterator[Speaking]:
    speaking = Speaking()

    def answer(received: Received) -> Sent:
        body = orjson.loads(received.body)
        speaking.bodies.append(body)
        said = speech(body)
        if isinstance(said, int):
            return Sent(status=said, body=b'{"error": {"message": "out of order"}}')
        text, finish = (said, "stop") if isinstance(said, str) else said
        raw = reply_to(received.path, body, text, finish)
        return Sent(status=404) if raw is None else Sent(body=raw)

    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with listening(answer) as server:
            speaking.url = server.url
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    started.wait()
    try:
        yield speaking
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
