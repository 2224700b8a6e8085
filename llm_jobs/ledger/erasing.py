"""Erasure: the one way in which a body leaves the ledger, with who asked for it and why. Facts and hashes stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from sqlalchemy import Connection, delete, insert, select

from llm_jobs.ledger.audits import outcomes_of_call
from llm_jobs.ledger.tables import documents, erasures, payloads, submissions


def erase_bodies(
    connection: Connection, kind: Literal["call", "job"], references: Sequence[str], *, who: str, why: str, now_ns: int
) -> int:
    """Name `references` (call hashes for `call`, job hashes for `job`) as erased and delete their bodies."""
    deleted = 0
    for reference in dict.fromkeys(references):
        values = {"kind": kind, "reference": reference, "who": who, "why": why, "recorded_ns": now_ns}
        connection.execute(insert(erasures).values(values))
        if kind == "call":
            statement = delete(payloads).where(payloads.c.intent_id.in_(outcomes_of_call(reference)))
        else:
            submitted = select(submissions.c.id).where(submissions.c.job_hash == reference)
            statement = delete(documents).where(documents.c.submission_id.in_(submitted))
        deleted += connection.execute(statement).rowcount
    return deleted
