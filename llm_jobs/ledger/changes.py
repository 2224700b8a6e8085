"""Queries about job changes: what somebody changed of a job after it was submitted, without changing the job."""

from __future__ import annotations

import json
from typing import Any, cast

from sqlalchemy import Connection, Row, insert, select

from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import ChangedField, JobChange
from llm_jobs.ledger.tables import job_changes

# Whoever asks for what is new since an id must never meet a smaller one later, and PostgreSQL numbers rows before it
# commits them: so one writer at a time. Readers are not held up.
_ONE_AT_A_TIME = "LOCK TABLE job_changes IN SHARE ROW EXCLUSIVE MODE"


def insert_change(connection: Connection, change: JobChange, *, dialect: Dialect, now_ns: int) -> int:
    """Record `change` and return its id."""
    if dialect == "postgresql":
        connection.exec_driver_sql(_ONE_AT_A_TIME)
    values = {
        "job_hash": change.job_hash,
        "field": change.field,
        "value": json.dumps(change.value, ensure_ascii=False, sort_keys=True),
        "who": change.who,
        "why": change.why,
        "recorded_ns": now_ns,
    }
    return int(connection.execute(insert(job_changes).values(values).returning(job_changes.c.id)).scalar_one())


def select_changes(connection: Connection, *, job_hash: str | None = None, after_id: int = 0) -> list[JobChange]:
    """Changes of one job or of all, oldest first."""
    query = select(job_changes).where(job_changes.c.id > after_id)
    if job_hash is not None:
        query = query.where(job_changes.c.job_hash == job_hash)
    return [_change(row) for row in connection.execute(query.order_by(job_changes.c.id))]


def _change(row: Row[Any]) -> JobChange:
    return JobChange(
        job_hash=row.job_hash,
        field=cast("ChangedField", row.field),
        value=json.loads(row.value),
        who=row.who,
        why=row.why,
        id=row.id,
        recorded_ns=row.recorded_ns,
    )
