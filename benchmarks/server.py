"""A model server that costs next to nothing, so that what is measured is the client.

    python -m benchmarks.server LATENCY_S

Prints its base URL and serves until its standard input ends. `POST` of a chat completion is answered after LATENCY_S
with an answer that holds the last 32 characters before the end of the last message; `GET /_stats` tells how many
requests it answered, the CPU seconds it used and when the last one arrived. It reads no header but the length and
checks nothing: the servers of the tests do that.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import cast

import orjson

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_ANSWER = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"bench-1","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":%s,"refusal":null},"logprobs":null,"finish_reason":"stop"}],"usage":'
    b'{"prompt_tokens":24,"completion_tokens":12,"total_tokens":36,"prompt_tokens_details":{"cached_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0}}}'
)


class Books:
    """What the server did."""

    def __init__(self, latency_s: float) -> None:
        self.latency_s = latency_s
        self.answered = 0
        self.arrived_s = 0.0  # of the last request, on the clock that the processes of a machine share

    def told(self) -> bytes:
        return orjson.dumps({"answered": self.answered, "cpu_s": time.process_time(), "arrived_s": self.arrived_s})


class Connection(asyncio.Protocol):
    """One connection; requests come one after the other, as HTTP/1.1 clients send them."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        if received.startswith(b"GET /_stats"):
            self._received = b""
            self._send(self._books.told())
            return
        if len(received) - end - 4 < _content_length(received, end):
            return
        self._received = b""
        self._books.arrived_s = time.monotonic()
        answer = _answer(received[end + 4 :])
        self._books.answered += 1
        if self._books.latency_s > 0:
            self._loop.call_later(self._books.latency_s, self._send, answer)
        else:
            self._send(answer)

    def _send(self, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(_HEAD % len(body) + body)


def _content_length(received: bytes, end: int) -> int:
    at = received.lower().find(b"content-length:", 0, end)
    return int(received[at + 15 : received.index(b"\r\n", at)]) if at >= 0 else 0


def _answer(body: bytes) -> bytes:
    """An answer of some 480 bytes that depends on the question; curator's first request has none."""
    asked = orjson.loads(body)["messages"]
    said = f"The answer to this is: {asked[-1]['content'][-32:] if asked else ''}"
    return _ANSWER % orjson.dumps(said)


async def _serve(latency_s: float) -> None:
    books = Books(latency_s)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(books), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)
    server.close()


def _run(latency_s: float) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(latency_s))
    else:
        uvloop.run(_serve(latency_s))


if __name__ == "__main__":
    _run(float(sys.argv[1]))
