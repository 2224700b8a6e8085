"""What became of one call: every attempt that was recorded or is under way, and for which job."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from llm_jobs.ledger.audits import outcomes_of_call
from llm_jobs.ledger.base import Trace
from llm_jobs.ledger.records import FACT_COLUMNS, facts_of
from llm_jobs.ledger.tables import answers, claims, intents, outcomes

_INTENT = (intents.c.id, intents.c.job_hash, intents.c.model, intents.c.attempt, intents.c.intended_ns)
_FACTS = tuple(outcomes.c[name] for name in FACT_COLUMNS)


def select_traces(connection: Connection, call_hash: str) -> list[Trace]:
    """Attempts, oldest first. One whose owner died before it was recorded is not among them: `unrecorded` lists it."""
    ids = outcomes_of_call(call_hash).union(select(claims.c.intent_id).where(claims.c.call_hash == call_hash))
    query = (
        select(*_INTENT, outcomes.c.recorded_ns, answers.c.intent_id.label("answer"), *_FACTS)
        .outerjoin(outcomes, outcomes.c.intent_id == intents.c.id)
        .outerjoin(answers, (answers.c.intent_id == intents.c.id) & (answers.c.call_hash == call_hash))
        .where(intents.c.id.in_(ids), intents.c.call_hash == call_hash)
        .order_by(intents.c.id)
    )
    return [_trace(row) for row in connection.execute(query)]


def _trace(row: Row[Any]) -> Trace:
    return Trace(
        intent_id=row.id,
        job_hash=row.job_hash,
        model=row.model,
        attempt=row.attempt,
        intended_ns=row.intended_ns,
        recorded_ns=row.recorded_ns,
        facts=None if row.recorded_ns is None else facts_of(row[7:]),
        is_answer=row.answer is not None,
    )
