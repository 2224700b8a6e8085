"""A web server in a thread that lists rows as a script says, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One request."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One answer. `value` is sent as JSON, `raw` as it is; `claimed_bytes`: a Content-Length that is not true."""

    value: Any = None
    raw: bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    claimed_bytes: int | None = None


Script = Callable[[Asked, int], Told]  # and how many requests came before


@dataclass(kw_only=True)
class ListingServer:
    url: str
    script: Script
    asked: list[Asked] = field(default_factory=list)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc


@contextmanager
def listing_server(script: Script) -> Iterator[ListingServer]:
    """A server on a free port of the loopback, closed on leaving."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        listing = ListingServer(url=f"http://127.0.0.1:{http.server_address[1]}", script=script)
        http.listing = listing  # type: ignore[attr-defined]
        thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield listing
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        listing: ListingServer = self.server.listing  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        size = int(self.headers.get("content-length", 0))
        asked = Asked(
            method=self.command,
            path=parts.path,
            params=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(size),
        )
        listing.asked.append(asked)
        told = listing.script(asked, len(listing.asked) - 1)
        body = json.dumps(told.value).encode() if told.raw is None else told.raw
        self.send_response(told.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(told.claimed_bytes or len(body)))
        for name, text in told.headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)
        if told.claimed_bytes is not None:
            self.close_connection = True

    do_POST = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is written on the terminal."""
