"""One request to an HTTP endpoint, by the standard library: no redirect, no proxy, no cookie, a deadline for the whole.

What comes back is a `Response`, whatever its status; what gets no answer is a DeliveryError. Whether it is repeated is
not decided here.
"""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Protocol
from urllib.parse import urlsplit

from llm_jobs.errors import DeliveryError

LARGEST_ANSWER_BYTES = 64 * 1024  # read of what an endpoint answers; nothing in it is needed
USER_AGENT = "llm-jobs"


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def wait_s(self) -> float | None:
        """Seconds that Retry-After (RFC 9110) asks to wait; a date is measured against the answer's own Date."""
        stated = self.headers.get("retry-after", "").strip()
        try:
            seconds = float(stated)
        except ValueError:
            return self._until(stated)
        return max(0.0, seconds) if math.isfinite(seconds) else None

    def _until(self, stated: str) -> float | None:
        try:
            until, now = parsedate_to_datetime(stated), parsedate_to_datetime(self.headers.get("date", ""))
            return max(0.0, (until - now).total_seconds())
        except (ValueError, TypeError):
            return None


class Send(Protocol):
    """Sends one request. Raises DeliveryError where no whole answer came in time."""

    def __call__(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Response: ...


class Channel:
    """Sends by one connection, which is kept open for the next request."""

    def __init__(self) -> None:
        self._connection: HTTPConnection | None = None
        self._origin = ""

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Response:
        until_s = time.monotonic() + timeout_s
        try:
            connection = self._connected(url, timeout_s)
            connection.request(method, _target(url), body=body, headers={"User-Agent": USER_AGENT, **headers})
            return self._answer(connection.getresponse(), until_s)
        except (OSError, HTTPException) as error:
            self._close()
            what = "no whole answer in time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
        raise DeliveryError(f"{url}: {what}")  # out here: the cause may hold the request

    def _answer(self, response: HTTPResponse, until_s: float) -> Response:
        parts, length = [], 0
        while length < LARGEST_ANSWER_BYTES and (part := response.read1(LARGEST_ANSWER_BYTES - length)):
            parts.append(part)
            length += len(part)
            if time.monotonic() > until_s:
                raise TimeoutError
        headers = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close or not response.isclosed():
            self._close()
        return Response(status=response.status, headers=headers, body=b"".join(parts))

    def _connected(self, url: str, timeout_s: float) -> HTTPConnection:
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if self._connection is None or self._origin != origin:
            self._close()
            host, port = parts.hostname or "", parts.port
            self._connection = (
                HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
                if parts.scheme == "https"
                else HTTPConnection(host, port, timeout=timeout_s)
            )
            self._origin = origin
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
