"""Rows and the records they stand for. Facts go in and out in one order, that of `FACT_COLUMNS`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple

from llm_jobs.ledger.base import Answer, Facts, OutcomeStatus, OwnerIdentity
from llm_jobs.ledger.payloads import PayloadCodec

FACT_COLUMNS = tuple(field.name for field in fields(Facts))
_values = attrgetter(*FACT_COLUMNS)

# An answer with its facts and body, from answers a, outcomes o and payloads p.
ANSWER_COLUMNS = "a.call_hash, a.intent_id, p.answer, o.recorded_ns, " + ", ".join(f"o.{name}" for name in FACT_COLUMNS)


def fact_values(facts: Facts) -> tuple[Any, ...]:
    """The facts in the order of `FACT_COLUMNS`, without characters that a database refuses."""
    words = f"{facts.finish_reason}{facts.model_answered}"
    if facts.error is None and words.isascii() and words.isprintable():
        return _values(facts)
    return tuple(_storable(value) if isinstance(value, str) else value for value in _values(facts))


def _storable(text: str) -> str:
    """`text` with U+FFFD for NUL, which PostgreSQL has no place for, and for lone surrogates."""
    return text.replace("\0", "\ufffd").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def facts_of(values: Sequence[Any]) -> Facts:
    """Facts from a row's values in the order of `FACT_COLUMNS`."""
    return _facts(*values)


def _facts(
    status: OutcomeStatus,
    model_answered: str | None,
    finish_reason: str | None,
    prompt_tokens: int | None,
    completion_tokens: int | None,
    cached_tokens: int | None,
    reasoning_tokens: int | None,
    cost_usd: float | None,
    latency_s: float | None,
    http_status: int | None,
    error_class: str | None,
    error: str | None,
) -> Facts:
    """Spelled out because it is made for each of a million answers that are found again, four times as fast so."""
    return Facts(
        status=status,
        model_answered=model_answered,
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=cached_tokens,
        reasoning_tokens=reasoning_tokens,
        cost_usd=cost_usd,
        latency_s=latency_s,
        http_status=http_status,
        error_class=error_class,
        error=error,
    )


def answer_of(row: Sequence[Any], codec: PayloadCodec) -> Answer:
    """An answer from a row of `ANSWER_COLUMNS`."""
    call_hash, intent_id, body, recorded_ns, *facts = row
    return Answer(
        call_hash=call_hash,
        intent_id=intent_id,
        facts=_facts(*facts),
        answer=codec.unpack_optional(body),
        recorded_ns=recorded_ns,
    )


class OwnerRow(NamedTuple):
    """A row of the owners table."""

    id: int
    host: str
    boot_id: str
    pid: int
    started: float
    run_id: str | None
    heartbeat_ns: int
    closed_ns: int | None
    kind: str | None = None


OWNER_COLUMNS = OwnerRow._fields


def owner_of(row: OwnerRow) -> OwnerIdentity:
    return OwnerIdentity(host=row.host, boot_id=row.boot_id, pid=row.pid, started=row.started, run_id=row.run_id)


def to_json(value: Mapping[str, object]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True)


def from_json(text: str | None) -> dict[str, Any]:
    return {} if text is None else json.loads(text)
