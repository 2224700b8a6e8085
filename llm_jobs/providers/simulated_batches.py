"""The batch endpoint that is none: it keeps files in a folder and answers them as the simulated model does.

So that batches can be tried with no key. A batch has ended when it is first looked at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import PermanentError
from llm_jobs.files import Draft
from llm_jobs.providers.base import Request
from llm_jobs.providers.batch_channel import bytes_of, json_lines
from llm_jobs.providers.batches import BatchLimits, BatchTarget, Found, Line, Progress, Ticket
from llm_jobs.providers.simulated import simulated_answer

LIMITS = BatchLimits(requests=50_000, bytes=50_000_000)


class SimulatedBatches:
    kind = "simulated"
    limits = LIMITS

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def request(self, target: BatchTarget, custom_id: str, body: Mapping[str, JsonValue]) -> bytes:
        return bytes_of({"custom_id": custom_id, "body": body}) + b"\n"

    def content(self, requests: Sequence[bytes]) -> bytes:
        return b"".join(requests)

    async def before(self, target: BatchTarget) -> Mapping[str, Any]:
        return {}

    async def upload(self, ticket: Ticket, content: bytes) -> str | None:
        return None

    async def submit(self, ticket: Ticket, content: bytes) -> str:
        vendor_id = f"simulated-{ticket.token}"
        draft = Draft(self._file(vendor_id))
        try:
            draft.path.write_bytes(content)
            draft.sync()
            draft.publish()
        finally:
            draft.discard()
        return vendor_id

    async def find(self, ticket: Ticket, *, known: frozenset[str], custom_ids: frozenset[str]) -> Found:
        vendor_id = f"simulated-{ticket.token}"
        return Found(vendor_id=vendor_id) if self._file(vendor_id).exists() else Found(absent=True)

    async def poll(self, target: BatchTarget, vendor_id: str) -> Progress:
        requests = sum(1 for _ in self._requests(vendor_id))
        return Progress(status="completed", ended=True, done=requests, total=requests, answered=requests)

    async def lines(self, target: BatchTarget, vendor_id: str, progress: Progress) -> AsyncIterator[Line]:
        for entry in self._requests(vendor_id):
            yield self._answer(target, entry)

    async def cancel(self, target: BatchTarget, vendor_id: str) -> None:
        """It has ended already."""

    async def aclose(self) -> None:
        """Nothing is open."""

    def _answer(self, target: BatchTarget, entry: Mapping[str, Any]) -> Line:
        request = Request(endpoint=target.endpoint, model=target.model, body=entry["body"])
        raw = orjson.dumps(simulated_answer(request, entry["custom_id"]))
        return Line(custom_id=entry["custom_id"], status="answered", text=raw, raw=raw)

    def _requests(self, vendor_id: str) -> Iterator[dict[str, Any]]:
        try:
            content = self._file(vendor_id).read_bytes()
        except FileNotFoundError:
            raise PermanentError(f"there is no simulated batch {vendor_id}", http_status=404) from None
        return (entry for _, entry in json_lines(content) if entry is not None)

    def _file(self, vendor_id: str) -> Path:
        return self._folder / f"{vendor_id}.jsonl"
