"""Anthropic's message batches: one request makes the batch, one stream of lines tells its results.

Sources: the guide and the API reference of message batches at platform.claude.com. A batch holds at most 100,000
requests or 256 MB. It carries no metadata and its list shows no custom ids, so one whose name was lost is told from
others by three things: it comes after the newest one that was there before the submission, it has as many requests,
and, once it has ended, its lines bear our custom ids. Until the candidates have ended (24 h at most) it cannot be told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import CallError, PermanentError, TransientError
from llm_jobs.providers.batch_channel import (
    TRANSFER_TIMEOUT_S,
    BatchChannel,
    bytes_of,
    json_lines,
    text_of,
    whole_object,
)
from llm_jobs.providers.batches import BatchLimits, BatchTarget, Found, Line, Progress, Ticket
from llm_jobs.providers.http_provider import AccessRules

# The vendor takes 256 MB; less keeps what a submitter holds in memory below 200 MB.
LIMITS = BatchLimits(requests=100_000, bytes=50_000_000)
PATH = "/v1/messages/batches"
PAGE = 1000
MOST_PAGES = 50
_NOT_SENT = frozenset({"api_key", "stream", "timeout"})
# `request_counts` of a batch that is under way; together they are all of its requests.
_COUNTS = ("processing", "succeeded", "errored", "canceled", "expired")
_OPENING, _CLOSING = b'{"requests":[', b"]}"
_ORGANIZATION = "anthropic-organization-id"
# Errors of one request that repeating it does not mend.
_PERMANENT = frozenset(
    {"invalid_request_error", "not_found_error", "permission_error", "authentication_error", "request_too_large"}
)


class AnthropicBatches:
    kind = "anthropic"
    limits = LIMITS

    def __init__(self, *, environment: Mapping[str, str], catalogue: AccessRules) -> None:
        self._channel = BatchChannel(environment=environment, catalogue=catalogue)

    def request(self, target: BatchTarget, custom_id: str, body: Mapping[str, JsonValue]) -> bytes:
        sent = {name: value for name, value in body.items() if name not in _NOT_SENT}
        return bytes_of({"custom_id": custom_id, "params": sent})

    def content(self, requests: Sequence[bytes]) -> bytes:
        return _OPENING + b",".join(requests) + _CLOSING

    async def before(self, target: BatchTarget) -> Mapping[str, Any]:
        """The newest batch that is there already, and whose it is: the account of the key."""
        answered = await self._channel.send("GET", target, f"{PATH}?limit=1")
        newest = _entries(whole_object(answered))
        return {
            "newest": newest[0]["id"] if newest else None,
            "organization": answered.headers.get(_ORGANIZATION),
        }

    async def upload(self, ticket: Ticket, content: bytes) -> str | None:
        return None

    async def submit(self, ticket: Ticket, content: bytes) -> str:
        answered = await self._channel.send(
            "POST",
            ticket.target,
            PATH,
            headers={"content-type": "application/json"},
            payload=content,
            timeout_s=TRANSFER_TIMEOUT_S,
        )
        return text_of(whole_object(answered), "id")

    async def find(self, ticket: Ticket, *, known: frozenset[str], custom_ids: frozenset[str]) -> Found:
        """Among the batches made since: found for certain by its custom ids once it has ended; absent for certain where
        every candidate is another's."""
        candidates = await self._since(ticket)
        if candidates is None:
            return Found(reason="the key of now does not see what the key of then saw: it belongs to another account")
        undecided = 0
        for batch in candidates:
            vendor_id = text_of(batch, "id")
            if vendor_id in known or _total(batch) != ticket.calls:
                continue
            if batch.get("processing_status") != "ended":
                undecided += 1
            elif await self._bears(ticket.target, vendor_id, custom_ids):
                return Found(vendor_id=vendor_id)
        if undecided:
            return Found(reason=f"{undecided} batches of the same size are under way; their lines will tell")
        return Found(absent=True)

    async def poll(self, target: BatchTarget, vendor_id: str) -> Progress:
        batch = await self._channel.json("GET", target, f"{PATH}/{vendor_id}")
        total, counts = _total(batch), batch.get("request_counts") or {}
        return Progress(
            status=text_of(batch, "processing_status"),
            ended=batch.get("processing_status") == "ended",
            done=total - int(counts.get("processing") or 0),
            total=total,
            answered=int(counts.get("succeeded") or 0),
        )

    async def lines(self, target: BatchTarget, vendor_id: str, progress: Progress) -> AsyncIterator[Line]:
        # `results_url` is not followed: a key goes where the catalogue says, not where an answer does.
        content = await self._channel.whole(target, f"{PATH}/{vendor_id}/results")
        for text, entry in json_lines(content):
            yield self._line(text, entry)

    async def cancel(self, target: BatchTarget, vendor_id: str) -> None:
        await self._channel.json("POST", target, f"{PATH}/{vendor_id}/cancel", {})

    async def aclose(self) -> None:
        await self._channel.aclose()

    async def _since(self, ticket: Ticket) -> list[dict[str, Any]] | None:
        """The batches made after the mark, newest first; None where the key sees another account."""
        newest, organization = ticket.marks.get("newest"), ticket.marks.get("organization")
        found: list[dict[str, Any]] = []
        after = ""
        for _ in range(MOST_PAGES):
            answered = await self._channel.send("GET", ticket.target, f"{PATH}?limit={PAGE}{after}")
            if organization is not None and answered.headers.get(_ORGANIZATION) != organization:
                return None
            page = whole_object(answered)
            for batch in _entries(page):
                if batch.get("id") == newest:
                    return found
                found.append(batch)
            if not page.get("has_more"):
                # A mark that is not in the list belongs to another workspace, or was deleted there.
                return found if newest is None else await self._without_mark(ticket, found)
            after = f"&after_id={text_of(found[-1], 'id')}"
        raise TransientError("the list of batches does not end")

    async def _without_mark(self, ticket: Ticket, found: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        try:
            await self._channel.json("GET", ticket.target, f"{PATH}/{ticket.marks['newest']}")
        except PermanentError as error:
            if error.http_status == 404:
                return None
            raise
        return found

    async def _bears(self, target: BatchTarget, vendor_id: str, custom_ids: frozenset[str]) -> bool:
        """Whether the lines of a batch that ended are ours."""
        content = await self._channel.whole(target, f"{PATH}/{vendor_id}/results")
        named = {entry.get("custom_id") for _, entry in json_lines(content) if entry is not None}
        return bool(named) and named <= custom_ids

    def _line(self, text: bytes, entry: Mapping[str, Any] | None) -> Line:
        custom_id = None if entry is None else entry.get("custom_id")
        result = None if entry is None else entry.get("result")
        if not isinstance(custom_id, str) or not isinstance(result, dict):
            return Line(custom_id=None, status="failed", text=text)
        kind = result.get("type")
        if kind == "succeeded":
            return Line(custom_id=custom_id, status="answered", text=text, raw=bytes_of(result.get("message") or {}))
        if kind in ("expired", "canceled"):
            error: CallError = TransientError(f"the batch has no answer: the request was {kind}")
            return Line(custom_id=custom_id, status="unsent", text=text, error=error)
        return Line(custom_id=custom_id, status="failed", text=text, error=self._failure(result.get("error")))

    def _failure(self, told: object) -> CallError:
        """The error of one request; it is wrapped once more than elsewhere in the vendor's API."""
        error: Any = told if isinstance(told, dict) else {}
        error = error.get("error") if isinstance(error.get("error"), dict) else error
        kind = str(error.get("type") or "error")
        said = self._channel.scrubber.text(f"the batch answered {kind}: {str(error.get('message') or '')[:300]}")
        return PermanentError(said, http_status=400) if kind in _PERMANENT else TransientError(said, http_status=500)


def _entries(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = page.get("data")
    if not isinstance(data, list):
        raise TransientError("the list of batches has no data")
    return [entry for entry in data if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


def _total(batch: Mapping[str, Any]) -> int:
    counts = batch.get("request_counts") or {}
    return sum(int(counts.get(name) or 0) for name in _COUNTS)
