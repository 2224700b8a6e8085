"""OpenAI's batches: a file of lines is uploaded, a batch of it is made, and two files come back, answers and errors.

Sources: the guide and the API reference of batches and files at developers.openai.com. A batch holds one model and one
endpoint, at most 50,000 requests (and as many texts to embed) and 200 MB; what is enqueued per model has a limit in
tokens that an account's owner sees, and a batch that would pass it is made and then fails whole. A batch carries
metadata, so one whose name was lost is found by its token, for certain.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import PermanentError, TransientError
from llm_jobs.providers.batch_channel import (
    TRANSFER_TIMEOUT_S,
    BatchChannel,
    bytes_of,
    json_lines,
    text_of,
    whole_object,
)
from llm_jobs.providers.batches import BatchLimits, BatchTarget, Found, Line, Progress, Ticket
from llm_jobs.providers.failures import failure_of
from llm_jobs.providers.http_provider import AccessRules

# The vendor takes 200 MB; a quarter of that keeps what a submitter holds in memory below 200 MB.
LIMITS = BatchLimits(requests=50_000, bytes=50_000_000, inputs=50_000)
METADATA_KEY = "llm_jobs_batch"
PAGE = 100
CLOCKS_DIFFER_S = 3600  # at most, between the vendor's clock and ours, where a search may stop
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_NOT_SENT = frozenset({"api_key", "background", "stream", "stream_options", "timeout"})
_UNSENT_CODES = frozenset({"batch_expired", "batch_cancelled", "batch_canceled"})


class OpenAIBatches:
    """OpenAI, and servers that speak its batch protocol."""

    kind = "openai"
    limits = LIMITS

    def __init__(self, *, environment: Mapping[str, str], catalogue: AccessRules) -> None:
        self._channel = BatchChannel(environment=environment, catalogue=catalogue)

    def request(self, target: BatchTarget, custom_id: str, body: Mapping[str, JsonValue]) -> bytes:
        sent = {name: value for name, value in body.items() if name not in _NOT_SENT}
        line = {"custom_id": custom_id, "method": "POST", "url": _url(target), "body": sent}
        return bytes_of(line) + b"\n"

    def content(self, requests: Sequence[bytes]) -> bytes:
        return b"".join(requests)

    async def before(self, target: BatchTarget) -> Mapping[str, Any]:
        return {}

    async def upload(self, ticket: Ticket, content: bytes) -> str | None:
        head, payload = _form(f"llm-jobs-{ticket.token}.jsonl", content)
        answered = await self._channel.send(
            "POST", ticket.target, "/files", headers=head, payload=payload, timeout_s=TRANSFER_TIMEOUT_S
        )
        return text_of(whole_object(answered), "id")

    async def submit(self, ticket: Ticket, content: bytes) -> str:
        body = {
            "input_file_id": ticket.file_id,
            "endpoint": _url(ticket.target),
            "completion_window": "24h",
            "metadata": {METADATA_KEY: ticket.token},
        }
        return text_of(await self._channel.json("POST", ticket.target, "/batches", body), "id")

    async def find(self, ticket: Ticket, *, known: frozenset[str], custom_ids: frozenset[str]) -> Found:
        """By the token in the metadata of the batches made since; certain, if the key sees what it saw then."""
        if ticket.file_id is not None and not await self._sees(ticket.target, ticket.file_id):
            return Found(reason="the key of now does not see the file that was uploaded: it belongs to another project")
        oldest_s = ticket.recorded_ns / 1e9 - CLOCKS_DIFFER_S
        after = ""
        while True:
            page = await self._channel.json("GET", ticket.target, f"/batches?limit={PAGE}{after}")
            batches = _entries(page)
            for batch in batches:
                if (batch.get("metadata") or {}).get(METADATA_KEY) == ticket.token:
                    return Found(vendor_id=text_of(batch, "id"))
            if not batches or not page.get("has_more") or batches[-1].get("created_at", 0) < oldest_s:
                return Found(absent=True)
            after = f"&after={text_of(batches[-1], 'id')}"

    async def poll(self, target: BatchTarget, vendor_id: str) -> Progress:
        batch = await self._channel.json("GET", target, f"/batches/{vendor_id}")
        status = text_of(batch, "status")
        counts = batch.get("request_counts") or {}
        done = int(counts.get("completed") or 0) + int(counts.get("failed") or 0)
        names = {"output": batch.get("output_file_id"), "error": batch.get("error_file_id")}
        errors = _errors(batch)
        codes = {str(error.get("code")) for error in errors}
        reason = self._channel.scrubber.text("; ".join(map(_told, errors[:3])))
        refused = status == "failed"
        return Progress(
            status=status,
            ended=status in _ENDED,
            done=done,
            total=int(counts.get("total") or 0),
            answered=int(counts.get("completed") or 0),
            refusal=("enqueued_tokens" if "token_limit_exceeded" in codes else "file") if refused else None,
            reason=reason or ("the vendor refused the file" if refused else ""),
            bad_lines={
                error["line"]: self._channel.scrubber.text(_told(error))
                for error in errors
                if isinstance(error.get("line"), int)
            },
            files={name: file_id for name, file_id in names.items() if isinstance(file_id, str) and file_id},
        )

    async def lines(self, target: BatchTarget, vendor_id: str, progress: Progress) -> AsyncIterator[Line]:
        for file_id in progress.files.values():
            content = await self._channel.whole(target, f"/files/{file_id}/content")
            for text, entry in json_lines(content):
                yield self._line(text, entry)

    async def cancel(self, target: BatchTarget, vendor_id: str) -> None:
        await self._channel.json("POST", target, f"/batches/{vendor_id}/cancel", {})

    async def aclose(self) -> None:
        await self._channel.aclose()

    async def _sees(self, target: BatchTarget, file_id: str) -> bool:
        try:
            await self._channel.json("GET", target, f"/files/{file_id}")
        except PermanentError as error:
            if error.http_status == 404:
                return False
            raise
        return True

    def _line(self, text: bytes, entry: Mapping[str, Any] | None) -> Line:
        custom_id = None if entry is None else entry.get("custom_id")
        if entry is None or not isinstance(custom_id, str):
            return Line(custom_id=None, status="failed", text=text)
        response, error = entry.get("response"), entry.get("error")
        if not isinstance(response, dict):
            return self._without_response(custom_id, text, error if isinstance(error, dict) else {})
        raw = bytes_of(response.get("body") or {})
        status = response.get("status_code")
        if isinstance(status, int) and 200 <= status < 300:
            return Line(custom_id=custom_id, status="answered", text=text, raw=raw)
        failure = failure_of(
            status=status if isinstance(status, int) else 500,
            headers={},
            raw=raw,
            where="the batch",
            scrubber=self._channel.scrubber,
        )
        return Line(custom_id=custom_id, status="failed", text=text, raw=raw, error=failure)

    def _without_response(self, custom_id: str, text: bytes, error: Mapping[str, Any]) -> Line:
        code = str(error.get("code") or "no response")
        said = f"the batch has no answer ({code}): {str(error.get('message') or '')[:300]}"
        return Line(
            custom_id=custom_id,
            status="unsent" if code in _UNSENT_CODES else "failed",
            text=text,
            error=TransientError(self._channel.scrubber.text(said)),
        )


def _url(target: BatchTarget) -> str:
    """The endpoint as a batch names it: from `/v1` on, whatever stands before that at a gateway."""
    base = target.endpoint.base_url
    version = base[base.rfind("/v1") :] if base.endswith("/v1") else "/v1"
    return version + target.endpoint.path


def _entries(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    data = page.get("data")
    if not isinstance(data, list):
        raise TransientError("the list of batches has no data")
    return [entry for entry in data if isinstance(entry, dict)]


def _errors(batch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is wrong with a file."""
    return [error for error in (batch.get("errors") or {}).get("data") or [] if isinstance(error, dict)]


def _told(error: Mapping[str, Any]) -> str:
    return f"{error.get('code')}: {str(error.get('message') or '')[:300]}"


def _form(name: str, content: bytes) -> tuple[dict[str, str], bytes]:
    """`multipart/form-data` (RFC 7578) of the purpose and the file."""
    boundary = f"llm-jobs-{secrets.token_hex(16)}"
    fields = (
        f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{name}"\r\n'
        "content-type: application/jsonl\r\n\r\n"
    )
    payload = fields.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return {"content-type": f"multipart/form-data; boundary={boundary}"}, payload
