"""What became of one call: every attempt that was recorded, is under way or was lost, and for which job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llm_jobs.ledger.audits import OUTCOMES_OF_CALL
from llm_jobs.ledger.base import Trace
from llm_jobs.ledger.batching import owner_row
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import FACT_COLUMNS, OwnerRow, facts_of

_INTENT_COLUMNS = ("id", "job_hash", "model", "attempt", "intended_ns", "owner_id")
_TRACES = f"""
SELECT {", ".join(f"i.{name}" for name in _INTENT_COLUMNS)}, o.recorded_ns, a.intent_id,
    {", ".join(f"o.{name}" for name in FACT_COLUMNS)}
FROM intents i LEFT JOIN outcomes o ON o.intent_id = i.id
LEFT JOIN answers a ON a.intent_id = i.id AND a.call_hash = i.call_hash
WHERE i.id IN (
    {OUTCOMES_OF_CALL} UNION SELECT c.intent_id FROM claims c WHERE c.call_hash = ?
    UNION SELECT own.id FROM intents own WHERE own.call_hash = ? AND own.job_hash = ?
) AND i.call_hash = ?
ORDER BY i.id
"""


def select_traces(
    plain: Plain, call_hash: str, *, job_hash: str | None, is_alive: Callable[[OwnerRow | None], bool]
) -> list[Trace]:
    """Attempts, oldest first. A lost one of another job than `job_hash` is among them until the call is taken over:
    `unrecorded` lists them all, and nothing finds them by their call."""
    rows = plain.rows(_TRACES, (call_hash, call_hash, call_hash, call_hash, job_hash, call_hash))
    return [_trace(row, is_lost=row[6] is None and not is_alive(owner_row(plain, row[5]))) for row in rows]


def _trace(row: Sequence[Any], *, is_lost: bool) -> Trace:
    number, job_hash, model, attempt, intended_ns, _, recorded_ns, answer, *facts = row
    return Trace(
        intent_id=number,
        job_hash=job_hash,
        model=model,
        attempt=attempt,
        intended_ns=intended_ns,
        recorded_ns=recorded_ns,
        facts=None if recorded_ns is None else facts_of(facts),
        is_answer=answer is not None,
        is_lost=is_lost,
    )
