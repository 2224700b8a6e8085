"""The hot path: one request over aiohttp, one whole answer or one classified error. No retry, no redirect, no cookie.

aiohttp repeats a GET on a connection that was closed under it; here every attempt is counted and may be paid, so
only POST shares connections, and any other method gets one of its own.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import aiohttp
from aiohttp import ClientTimeout
from yarl import URL

from llm_jobs.errors import CallError, CallTimeout, PermanentError, TransientError
from llm_jobs.providers.base import Answered
from llm_jobs.providers.failures import failure_of
from llm_jobs.providers.secrets import Scrubber

_USER_AGENT = "llm-jobs"
_DNS_TTL_S = 300
_KEEP_ALIVE_S = 30  # below the idle limits of common servers: fewer connections closed under a request
_CONNECT_S = 30.0


class HttpChannel:
    """A pool of connections. Belongs to the event loop that runs when the first request is sent."""

    def __init__(self, *, connections: int) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._unshared: aiohttp.ClientSession | None = None
        self._urls: dict[str, URL] = {}
        self._timeouts: dict[float, ClientTimeout] = {}

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
        outcome = await self._attempt(method, url, headers, payload, timeout_s, scrubber)
        if isinstance(outcome, CallError):
            # Raised out here, where no exception of aiohttp's, which knows the request's headers, is its context.
            raise outcome
        return outcome

    async def _attempt(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        payload: bytes | None,
        timeout_s: float,
        scrubber: Scrubber,
    ) -> Answered | CallError:
        try:
            session = self._session_for(method)
            async with session.request(
                method,
                self._urls.get(url) or self._url(url),
                data=payload,
                headers=headers,
                timeout=self._timeouts.get(timeout_s) or self._timeout(timeout_s),
                allow_redirects=False,
            ) as response:
                raw = scrubber.raw(await response.read())
                status = response.status
                said = scrubber.headers({name.lower(): value for name, value in response.headers.items()})
        except TimeoutError:
            return CallTimeout(f"{_host(url)} gave no whole answer within {timeout_s:g} s")
        except (aiohttp.ClientError, ssl.SSLError, OSError, ValueError) as error:
            return _classified(error, url, scrubber)
        if 200 <= status < 300:
            if said.get("content-type", "").startswith("text/event-stream"):
                return PermanentError(f"{_host(url)} streams its answers unasked; choose another endpoint or operation")
            return Answered(raw=raw, headers=said)
        return failure_of(status=status, headers=said, raw=raw, where=_host(url), scrubber=scrubber)

    async def aclose(self) -> None:
        for session in (self._session, self._unshared):
            if session is not None:
                await session.close()
        self._session = self._unshared = None

    def _session_for(self, method: str) -> aiohttp.ClientSession:
        if method == "POST":
            if self._session is None:
                self._session = _session(self._connections, force_close=False)
            return self._session
        if self._unshared is None:
            self._unshared = _session(self._connections, force_close=True)
        return self._unshared

    def _url(self, url: str) -> URL:
        parsed = self._urls[url] = URL(url)
        return parsed

    def _timeout(self, timeout_s: float) -> ClientTimeout:
        timeout = self._timeouts[timeout_s] = ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, _CONNECT_S))
        return timeout


def _session(connections: int, *, force_close: bool) -> aiohttp.ClientSession:
    keep = None if force_close else _KEEP_ALIVE_S
    connector = aiohttp.TCPConnector(
        limit=connections, ttl_dns_cache=_DNS_TTL_S, force_close=force_close, keepalive_timeout=keep
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": _USER_AGENT},
        timeout=ClientTimeout(total=None),
    )


def _classified(error: Exception, url: str, scrubber: Scrubber) -> CallError:
    host = _host(url)
    told = scrubber.text(f"{type(error).__name__}: {error}")[:300]
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return PermanentError(f"{host} has no certificate that can be trusted; set SSL_CERT_FILE to its authority")
    if isinstance(error, aiohttp.InvalidURL) or (
        isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError)
    ):
        # The text of a ValueError may quote the header that holds the key.
        return PermanentError(
            f"the request to {host} cannot be written ({type(error).__name__}); check URL, key, headers"
        )
    if isinstance(error, aiohttp.ClientConnectorError):
        return TransientError(f"no connection to {host}: {told}")
    return TransientError(f"the connection to {host} broke off before the whole answer: {told}")


def _host(url: str) -> str:
    parsed = URL(url)
    return f"{parsed.scheme}://{parsed.authority}"
