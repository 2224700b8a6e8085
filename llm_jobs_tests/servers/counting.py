"""A web server in a thread that counts what is asked of it, and serves one page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(kw_only=True)
class CountingServer:
    """`asked`: the paths, in the order in which they were asked for. `page`: what `/page` answers; all else is 404."""

    url: str
    asked: list[str] = field(default_factory=list)
    page: bytes = b""


@contextmanager
def counting_server() -> Iterator[CountingServer]:
    """A server on a free port of the loopback, closed on leaving."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        counting = CountingServer(url=f"http://127.0.0.1:{http.server_address[1]}")
        http.counting = counting  # type: ignore[attr-defined]
        thread = Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield counting
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        counting: CountingServer = self.server.counting  # type: ignore[attr-defined]
        counting.asked.append(self.path)
        found = self.path == "/page"
        self.send_response(200 if found else 404)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(counting.page if found else b"")

    do_POST = do_GET

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is written on the terminal."""
