"""What became of one call: every attempt that was recorded or is under way, and for which job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_jobs.ledger.audits import OUTCOMES_OF_CALL
from llm_jobs.ledger.base import Trace
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import FACT_COLUMNS, facts_of

_INTENT_COLUMNS = ("id", "job_hash", "model", "attempt", "intended_ns")
_TRACES = f"""
SELECT {", ".join(f"i.{name}" for name in _INTENT_COLUMNS)}, o.recorded_ns, a.intent_id,
    {", ".join(f"o.{name}" for name in FACT_COLUMNS)}
FROM intents i LEFT JOIN outcomes o ON o.intent_id = i.id
LEFT JOIN answers a ON a.intent_id = i.id AND a.call_hash = i.call_hash
WHERE i.id IN ({OUTCOMES_OF_CALL} UNION SELECT c.intent_id FROM claims c WHERE c.call_hash = ?) AND i.call_hash = ?
ORDER BY i.id
"""


def select_traces(plain: Plain, call_hash: str) -> list[Trace]:
    """Attempts, oldest first. One whose owner died before it was recorded is not among them: `unrecorded` lists it."""
    return [_trace(row) for row in plain.rows(_TRACES, (call_hash,) * 4)]


def _trace(row: Sequence[Any]) -> Trace:
    number, job_hash, model, attempt, intended_ns, recorded_ns, answer, *facts = row
    return Trace(
        intent_id=number,
        job_hash=job_hash,
        model=model,
        attempt=attempt,
        intended_ns=intended_ns,
        recorded_ns=recorded_ns,
        facts=None if recorded_ns is None else facts_of(facts),
        is_answer=answer is not None,
    )
