"""A small, fast HTTP/1.1 server on asyncio: a function from a received request to what is sent back, and when.

It sends what a well-behaved server never would, on request: half a body, a closed connection, a stray encoding. Fast
enough to measure clients against (one protocol object per connection, no framework).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, cast


@dataclass(frozen=True, slots=True)
class Received:
    """One request. Header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What goes back. `fault`: half of the body under the full length, or the connection closed with nothing said."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    fault: Literal["torn", "closed"] | None = None


Handler = Callable[[Received], Sent]
TURNS_TO_ACCEPT = 8  # of the loop, from a connection's arrival until it has its protocol
_JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class Connection(asyncio.Protocol):
    """Requests of one connection, one after the other."""

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._waiting: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._waiting is not None:
            self._waiting.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while self._waiting is None and (received := self._take()) is not None:
            sent = self._handler(received)
            if sent.delay_s > 0:
                loop = asyncio.get_running_loop()
                self._waiting = loop.call_later(sent.delay_s, self._resume, sent)
            else:
                self._send(sent)

    def _resume(self, sent: Sent) -> None:
        self._waiting = None
        self._send(sent)
        self.data_received(b"")

    def _take(self) -> Received | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        lines = bytes(self._buffer[:end]).decode("utf-8", "surrogateescape").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[end + 4 : length])
        del self._buffer[:length]
        method, target, _ = lines[0].split(" ", 2)
        return Received(method, target, headers, body)

    def _send(self, sent: Sent) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if sent.fault == "closed":
            transport.close()
        elif sent.status == 200 and not sent.headers and sent.fault is None:
            transport.write(_JSON_HEAD % len(sent.body) + sent.body)
        else:
            head = {"content-type": "application/json", **sent.headers, "content-length": str(len(sent.body))}
            lines = [f"HTTP/1.1 {sent.status} Status", *(f"{name}: {value}" for name, value in head.items()), "", ""]
            body = sent.body[: len(sent.body) // 2] if sent.fault == "torn" else sent.body
            transport.write("\r\n".join(lines).encode("utf-8", "surrogateescape") + body)
            if sent.fault == "torn":
                transport.close()


@dataclass(frozen=True, slots=True)
class Listening:
    """A server that listens: its address, and the connections that are open to it now."""

    url: str
    connections: set[Connection]


async def all_accepted() -> None:
    """Until every connection that has arrived has its protocol: asyncio loses the sockets of those that have none yet
    when their server is closed."""
    for _ in range(TURNS_TO_ACCEPT):
        await asyncio.sleep(0)


@asynccontextmanager
async def listening(handler: Handler, *, port: int = 0) -> AsyncIterator[Listening]:
    """Serve `handler` on a free port of 127.0.0.1 in the running loop."""
    connections: set[Connection] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(handler, connections), "127.0.0.1", port)
    try:
        yield Listening(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", connections)
    finally:
        await all_accepted()
        server.close()
        for connection in list(connections):
            connection.close()
        await server.wait_closed()
        await asyncio.sleep(0)
