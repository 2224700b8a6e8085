"""A model server that sells answers and keeps books: tokens vary from question to question as real answers do.

Input tokens are the bytes of all messages / 4.2 and some for the template. Output tokens are log-normal (their
logarithm deviates by 0.6) about a length that is a prompt's own: another wording is answered up to a fifth longer or
shorter, another model up to a third. The same question is always answered alike. What structured answers say is a
seeded value of the schema.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from llm_jobs.providers.simulated_values import conforming
from llm_jobs_tests.servers.wire import Received, Sent, listening

INPUT_USD, OUTPUT_USD = 0.4e-6, 1.6e-6  # per token
USUAL_TOKENS = 60
SPREAD = 0.6


@dataclass(slots=True)
class Shop:
    """The books: every request that was answered, and what it cost."""

    url: str = ""
    sold: list[dict[str, Any]] = field(default_factory=list)
    cost_usd: float = 0.0

    def sell(self, received: Received) -> Sent:
        body = orjson.loads(received.body)
        answer, inputs, outputs = _answer(body)
        self.sold.append(body)
        self.cost_usd += inputs * INPUT_USD + outputs * OUTPUT_USD
        return Sent(body=orjson.dumps(answer))


def _answer(body: dict[str, Any]) -> tuple[dict[str, Any], int, int]:
    random = Random(hashlib.sha256(orjson.dumps(body)).hexdigest())
    asked = "".join(turn["content"] for turn in body["messages"])
    inputs = math.ceil(len(asked.encode()) / 4.2) + 8
    usual = USUAL_TOKENS * _own(body["messages"][0]["content"][:12], 0.2) * _own(body["model"], 0.33)
    outputs = max(1, round(usual * math.exp(random.gauss(0, SPREAD))))
    limit = body.get("max_tokens")
    form = body.get("response_format")
    text = f"An answer to {asked[-20:]} " + "word " * (outputs - 8)
    if form is not None:
        text = orjson.dumps(conforming(form["json_schema"]["schema"], random)).decode()
    is_cut = isinstance(limit, int) and outputs > limit
    outputs = min(outputs, limit or outputs)
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "length" if is_cut else "stop"}
    usage = {"prompt_tokens": inputs, "completion_tokens": outputs, "total_tokens": inputs + outputs}
    answer = {"id": "1", "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage}
    return answer, inputs, outputs


def _own(text: str, most: float) -> float:
    """A factor from 1 - most to 1 + most that is the text's own."""
    return 1 + most * (2 * Random(text).random() - 1)


@contextmanager
def shop() -> Iterator[Shop]:
    """A shop that is open, in a thread of its own."""
    opened: Shop = Shop()
    ready, closing = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def keep() -> None:
        async with listening(opened.sell) as server:
            opened.url = f"{server.url}/v1"
            ready.set()
            await closing.wait()

    def serve() -> None:
        loop.run_until_complete(keep())
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    try:
        yield opened
    finally:
        loop.call_soon_threadsafe(closing.set)
        thread.join()
