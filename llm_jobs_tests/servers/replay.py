"""A model server that replays recorded answers, or echoes, and keeps books of what it saw. In a process of its own.

    with replay_server(answers={"2 + 2": "4"}, latency_s=0.05) as server:
        server.url                       # speaks OpenAI under /v1, Anthropic and Ollama under /
        server.stats()                   # total, distinct, by body hash, times

Answers are found by (model, last user text), then by the last user text, else the text is echoed. `GET /_stats` tells
the books, `POST /_reset` empties them, `GET /_keys` tells which authorisation headers came.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

import orjson

from llm_jobs_tests.servers.faults import FaultPlan, echoed
from llm_jobs_tests.servers.models import asked, reply_to
from llm_jobs_tests.servers.wire import Received, Sent, listening

_KEY_HEADERS = ("authorization", "x-api-key", "cookie")


@dataclass(kw_only=True)
class Books:
    """What a server saw. `log`: (received ns, answered ns, body hash, status), ns of the wall clock."""

    total: int = 0
    by_body: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    log: list[tuple[int, int, str, int]] = field(default_factory=list)


class ModelServer:
    """Answers requests from a table, or echoes them; faults by plan."""

    def __init__(
        self,
        *,
        answers: Mapping[str, str] | None = None,
        by_model: Sequence[tuple[str, str, str]] = (),
        latency_s: float = 0.0,
        plan: FaultPlan | None = None,
        models: Sequence[Mapping[str, str]] = (),
        keep_log: bool = True,
    ) -> None:
        """`answers`: last user text -> answer; `by_model`: (model, last user text, answer), looked at first; `models`:
        what Ollama's /api/tags lists. `keep_log` False: only counts are kept, for measurements."""
        self.books = Books()
        self._answers = dict(answers or {})
        self._by_model = {(model, text): answer for model, text, answer in by_model}
        self._latency_s = latency_s
        self._plan = plan
        self._models = list(models)
        self._keep_log = keep_log

    def __call__(self, received: Received) -> Sent:
        if received.method != "POST" or received.path.startswith("/_"):
            return self._page(received)
        body_hash = canonical_hash(received.body) if self._keep_log else ""
        seen = self.books.by_body[body_hash]
        fault = self._plan.decide(body_hash, seen, received) if self._plan else None
        sent = fault or self._answer(received)
        self._note(received, body_hash, sent)
        return sent

    def _answer(self, received: Received) -> Sent:
        try:
            body = orjson.loads(received.body)
            text = asked(body)
        except (orjson.JSONDecodeError, AttributeError, TypeError):
            return Sent(status=400, body=b'{"error": {"message": "the body is no request"}}')
        answer = self._by_model.get((str(body.get("model")), text)) or self._answers.get(text, f"echo: {text}")
        if self._plan is not None and self._plan.echo_headers is not None:
            answer += " " + echoed(received.headers, self._plan.echo_headers)
        raw = reply_to(received.path, body, answer)
        if raw is None:
            return Sent(status=404, body=b'{"error": {"message": "no such path"}}', delay_s=self._latency_s)
        return Sent(body=raw, delay_s=self._latency_s)

    def _note(self, received: Received, body_hash: str, sent: Sent) -> None:
        books = self.books
        books.total += 1
        books.by_body[body_hash] += 1
        books.statuses[sent.status if sent.fault is None else 0] += 1
        if not self._keep_log:
            return
        for name in _KEY_HEADERS:
            if name in received.headers:
                books.keys[f"{name}: {received.headers[name]}"] += 1
        now = time.time_ns()
        books.log.append((now, now + int(sent.delay_s * 1e9), body_hash, sent.status if sent.fault is None else 0))

    def _page(self, received: Received) -> Sent:
        books = self.books
        if received.path == "/_stats":
            told = {"total": books.total, "distinct": len(books.by_body), "by_body": books.by_body}
            told |= {"statuses": {str(k): v for k, v in books.statuses.items()}, "keys": books.keys, "log": books.log}
            return Sent(body=orjson.dumps(told))
        if received.path == "/_reset":
            self.books = Books()
            return Sent(body=b"{}")
        if received.path == "/api/tags":
            return Sent(body=orjson.dumps({"models": self._models}))
        return Sent(status=404, body=b'{"error": {"message": "no such page"}}')


def canonical_hash(body: bytes) -> str:
    """One hash for bodies that differ in the order of members or in white space only."""
    with suppress(orjson.JSONDecodeError):
        body = orjson.dumps(orjson.loads(body), option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(body).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ReplayServer:
    """A model server in another process. `url` has no path: OpenAI's base URL is `openai_url`."""

    url: str
    pid: int

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def stats(self) -> dict[str, Any]:
        """total, distinct, by_body, statuses, keys (headers that carried one), log."""
        with urlopen(f"{self.url}/_stats", timeout=30) as response:
            told: dict[str, Any] = json.load(response)
        return told

    def reset(self) -> None:
        with urlopen(UrlRequest(f"{self.url}/_reset", method="POST", data=b""), timeout=30):
            pass


@contextmanager
def replay_server(
    *,
    answers: Mapping[str, str] | None = None,
    by_model: Sequence[tuple[str, str, str]] = (),
    latency_s: float = 0.0,
    plan: FaultPlan | None = None,
    models: Sequence[Mapping[str, str]] = (),
    keep_log: bool = True,
    port: int = 0,
) -> Iterator[ReplayServer]:
    """Start a `ModelServer` in a process of its own; it ends with the block, or when this process dies."""
    settings = {
        "server": {"answers": dict(answers or {}), "by_model": list(by_model), "latency_s": latency_s},
        "plan": asdict(plan) if plan else None,
        "port": port,
    }
    settings["server"] |= {"models": list(models), "keep_log": keep_log}  # type: ignore[operator]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, "-m", "llm_jobs_tests.servers.replay", str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            url = process.stdout.readline().decode().strip()
            assert url, "the server did not start"
            yield ReplayServer(url, process.pid)
        finally:
            process.stdin.close()
            process.wait(timeout=30)
            process.stdout.close()


async def _serve(settings: Mapping[str, Any]) -> None:
    plan = FaultPlan(**settings["plan"]) if settings["plan"] else None
    server = ModelServer(**settings["server"], plan=plan)
    async with listening(server, port=settings["port"]) as address:
        sys.stdout.write(f"{address.url}\n")
        sys.stdout.flush()
        # The parent holds the other end of stdin: end of file is the end of the parent or of its block.
        await asyncio.to_thread(sys.stdin.buffer.read)


def _run(settings: Mapping[str, Any]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(settings))
    else:
        uvloop.run(_serve(settings))


if __name__ == "__main__":
    _run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
