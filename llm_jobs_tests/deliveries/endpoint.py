"""An HTTP endpoint on a free loopback port that answers as it is told, and keeps what it got."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """One answer. `fault`: the connection is closed before or after half of it; `hold`: no answer comes."""

    status: int = 200
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    fault: str | None = None  # closed | torn


@dataclass
class Endpoint:
    """What it answers, in order (then 200), and the requests as they came."""

    url: str = ""
    answers: list[Told] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    accepted: dict[str, Any] = field(default_factory=dict)  # bodies by idempotency key

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What an endpoint that heeds idempotency keys holds."""
        return [row for body in self.accepted.values() for row in body]

    @property
    def keys(self) -> Sequence[str]:
        return [headers["idempotency-key"] for _, _, headers, _ in self.requests]


@contextmanager
def endpoint(*answers: Told) -> Iterator[Endpoint]:
    """Start an endpoint and stop it."""
    told = Endpoint(answers=list(answers))
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(told))
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_address[1]}/rows"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(told: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def take(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            told.requests.append((self.command, self.path, headers, body))
            answer = told.answers.pop(0) if told.answers else Told()
            if answer.status < 300 and answer.fault != "closed":
                is_lines = headers["content-type"] == "application/x-ndjson"
                rows = [json.loads(line) for line in body.splitlines()] if is_lines else json.loads(body)
                told.accepted.setdefault(headers["idempotency-key"], rows)
            if answer.fault == "closed":
                self.close_connection = True
                return
            self._answer(answer)

        do_POST = do_PUT = do_PATCH = take

        def _answer(self, answer: Told) -> None:
            said = answer.body.encode()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(said) + (5 if answer.fault == "torn" else 0)))
            self.end_headers()
            self.wfile.write(said)
            self.close_connection = answer.fault == "torn"

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal."""

    return Handler
