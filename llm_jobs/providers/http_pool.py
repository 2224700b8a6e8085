"""The connections to one origin: opened when needed, used again, closed when idle.

Invariants: at most `limit` requests are in flight, and as many connections open (0: as many as are asked for). The
connection that was used last is used next, so that those which a server is about to close fall idle and are closed
here. One that closed while it was idle is passed over: nothing was written on it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable

from llm_jobs.providers.http_addresses import Address, Addresses
from llm_jobs.providers.http_connection import Broken, Connection
from llm_jobs.providers.http_request import Origin

CONNECT_S = 30.0
_PROBE_S = 60  # of silence, before the system asks whether the peer is there: an answer may take many minutes
_PROBES = 5


class NotConnected(Exception):
    """No connection could be opened; the text says why."""


class Untrusted(Exception):
    """The server's certificate cannot be checked, or is another's."""


class ConnectTimeout(Exception):
    """No connection was opened in `CONNECT_S`."""


class Pool:
    """One origin's connections. Belongs to the running loop."""

    def __init__(
        self,
        origin: Origin,
        *,
        limit: int,
        keep_alive_s: float,
        addresses: Addresses,
        trust: Callable[[], ssl.SSLContext],
        protocol: Callable[[], Connection],
    ) -> None:
        self._origin = origin
        self._free = limit
        self._bounded = limit > 0
        self._keep_alive_s = keep_alive_s
        self._addresses = addresses
        self._trust = trust
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()  # for a place
        self._idle: list[Connection] = []  # the one used last at the end
        self._open: set[Connection] = set()
        self._tidying: asyncio.TimerHandle | None = None
        self._closed = False

    def take(self) -> Connection | None:
        """An idle connection and a place, at once; None where there is none. Then `wait` has one."""
        if self._bounded:
            if not self._free:
                return None
            connection = self._pop()
            self._free -= connection is not None
            return connection
        return self._pop()

    async def wait(self, at_s: float) -> Connection:
        """A connection and a place. Raises TimeoutError at `at_s`, and NotConnected, Untrusted or ConnectTimeout."""
        if self._bounded:
            await self._wait_for_place(at_s)
        connection = None
        try:
            connection = self._pop() or await self._opened(at_s)
        finally:
            if connection is None:
                self._leave()
        return connection

    def give_back(self, connection: Connection) -> None:
        """The connection and its place. One that cannot be used again is closed."""
        if connection.usable:
            connection.idle_since_s = self._loop.time()
            self._idle.append(connection)
            if self._tidying is None:
                self._tidying = self._loop.call_later(self._keep_alive_s, self._tidy)
        else:
            connection.abort()
        if self._bounded:
            self._leave()

    async def aclose(self) -> None:
        """Close every connection and wait until the sockets are closed."""
        self._closed = True
        if self._tidying is not None:
            self._tidying.cancel()
        self._idle.clear()
        closing = list(self._open)
        for connection in closing:
            connection.abort()
        for connection in closing:
            await connection.lost

    def _pop(self) -> Connection | None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable and connection.idle_since_s > self._loop.time() - self._keep_alive_s:
                return connection
            connection.abort()
        return None

    async def _wait_for_place(self, at_s: float) -> None:
        if self._free:
            self._free -= 1
            return
        place = self._loop.create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout_at(at_s):
                await place
        except BaseException:
            if place.done() and not place.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        """Pass the place on."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1

    def _tidy(self) -> None:
        """Close what is idle too long."""
        idle = self._idle
        now_s = self._loop.time()
        old = next((at for at, each in enumerate(idle) if each.idle_since_s + self._keep_alive_s > now_s), len(idle))
        for connection in idle[:old]:
            connection.abort()
        del idle[:old]
        again_s = idle[0].idle_since_s + self._keep_alive_s if idle else 0
        self._tidying = self._loop.call_at(again_s, self._tidy) if idle else None

    async def _opened(self, at_s: float) -> Connection:
        until_s = min(at_s, self._loop.time() + CONNECT_S)
        try:
            async with asyncio.timeout_at(until_s):
                connection = await self._connected(until_s)
        except TimeoutError:
            if until_s < at_s:
                raise ConnectTimeout from None
            raise
        except ssl.CertificateError:
            raise Untrusted from None
        except OSError as error:
            raise NotConnected(f"{type(error).__name__}: {error}") from None
        if self._closed:
            connection.abort()
            raise Broken("it was closed")
        return connection

    async def _connected(self, until_s: float) -> Connection:
        """A connection to the first address that takes one; each gets an equal share of the time that is left."""
        found = await self._addresses.of(self._origin.host, self._origin.port)
        last: OSError = OSError("the name has no address")
        for number, address in enumerate(found):
            share_s = (until_s - self._loop.time()) / (len(found) - number)
            try:
                async with asyncio.timeout(share_s):
                    return await self._connected_to(address)
            except ssl.CertificateError:
                raise
            except OSError as error:  # a TimeoutError is one
                last = error
                self._addresses.drop(self._origin.host, self._origin.port, address)
        raise last

    async def _connected_to(self, address: Address) -> Connection:
        found = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            found.setblocking(False)
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_S)
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S)
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
            await self._loop.sock_connect(found, address.sockaddr)
        except BaseException:
            found.close()
            raise
        secured = self._origin.scheme == "https"
        _, connection = await self._loop.create_connection(
            self._protocol,
            sock=found,
            ssl=self._trust() if secured else None,
            server_hostname=self._origin.host.rstrip(".") if secured else None,
        )
        self._open.add(connection)
        connection.lost.add_done_callback(lambda _: self._open.discard(connection))
        return connection
