"""A server that says exactly the bytes that it is told to, per connection and per request; its books are kept."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from llm_jobs_tests.servers.wire import all_accepted


@dataclass(frozen=True, slots=True)
class Say:
    """Bytes to send, one after the other in pieces where there are several; then the connection is closed or not."""

    pieces: tuple[bytes, ...] = ()
    close: bool = False


def say(*pieces: bytes, close: bool = False) -> Say:
    return Say(pieces, close)


# From the number of a connection and the number of a request on it, both from 0. None: no answer ever.
Script = Callable[[int, int], Say | None]


@dataclass
class Played:
    """The requests by connection, as they came, and how many connections are open now."""

    port: int = 0
    requests: list[list[bytes]] = field(default_factory=list)
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # some connection has ended

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/chat"

    def all(self) -> list[bytes]:
        return [request for requests in self.requests for request in requests]

    async def until_open(self, count: int) -> None:
        """Wait until so many connections are open."""
        while len(self.writers) != count:
            self.ended.clear()
            await self.ended.wait()

    def close_all(self) -> None:
        """Close every connection, as a server does that finds them idle."""
        for writer in self.writers:
            writer.close()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    _, found, rest = head.lower().partition(b"content-length:")
    return head + (await reader.readexactly(int(rest.split(b"\r\n")[0])) if found else b"")


@asynccontextmanager
async def playing(
    script: Script, *, host: str = "127.0.0.1", trust: ssl.SSLContext | None = None
) -> AsyncIterator[Played]:
    """Play `script` on a free port of the loopback interface."""
    played = Played()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        played.requests.append([])
        requests, number = played.requests[-1], len(played.requests) - 1
        played.writers.add(writer)
        played.ended.set()
        try:
            while True:
                requests.append(await _request(reader))
                said = script(number, len(requests) - 1)
                for piece in said.pieces if said is not None else ():
                    writer.write(piece)
                    await writer.drain()
                if said is not None and said.close:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer.close()
            played.writers.discard(writer)
            played.ended.set()

    server = await asyncio.start_server(serve, host, 0, ssl=trust)
    played.port = server.sockets[0].getsockname()[1]
    try:
        yield played
    finally:
        await all_accepted()
        server.close()
        for writer in list(played.writers):
            writer.transport.abort()
        await played.until_open(0)
