"""The hot path: one request, one whole answer or one classified error. No retry, no redirect, no cookie, no proxy.

An HTTP/1.1 client for what providers ask, in the files beside this one: the wire (`http_request`, `http_connection`),
connections (`http_pool`, `http_addresses`). Here are the deadline of each attempt and the class of each failure.
Invariant: a request is written on one connection, once. What happens after that is told, never repeated: it may have
been paid. Why it is our own: docs/decisions/0007-http-client.md.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Mapping

from llm_jobs.errors import CallError, CallTimeout, PermanentError, TransientError
from llm_jobs.providers.base import Answered
from llm_jobs.providers.failures import failure_of
from llm_jobs.providers.http_addresses import Addresses
from llm_jobs.providers.http_connection import LARGEST_BODY_BYTES, Broken, Connection, Heard, TooLarge
from llm_jobs.providers.http_content import Inflated, Torn, UnknownCoding, decoded
from llm_jobs.providers.http_pool import CONNECT_S, ConnectTimeout, NotConnected, Pool, Untrusted
from llm_jobs.providers.http_request import Origin, Prepared, Unwritable, prepare, shown
from llm_jobs.providers.secrets import Scrubber

_READ_BYTES = 256 * 1024
_SEARCHED_AT_ONCE_BYTES = 64 * 1024


class HttpChannel:
    """Pools of connections. Belongs to the event loop that runs when the first request is sent."""

    def __init__(self, *, connections: int) -> None:
        """`connections`: at most so many to one origin; 0: as many as there are requests at once."""
        self._connections = connections
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
            outcome: Answered | CallError = _judged(heard, prepared.origin.shown, scrubber)
        except TimeoutError:
            outcome = CallTimeout(f"{prepared.origin.shown} gave no whole answer within {timeout_s:g} s")
        except (Broken, TooLarge, NotConnected, Untrusted, ConnectTimeout) as error:
            outcome = _classified(error, prepared.origin.shown, scrubber)
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
        self._wire = _Wire()
        return self._wire

    def _pool(self, origin: Origin, wire: _Wire) -> Pool:
        pool = self._pools[origin.shown] = Pool(
            origin, limit=self._connections, addresses=wire.addresses, trust=wire.trust, protocol=wire.connection
        )
        return pool


class _Wire:
    """What the connections of one loop share: a buffer, the authorities that are trusted, the deadlines.

    One timer watches all requests: it is set for the earliest deadline, and when it goes off most have been met.
    """

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.addresses = Addresses()
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._trusted: ssl.SSLContext | None = None
        self._due_s: dict[Connection, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = math.inf

    def connection(self) -> Connection:
        return Connection(self._buffer, self.loop)

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


def _judged(heard: Heard, where: str, scrubber: Scrubber) -> Answered | CallError:
    status, fields, body = heard
    told = b"\0".join((*fields, *fields.values()))  # neither can hold a zero byte
    # One search for the head and a short body together: most answers hold nothing.
    clean = len(body) < _SEARCHED_AT_ONCE_BYTES and not scrubber.suspicious(b"\0".join((told, body)))
    headers = _headers(told if clean else scrubber.raw(told), len(fields))
    if "content-encoding" in headers or "transfer-encoding" in headers:
        decoded = _decoded(body, headers, status, where)
        if isinstance(decoded, CallError):
            return decoded
        clean, body = clean and decoded is body, decoded
    raw = body if clean else scrubber.raw(body)
    if not 200 <= status < 300:
        return failure_of(status=status, headers=headers, raw=raw, where=where, scrubber=scrubber)
    if headers.get("content-type", "").startswith("text/event-stream"):
        return PermanentError(f"{where} streams its answers unasked; choose another endpoint or operation")
    return Answered(raw=raw, headers=headers)


def _headers(told: bytes, count: int) -> dict[str, str]:
    """The headers of an answer, their names in lower case, from all names and then all values."""
    texts = told.decode("utf-8", "surrogateescape").split("\0")
    return {name.lower(): value.strip() for name, value in zip(texts, texts[count:], strict=False)} if count else {}


def _decoded(body: bytes, headers: Mapping[str, str], status: int, where: str) -> bytes | CallError:
    """The body without encodings. Where a failure's cannot be undone, the failure is told without its text."""
    try:
        if headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise UnknownCoding
        return decoded(body, headers.get("content-encoding", ""), limit=LARGEST_BODY_BYTES)
    except (Torn, Inflated, UnknownCoding) as error:
        return b"" if status >= 300 else _undecodable(error, where)


def _undecodable(error: Exception, where: str) -> CallError:
    if isinstance(error, Torn):
        return TransientError(f"the compressed answer of {where} is not whole")
    if isinstance(error, Inflated):
        return _too_large(where)
    return PermanentError(f"{where} encodes its answers in a way that was not asked for; choose another endpoint")


def _classified(error: Exception, where: str, scrubber: Scrubber) -> CallError:
    told = scrubber.text(str(error))[:300]
    match error:
        case Untrusted():
            return PermanentError(f"{where} has no certificate that can be trusted; set SSL_CERT_FILE to its authority")
        case NotConnected():
            return TransientError(f"no connection to {where}: {told}")
        case ConnectTimeout():
            return CallTimeout(f"{where} took no connection within {CONNECT_S:g} s")
        case TooLarge():
            return _too_large(where)
    return TransientError(f"the connection to {where} broke off before the whole answer: {told}")


def _too_large(where: str) -> PermanentError:
    return PermanentError(f"{where} answers with more than {LARGEST_BODY_BYTES >> 20} MiB; ask for less at once")
