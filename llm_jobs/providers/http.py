"""The hot path: one request, one whole answer or one classified error. No retry, no redirect, no cookie, no proxy.

An HTTP/1.1 client for what providers ask, in the files beside this one: the request (`http_request`), the wire
(`http_connection`), the connections to an origin (`http_pool`, `http_addresses`), what an answer means (`http_answers`,
`http_content`). Here they meet, with the deadline of each attempt.
Invariant: a request is written on one connection, once. What happens after that is told, never repeated: it may have
been paid. Why it is our own: docs/decisions/0007-http-client.md.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Mapping

from llm_jobs.errors import CallError, CallTimeout, PermanentError
from llm_jobs.providers.base import Answered
from llm_jobs.providers.http_addresses import Addresses
from llm_jobs.providers.http_answers import judged, unanswered
from llm_jobs.providers.http_connection import Broken, Connection, TooLarge
from llm_jobs.providers.http_pool import ConnectTimeout, NotConnected, Pool, Untrusted
from llm_jobs.providers.http_request import Origin, Prepared, Unwritable, prepare, shown
from llm_jobs.providers.secrets import Scrubber

KEEP_ALIVE_S = 30.0  # below the idle limits of common servers: fewer connections closed under a request
LARGEST_BYTES = 512 * 1024 * 1024  # a batch's answers come in one file; two thousand long vectors as text need 80 MB
_READ_BYTES = 256 * 1024


class HttpChannel:
    """Pools of connections. Belongs to the event loop that runs when the first request is sent."""

    def __init__(
        self, *, connections: int, keep_alive_s: float = KEEP_ALIVE_S, largest_bytes: int = LARGEST_BYTES
    ) -> None:
        """`connections`: at most so many to one origin; 0: as many as there are requests at once. `keep_alive_s`: how
        long a connection stays open for the next request. `largest_bytes`: of an answer, decoded or not."""
        self._connections = connections
        self._keep_alive_s = keep_alive_s
        self._largest_bytes = largest_bytes
        self._pools: dict[str, Pool] = {}
        self._wire: _Wire | None = None

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        payload: bytes | None,
        timeout_s: float,
        scrubber: Scrubber,
    ) -> Answered:
        """Send once and take the whole answer. Raises CallError as `Provider.send`; nothing else but cancellation."""
        prepared = self.prepare(method, url, headers)
        return await self.send(prepared, payload=payload, timeout_s=timeout_s, scrubber=scrubber)

    def prepare(self, method: str, url: str, headers: Mapping[str, str]) -> Prepared:
        """What `send` needs; may be kept as long as `headers` may. Raises PermanentError for what cannot be written."""
        try:
            return prepare(method, url, headers)
        except Unwritable as error:
            refused = f"the request to {shown(url)} cannot be written: {error}; check URL, key, headers"
        # Raised out here, where the failure has no context.
        raise PermanentError(refused)

    async def send(
        self, prepared: Prepared, *, payload: bytes | None, timeout_s: float, scrubber: Scrubber
    ) -> Answered:
        """`exchange` with a head that was prepared before."""
        wire = self._wire or self._opened()
        pool = self._pools.get(prepared.origin.shown) or self._pool(prepared.origin, wire)
        at_s = wire.loop.time() + timeout_s
        head = prepared.head(payload)
        try:
            connection = pool.take() or await pool.wait(at_s)
            try:
                wire.watch(connection, at_s)
                heard = await connection.ask(head, payload or b"")
            finally:
                wire.forget(connection)
                pool.give_back(connection)
            outcome = judged(heard, where=prepared.origin.shown, scrubber=scrubber, largest_bytes=self._largest_bytes)
        except TimeoutError:
            outcome = CallTimeout(f"{prepared.origin.shown} gave no whole answer within {timeout_s:g} s")
        except (Broken, TooLarge, NotConnected, Untrusted, ConnectTimeout) as error:
            outcome = unanswered(error, where=prepared.origin.shown, scrubber=scrubber)
        if isinstance(outcome, CallError):
            raise outcome  # out here, where the failure has no context
        return outcome

    async def aclose(self) -> None:
        pools, self._pools = self._pools, {}
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.stop()
        for pool in pools.values():
            await pool.aclose()

    def _opened(self) -> _Wire:
        self._wire = _Wire(self._largest_bytes)
        return self._wire

    def _pool(self, origin: Origin, wire: _Wire) -> Pool:
        pool = self._pools[origin.shown] = Pool(
            origin,
            limit=self._connections,
            keep_alive_s=self._keep_alive_s,
            addresses=wire.addresses,
            trust=wire.trust,
            protocol=wire.connection,
        )
        return pool


class _Wire:
    """What the connections of one loop share: a buffer, the authorities that are trusted, the deadlines.

    One timer watches all requests: it is set for the earliest deadline, and when it goes off most have been met.
    """

    def __init__(self, largest_bytes: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._largest_bytes = largest_bytes
        self.addresses = Addresses()
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._trusted: ssl.SSLContext | None = None
        self._due_s: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf

    def connection(self) -> Connection:
        return Connection(self._buffer, self.loop, largest_bytes=self._largest_bytes)

    def trust(self) -> ssl.SSLContext:
        """The system's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
        if self._trusted is None:
            self._trusted = ssl.create_default_context()
            self._trusted.set_alpn_protocols(["http/1.1"])
        return self._trusted

    def watch(self, connection: Connection, at_s: float) -> None:
        """Fail what is asked on `connection` with TimeoutError at `at_s`."""
        self._due_s[connection] = at_s
        if at_s < self._timer_s:
            self._set(at_s)

    def forget(self, connection: Connection) -> None:
        del self._due_s[connection]

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, at_s: float) -> None:
        self.stop()
        self._timer_s = at_s
        self._timer = self.loop.call_at(at_s, self._sweep)

    def _sweep(self) -> None:
        now_s = self._timer_s
        for connection in [connection for connection, at_s in self._due_s.items() if at_s <= now_s]:
            connection.fail(TimeoutError())
        self._timer, self._timer_s = None, math.inf
        left = min((at_s for at_s in self._due_s.values() if at_s > now_s), default=None)
        if left is not None:
            self._set(left)
