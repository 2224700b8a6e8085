"""A web server that takes what webhooks are sent, after it has failed as often as it was told to."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True, eq=False)
class Hook:
    """`taken`: the bodies that were answered with 200; `headers`: of every request."""

    url: str
    statuses: list[int]
    taken: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def hook(*, statuses: Sequence[int] = ()) -> Iterator[Hook]:
    """A server whose first answers have `statuses`, and whose others are 200."""
    kept = Hook("", list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.headers.append(dict(self.headers))
            status = kept.statuses.pop(0) if kept.statuses else 200
            if status == 200:
                kept.taken.append(json.loads(body))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", kept.url)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: what was asked is in `headers`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_port}/services/T0/B0/a-secret-path"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def babbling() -> Iterator[str]:
    """The address of a server that answers every request with what is no HTTP."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            self.request.sendall(b"hello there\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
