"""Delivers a result to an HTTP endpoint: rows as JSON, batch by batch, in order.

Each batch has an idempotency key of its own, the same at every repetition (`Idempotency-Key: <job>-<epoch>-<batch>`),
and is told to `took` when the endpoint has accepted it. A delivery that is repeated sends what was not accepted; the
one batch whose answer was lost is sent again under its key, by which the endpoint can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import BinaryIO

import orjson
import pyarrow as pa

from llm_jobs.deliveries.http import Response, Send
from llm_jobs.deliveries.reading import opened
from llm_jobs.deliveries.subject import Delivered, Subject
from llm_jobs.deliveries.values import Batch, batches_of, to_json
from llm_jobs.documents.destinations import ApiOutput
from llm_jobs.errors import DeliveryError, DeliveryRefused

REMOVED = "[removed secret]"
SHOWN_CHARACTERS = 300
LONGEST_WAIT_S = 900.0  # a server that asks for more is down for this delivery
BACKOFF_S = 0.5
BACKOFF_CAP_S = 60.0
_TRANSIENT = frozenset({408, 409, 425, 429})
_TYPES = {"json": "application/json", "jsonl": "application/x-ndjson"}
_REMEDIES: Mapping[int, str] = {
    401: "set the variable that holds the token, or name another under auth",
    403: "ask the owner of the endpoint for the right to write",
    404: "check the address of the endpoint",
    405: "write another method: POST, PUT or PATCH",
    413: "write a smaller batch_size",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """The headers with their secrets filled in, and the secrets, so that no error repeats one."""

    headers: Mapping[str, str]
    secrets: Sequence[str] = ()

    def __repr__(self) -> str:
        return f"Credentials(headers={sorted(self.headers)})"

    def without(self, text: str) -> str:
        for secret in sorted(filter(None, self.secrets), key=len, reverse=True):
            text = text.replace(secret, REMOVED)
        return text


@dataclass(frozen=True, kw_only=True, slots=True)
class Means:
    """What sending needs of the world outside."""

    send: Send
    sleep: Callable[[float], object]
    random: Random
    shows_answers: bool = True  # may an error repeat what the endpoint said


def deliver(
    result: BinaryIO,
    output: ApiOutput,
    subject: Subject,
    *,
    credentials: Credentials,
    means: Means,
    batch_rows: int,
    accepted: Collection[int],
    took: Callable[[Batch], None],
) -> Delivered:
    """Send the batches of `result` that are not among `accepted`; `batch_rows` as at the first attempt.

    Raises DeliveryRefused where the endpoint will not take a batch, DeliveryError where the retries are used up.
    """
    file = opened(result)
    sent = 0
    for batch in batches_of(file, rows=batch_rows, but=accepted):
        _send(batch, output, subject, credentials, means)
        took(batch)
        sent += 1
    return Delivered(
        destination=output.place,
        rows=int(file.metadata.num_rows),
        is_new=bool(sent),
        details={"batches": len(accepted) + sent, "batches sent now": sent},
    )


def encoded(table: pa.Table, form: str) -> bytes:
    """Rows as a JSON list, or as lines of JSON."""
    rows = table.to_pylist()
    if form == "json":
        return to_json(rows).encode()
    return b"".join(to_json(row).encode() + b"\n" for row in rows)


def _send(batch: Batch, output: ApiOutput, subject: Subject, credentials: Credentials, means: Means) -> None:
    headers = {
        **credentials.headers,
        "Content-Type": _TYPES[output.format],
        "Idempotency-Key": f"{subject.job_hash}-{subject.epoch_ns}-{batch.number}",
    }
    body = encoded(batch.table, output.format)
    for failures in range(output.retries + 1):
        wait_s: float | None = None
        try:
            response = means.send(
                output.method, output.endpoint, headers=headers, body=body, timeout_s=output.timeout_s
            )
        except DeliveryError as error:
            failure = credentials.without(str(error))
        else:
            if 200 <= response.status < 300:
                return
            failure, wait_s = _failure(response, output, credentials, means), response.wait_s
        if failures == output.retries or (wait_s or 0.0) > LONGEST_WAIT_S:
            break
        means.sleep((wait_s or 0.0) + means.random.uniform(0.0, min(BACKOFF_CAP_S, BACKOFF_S * 2.0**failures)))
    raise DeliveryError(
        f"batch {batch.number} (rows from {batch.first_row}) was not accepted in {failures + 1} tries: {failure}"
    )


def _failure(response: Response, output: ApiOutput, credentials: Credentials, means: Means) -> str:
    """What a refusal says. Raises DeliveryRefused for one that will not pass."""
    text = f"{output.method} {output.endpoint} answered {response.status}"
    if means.shows_answers and (said := _said(response.body)):
        text += f": {credentials.without(said)}"
    if response.status in _TRANSIENT or response.status >= 500:
        return text
    if 300 <= response.status < 400:
        raise DeliveryRefused(f"{text}; redirects are not followed, write the final address")
    remedy = _REMEDIES.get(response.status, "correct what it names, or the endpoint")
    raise DeliveryRefused(f"{text}; {remedy}")


def _said(body: bytes) -> str:
    """What an error's body says, in one line."""
    try:
        members = orjson.loads(body)
    except orjson.JSONDecodeError:
        said: object = body.decode("utf-8", "replace")
    else:
        error = members.get("error", members) if isinstance(members, dict) else members
        said = error.get("message") or error.get("detail") or error if isinstance(error, dict) else error
    return " ".join(str(said).split())[:SHOWN_CHARACTERS]
