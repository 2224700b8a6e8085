"""A server of both vendors' batch endpoints that keeps books of what it did, and does everything wrong on demand.

    with batch_server() as server:
        server.openai_url, server.url     # OpenAI under /v1, Anthropic under /
        server.wrong.expired = {3, 7}     # lines, by their place in the batch, that expire
        server.finish()                   # carry out every batch that was made
        server.paid                       # body hash -> how often it was answered, in batches and online

Lines come back in another order than they went. It runs in a thread of the test's process.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Literal

import orjson

from llm_jobs_tests.servers.models import asked, reply_to
from llm_jobs_tests.servers.replay import canonical_hash
from llm_jobs_tests.servers.wire import Received, Sent, listening

BYTES_PER_TOKEN = 4


@dataclass(kw_only=True)
class Wrong:
    """What goes wrong. Places of lines count from 0; counters are used up one by one."""

    expired: set[int] = field(default_factory=set)
    cancelled: set[int] = field(default_factory=set)
    missing: set[int] = field(default_factory=set)  # carried out, and no line says so
    errors: dict[int, int] = field(default_factory=dict)  # HTTP status of single lines, nothing is carried out
    repeated: set[int] = field(default_factory=set)
    foreign: int = 0  # lines that belong to nobody's call
    unreadable: int = 0
    status: str | None = None  # how a batch ends, in place of completed
    bad_file: list[dict[str, Any]] = field(default_factory=list)  # what OpenAI says is wrong with the file
    enqueued_tokens: int | None = None  # of the queue, all batches under way together
    torn: int = 0  # downloads of which half comes
    cut: int = 0  # downloads that end within a line, whole by their length
    refuse: list[int] = field(default_factory=list)  # status of the next submissions, which make no batch
    lose_answer: int = 0  # submissions that are made, and whose answer never comes
    fail_after: int = 0  # the same, with a 500
    hidden: int = 0  # lists that do not show the newest batch yet
    refuse_uploads: list[int] = field(default_factory=list)
    finish: dict[int, str] = field(default_factory=dict)  # how answers end, of `models.FINISH_REASONS`


@dataclass(kw_only=True)
class Made:
    """A batch at the server. `requests`: (custom id, path, body)."""

    id: str
    vendor: Literal["openai", "anthropic"]
    requests: list[tuple[str, str, dict[str, Any]]]
    created: float
    status: str
    metadata: dict[str, str] = field(default_factory=dict)
    input_file: str = ""
    files: dict[str, str] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    results: list[bytes] = field(default_factory=list)
    wanted: str | None = None  # cancelling was asked for

    @property
    def is_over(self) -> bool:
        return self.status not in ("in_progress", "validating", "cancelling", "canceling")


class BatchServer:
    """Both vendors' endpoints. Thread-safe: the test changes it while it serves."""

    def __init__(self) -> None:
        self.url = ""
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """As it was at first: no batch, no file, empty books, nothing wrong."""
        self.wrong = Wrong()
        self.batches: dict[str, Made] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.paid: Counter[str] = Counter()
        self.paid_ids: Counter[str] = Counter()
        self.online = 0
        self.seen: list[tuple[str, str]] = []
        self.keys: set[str] = set()
        self.at_submission: Callable[[bool], None] | None = None  # told before a batch is made, and after
        self.organization = "org-one"
        self.refuse_all = 0
        self._random = Random(7)
        self._numbers = 0

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def finish(self) -> None:
        """Carry out every batch that is under way."""
        with self._lock:
            for batch in self.batches.values():
                if not batch.is_over:
                    self._carry_out(batch)

    def __call__(self, received: Received) -> Sent:
        with self._lock:
            self.seen.append((received.method, received.path))
            if self.refuse_all:
                return _error(self.refuse_all, "nothing now")
            self.keys |= {received.headers[name] for name in ("authorization", "x-api-key") if name in received.headers}
            for method, pattern, serve in _ROUTES:
                found = re.fullmatch(pattern, received.path)
                if found and received.method == method:
                    sent: Sent = getattr(self, serve)(received, *found.groups())
                    return sent
            return _error(404, f"no such path {received.path}")

    def _id(self, prefix: str) -> str:
        self._numbers += 1
        return f"{prefix}{self._numbers:06d}"

    # Online, on the same books

    def _answer_online(self, received: Received) -> Sent:
        self.online += 1
        raw = self._reply(received.path, orjson.loads(received.body))
        return Sent(body=raw)

    def _reply(self, path: str, body: dict[str, Any], finish: str = "stop") -> bytes:
        self.paid[canonical_hash(orjson.dumps(body))] += 1
        raw = reply_to(path, body, f"echo: {asked(body)}", finish)
        assert raw is not None, path
        return raw

    # OpenAI

    def _upload(self, received: Received) -> Sent:
        if self.wrong.refuse_uploads:
            return _error(self.wrong.refuse_uploads.pop(0), "no file now")
        boundary = received.headers["content-type"].partition("boundary=")[2].encode()
        parts = received.body.split(b"--" + boundary)
        assert any(b'name="purpose"\r\n\r\nbatch\r\n' in part for part in parts)
        [part] = [part for part in parts if b'name="file"' in part]
        head, _, content = part.partition(b"\r\n\r\n")
        name = head.partition(b'filename="')[2].partition(b'"')[0].decode()
        file_id = self._id("file-")
        self.files[file_id] = (name, content.removesuffix(b"\r\n"))
        return _json({"id": file_id, "object": "file", "filename": name, "purpose": "batch"})

    def _file(self, received: Received, file_id: str) -> Sent:
        if file_id not in self.files:
            return _error(404, f"No such File object: {file_id}")
        return _json({"id": file_id, "object": "file", "filename": self.files[file_id][0]})

    def _content(self, received: Received, file_id: str) -> Sent:
        return self._download(self.files[file_id][1]) if file_id in self.files else _error(404, "no such file")

    def _create(self, received: Received) -> Sent:
        asked_for = orjson.loads(received.body)
        assert asked_for["completion_window"] == "24h"
        _, content = self.files[asked_for["input_file_id"]]
        lines = [orjson.loads(line) for line in content.splitlines() if line.strip()]
        assert all(line["url"] == asked_for["endpoint"] for line in lines), "a batch has one endpoint"
        assert len({line["body"]["model"] for line in lines}) == 1, "a batch has one model"
        assert len(lines) <= 50_000
        assert len(content) <= 200_000_000
        batch = Made(
            id="",
            vendor="openai",
            requests=[(line["custom_id"], line["url"], line["body"]) for line in lines],
            created=time.time(),
            status="in_progress",
            metadata=asked_for.get("metadata") or {},
            input_file=asked_for["input_file_id"],
        )
        return self._make(batch, "batch_", len(content))

    def _make(self, batch: Made, prefix: str, size: int) -> Sent:
        if self.wrong.refuse:
            return _error(self.wrong.refuse.pop(0), "no batch now")
        names = [custom_id for custom_id, _, _ in batch.requests]
        assert len(set(names)) == len(names), "custom ids are unique"
        assert all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", name) for name in names)
        if self.at_submission is not None:
            self.at_submission(False)
        batch.id = self._id(prefix)
        self._refuse_file(batch, size)
        self.batches[batch.id] = batch
        if self.at_submission is not None:
            self.at_submission(True)
        if self.wrong.lose_answer:
            self.wrong.lose_answer -= 1
            return Sent(fault="closed")
        if self.wrong.fail_after:
            self.wrong.fail_after -= 1
            return _error(500, "made, and then it went wrong")
        return _json(self._told(batch))

    def _refuse_file(self, batch: Made, size: int) -> None:
        queued = (
            sum(len(orjson.dumps(other.requests)) for other in self.batches.values() if not other.is_over)
            // BYTES_PER_TOKEN
        )
        limit = self.wrong.enqueued_tokens
        if self.wrong.bad_file:
            batch.errors, self.wrong.bad_file = self.wrong.bad_file, []
        elif limit is not None and queued + size // BYTES_PER_TOKEN > limit:
            message = f"Enqueued token limit reached. Limit: {limit:,} enqueued tokens."
            batch.errors = [{"code": "token_limit_exceeded", "message": message, "line": None, "param": None}]
        if batch.errors:
            batch.status = "failed"

    def _told(self, batch: Made) -> dict[str, Any]:
        if batch.vendor == "anthropic":
            return self._told_by_anthropic(batch)
        return {
            "id": batch.id,
            "object": "batch",
            "endpoint": batch.requests[0][1],
            "input_file_id": batch.input_file,
            "completion_window": "24h",
            "status": batch.status,
            "created_at": int(batch.created),
            "metadata": batch.metadata,
            "output_file_id": batch.files.get("output"),
            "error_file_id": batch.files.get("error"),
            "errors": {"object": "list", "data": batch.errors} if batch.errors else None,
            "request_counts": {
                "total": len(batch.requests),
                "completed": batch.counts["succeeded"],
                "failed": batch.counts["errored"],
            },
        }

    def _list(self, received: Received) -> Sent:
        return self._page(received, "openai")

    def _poll(self, received: Received, batch_id: str) -> Sent:
        batch = self.batches.get(batch_id)
        if batch is None:
            return _error(404, f"No batch found with id '{batch_id}'.")
        return _json(self._told(batch))

    def _cancel(self, received: Received, batch_id: str) -> Sent:
        batch = self.batches[batch_id]
        if not batch.is_over:
            batch.status = "canceling" if batch.vendor == "anthropic" else "cancelling"
            batch.wanted = "cancelled"
        return _json(self._told(batch))

    # Anthropic

    def _create_messages(self, received: Received) -> Sent:
        asked_for = orjson.loads(received.body)
        assert "anthropic-version" in received.headers
        requests = [(entry["custom_id"], "/v1/messages", entry["params"]) for entry in asked_for["requests"]]
        batch = Made(id="", vendor="anthropic", requests=requests, created=time.time(), status="in_progress")
        return self._make(batch, "msgbatch_", len(received.body))

    def _told_by_anthropic(self, batch: Made) -> dict[str, Any]:
        over, total = batch.is_over, len(batch.requests)
        names = ("succeeded", "errored", "canceled", "expired")
        counts = {name: batch.counts[name] if over else 0 for name in names}
        return {
            "id": batch.id,
            "type": "message_batch",
            "processing_status": "ended" if over else batch.status,
            "request_counts": {"processing": 0 if over else total, **counts},
            "created_at": datetime.fromtimestamp(batch.created, UTC).isoformat(),
            "results_url": f"https://elsewhere.example/{batch.id}/results" if over else None,
        }

    def _list_messages(self, received: Received) -> Sent:
        return self._page(received, "anthropic")

    def _results(self, received: Received, batch_id: str) -> Sent:
        return self._download(b"".join(self.batches[batch_id].results))

    # Both

    def _page(self, received: Received, vendor: str) -> Sent:
        query = dict(pair.partition("=")[::2] for pair in received.target.partition("?")[2].split("&"))
        found = [batch for batch in reversed(self.batches.values()) if batch.vendor == vendor]
        if self.wrong.hidden:
            self.wrong.hidden -= 1
            found = found[1:]
        after = query.get("after") or query.get("after_id")
        if after:
            found = found[[batch.id for batch in found].index(after) + 1 :]
        size = int(query["limit"])
        body = {"object": "list", "data": [self._told(batch) for batch in found[:size]], "has_more": len(found) > size}
        return Sent(body=orjson.dumps(body), headers={"anthropic-organization-id": self.organization})

    def _download(self, content: bytes) -> Sent:
        if self.wrong.torn:
            self.wrong.torn -= 1
            return Sent(body=content, fault="torn")
        if self.wrong.cut:
            self.wrong.cut -= 1
            return Sent(body=content[: len(content) * 2 // 3])
        return Sent(body=content)

    def _carry_out(self, batch: Made) -> None:
        good: list[bytes] = []
        bad: list[bytes] = []
        for place, (custom_id, path, body) in enumerate(batch.requests):
            kind, line = self._line(batch, place, custom_id, path, body)
            batch.counts[kind] += 1
            if place in self.wrong.missing:
                continue
            for _ in range(2 if place in self.wrong.repeated else 1):
                (good if kind == "succeeded" else bad).append(orjson.dumps(line) + b"\n")
        good += [self._stray(batch, number) for number in range(self.wrong.foreign)]
        good += [b'{"custom_id": "torn' + b"\n"] * self.wrong.unreadable
        self._random.shuffle(good)
        self._random.shuffle(bad)
        batch.status = self.wrong.status or batch.wanted or "completed"
        if batch.vendor == "anthropic":
            batch.results = good + bad
            self._random.shuffle(batch.results)
            return
        for name, lines in (("output", good), ("error", bad)):
            if lines:
                batch.files[name] = self._id("file-")
                self.files[batch.files[name]] = (f"{batch.id}_{name}.jsonl", b"".join(lines))

    def _line(
        self, batch: Made, place: int, custom_id: str, path: str, body: dict[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        unsent = "expired" if place in self.wrong.expired else "canceled" if place in self.wrong.cancelled else None
        if batch.wanted and place % 2:
            unsent = "canceled"
        if unsent is not None:
            return unsent, _unsent_line(batch, custom_id, unsent)
        if (status := self.wrong.errors.get(place)) is not None:
            return "errored", _error_line(batch, custom_id, status)
        self.paid_ids[custom_id] += 1
        message = orjson.loads(self._reply(path, body, self.wrong.finish.get(place, "stop")))
        if batch.vendor == "anthropic":
            return "succeeded", {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}
        response = {"status_code": 200, "request_id": "req_1", "body": message}
        return "succeeded", {"id": f"batch_req_{place}", "custom_id": custom_id, "response": response, "error": None}

    def _stray(self, batch: Made, number: int) -> bytes:
        path, body = batch.requests[0][1:]
        message = orjson.loads(reply_to(path, body, "somebody else's") or b"{}")
        custom_id = f"{number:032x}"
        line: dict[str, Any] = {"custom_id": custom_id, "result": {"type": "succeeded", "message": message}}
        if batch.vendor == "openai":
            line = {"custom_id": custom_id, "response": {"status_code": 200, "body": message}, "error": None}
        return orjson.dumps(line) + b"\n"


def _unsent_line(batch: Made, custom_id: str, kind: str) -> dict[str, Any]:
    if batch.vendor == "anthropic":
        return {"custom_id": custom_id, "result": {"type": kind}}
    code = "batch_expired" if kind == "expired" else "batch_cancelled"
    message = "This request could not be executed before the completion window expired."
    return {"id": "batch_req_x", "custom_id": custom_id, "response": None, "error": {"code": code, "message": message}}


def _error_line(batch: Made, custom_id: str, status: int) -> dict[str, Any]:
    if batch.vendor == "anthropic":
        kind = "invalid_request_error" if status < 500 else "api_error"
        error = {"type": "error", "error": {"type": kind, "message": "it went wrong"}}
        return {"custom_id": custom_id, "result": {"type": "errored", "error": error}}
    body = {"error": {"message": "it went wrong", "type": "error", "code": None}}
    return {"custom_id": custom_id, "response": {"status_code": status, "body": body}, "error": None}


def _json(body: Mapping[str, Any]) -> Sent:
    return Sent(body=orjson.dumps(body), headers={"anthropic-organization-id": "org-one"})


def _error(status: int, message: str) -> Sent:
    body = {"type": "error", "error": {"message": message, "type": "error", "code": None}}
    return Sent(status=status, body=orjson.dumps(body))


_ROUTES = (
    ("POST", "/v1/(?:chat/completions|responses|embeddings|messages)", "_answer_online"),
    ("POST", "/v1/files", "_upload"),
    ("GET", "/v1/files/([^/]+)", "_file"),
    ("GET", "/v1/files/([^/]+)/content", "_content"),
    ("POST", "/v1/batches", "_create"),
    ("GET", "/v1/batches", "_list"),
    ("GET", "/v1/batches/([^/]+)", "_poll"),
    ("POST", "/v1/batches/([^/]+)/cancel", "_cancel"),
    ("POST", "/v1/messages/batches", "_create_messages"),
    ("GET", "/v1/messages/batches", "_list_messages"),
    ("GET", "/v1/messages/batches/([^/]+)", "_poll"),
    ("GET", "/v1/messages/batches/([^/]+)/results", "_results"),
    ("POST", "/v1/messages/batches/([^/]+)/cancel", "_cancel"),
)


@contextmanager
def batch_server() -> Iterator[BatchServer]:
    """Serve on a free port of loopback until the block ends."""
    server = BatchServer()
    listens, ends = threading.Event(), threading.Event()

    async def serve() -> None:
        async with listening(server) as address:
            server.url = address.url
            listens.set()
            await asyncio.to_thread(ends.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="batch-server")
    thread.start()
    try:
        assert listens.wait(10)
        yield server
    finally:
        ends.set()
        thread.join()
