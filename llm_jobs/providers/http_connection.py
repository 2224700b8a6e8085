"""One connection: a request out, a whole answer in, parsed by llhttp (httptools). No retry, no pool, no decision.

Invariants: one request at a time, written once. A connection that said anything unexpected (an early answer, a second
one, trailers, a broken one) or that was cut off is never used again. Everything here runs in the loop's callbacks, so
nothing here raises.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

LARGEST_HEAD_BYTES = 256 * 1024
_WRITTEN_AT_ONCE_BYTES = 64 * 1024  # more is not copied for the sake of one system call


class Broken(Exception):
    """The connection ended, or its answer is none; the text says how and holds nothing of the request."""


class TooLarge(Exception):
    """The answer is larger than any that is expected; the text says how much that is."""


class Heard(NamedTuple):
    """A whole answer as it came. Header names as the server wrote them."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


class Connection(asyncio.BufferedProtocol):
    """The protocol of one connection. `buffer` is shared by the connections of a loop: what is read into it is parsed
    before anything else can be read. An answer of more than `largest_bytes` is refused."""

    def __init__(self, buffer: memoryview, loop: asyncio.AbstractEventLoop, *, largest_bytes: int) -> None:
        self._buffer = buffer
        self._loop = loop
        self._largest_bytes = largest_bytes
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Heard] | None = None
        self._fields: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        # Bound methods of C types: no Python frame per header.
        self.on_header = self._fields.__setitem__
        self.on_body = self._parts.append
        self._parser = HttpResponseParser(self)
        # Of the answer that is coming.
        self._head: dict[bytes, bytes] = {}
        self._body = b""
        self._received = 0
        self._status = 0  # 0: its head is not whole
        self._whole = False
        self._keep = False  # the connection, after this answer
        self._until_end = False  # of the connection, is the body
        self.lost: asyncio.Future[None] = loop.create_future()
        self.idle_since_s = 0.0
        self.usable = False  # for another request

    def ask(self, head: bytes, payload: bytes) -> asyncio.Future[Heard]:
        """Write a request. The future fails with Broken or TooLarge, or with what `fail` is given."""
        waiter = self._waiter = self._loop.create_future()
        self.usable = False
        if self._transport is None:
            self.fail(Broken("it was closed"))
        elif len(payload) < _WRITTEN_AT_ONCE_BYTES:
            self._transport.write(head + payload)
        else:
            self._transport.write(head)
            self._transport.write(payload)
        return waiter

    def fail(self, error: Exception) -> None:
        """End the request in flight, if there is one, with `error`, and the connection with it."""
        self.usable = False
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    def abort(self) -> None:
        """Close at once; what is in flight is given up."""
        self.fail(Broken("it was closed"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.usable = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._until_end and exc is None:
            self._body = self._joined()
            self._finish()
        self.fail(Broken(f"{type(exc).__name__}: {exc}" if exc is not None else "the server closed it"))
        if not self.lost.done():
            self.lost.set_result(None)
            del self._parser  # which holds this object's methods

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._waiter is None:
            self.abort()  # nothing was asked
            return
        self._received += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except (HttpParserError, HttpParserUpgrade) as error:
            if not self._whole:
                self.fail(Broken(f"what it answers is not HTTP/1.1: {error}"))
                return
            self._keep = False
        if self._whole:
            self._finish()
        elif self._status and self._received > self._largest_bytes:
            self.fail(TooLarge(f"a body of more than {self._largest_bytes:,} bytes"))
        elif not self._status and self._received > LARGEST_HEAD_BYTES:
            self.fail(TooLarge(f"a head of more than {LARGEST_HEAD_BYTES:,} bytes"))

    def eof_received(self) -> None:
        """The transport closes itself, and `connection_lost` has the last word."""
        self.usable = False

    def on_message_begin(self) -> None:
        if self._whole:
            self._keep = False  # a second answer to one request

    def on_headers_complete(self) -> None:
        if self._whole:
            return
        parser = self._parser
        status = parser.get_status_code()
        self._keep = parser.should_keep_alive()
        self._head = self._fields.copy()
        self._fields.clear()
        if status < 200:
            return
        self._status = status
        if not self._keep:
            self._until_end = _ends_with_connection(status, self._head)

    def on_message_complete(self) -> None:
        if self._status and not self._whole:
            self._whole = True
            self._body = self._joined()

    def _finish(self) -> None:
        """Hand the answer over and be ready for the next, where nothing speaks against it."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(Heard(self._status, self._head, self._body))
        transport = self._transport
        if transport is not None and (not self._keep or self._fields or transport.get_write_buffer_size()):
            transport.abort()
        elif transport is not None:
            self.usable = True
        self._forget()

    def _joined(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _forget(self) -> None:
        self._parts.clear()
        self._body = b""
        self._head = {}
        self._received = 0
        self._status = 0
        self._keep = self._whole = self._until_end = False


def _ends_with_connection(status: int, head: dict[bytes, bytes]) -> bool:
    """Whether the end of the body is the end of the connection (RFC 9112, 6.3)."""
    fields = {name.lower(): value.lower() for name, value in head.items()}
    if status in (204, 304):
        return False
    coding = fields.get(b"transfer-encoding")
    return b"content-length" not in fields if coding is None else not coding.endswith(b"chunked")
