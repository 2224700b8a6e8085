"""Queries about job changes: what somebody changed of a job after it was submitted, without changing the job."""

from __future__ import annotations

import json
from typing import Any, cast

from llm_jobs.ledger.base import ChangedField, JobChange
from llm_jobs.ledger.plain import Plain

# Whoever asks for what is new since an id must never meet a smaller one later, and PostgreSQL numbers rows before it
# commits them: so one writer at a time. Readers are not held up.
_ONE_AT_A_TIME = "LOCK TABLE job_changes IN SHARE ROW EXCLUSIVE MODE"


def insert_change(plain: Plain, change: JobChange, *, now_ns: int) -> int:
    """Record `change` and return its id."""
    if plain.dialect == "postgresql":
        plain.run(_ONE_AT_A_TIME)
    values = {
        "job_hash": change.job_hash,
        "field": change.field,
        "value": json.dumps(change.value, ensure_ascii=False, sort_keys=True),
        "who": change.who,
        "why": change.why,
        "recorded_ns": now_ns,
    }
    return plain.insert_numbered("job_changes", values)


def select_changes(plain: Plain, *, job_hash: str | None = None, after_id: int = 0) -> list[JobChange]:
    """Changes of one job or of all, oldest first."""
    of_job = "" if job_hash is None else " AND job_hash = ?"
    query = f"SELECT * FROM job_changes WHERE id > ?{of_job} ORDER BY id"
    return [_change(row) for row in plain.named(query, (after_id, *([] if job_hash is None else [job_hash])))]


def _change(row: Any) -> JobChange:
    return JobChange(
        job_hash=row.job_hash,
        field=cast("ChangedField", row.field),
        value=json.loads(row.value),
        who=row.who,
        why=row.why,
        id=row.id,
        recorded_ns=row.recorded_ns,
    )
