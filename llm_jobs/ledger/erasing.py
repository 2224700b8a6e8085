"""Erasure: the one way in which a body leaves the ledger, with who asked for it and why. Facts and hashes stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from llm_jobs.ledger.audits import OUTCOMES_OF_CALL
from llm_jobs.ledger.plain import Plain

_BODIES_OF_CALL = f"DELETE FROM payloads WHERE intent_id IN ({OUTCOMES_OF_CALL})"
_BODIES_OF_JOB = "DELETE FROM documents WHERE submission_id IN (SELECT id FROM submissions WHERE job_hash = ?)"


def erase_bodies(
    plain: Plain, kind: Literal["call", "job"], references: Sequence[str], *, who: str, why: str, now_ns: int
) -> int:
    """Name `references` (call hashes for `call`, job hashes for `job`) as erased and delete their bodies."""
    deleted = 0
    for reference in dict.fromkeys(references):
        values = {"kind": kind, "reference": reference, "who": who, "why": why, "recorded_ns": now_ns}
        plain.insert("erasures", values)
        if kind == "call":
            deleted += plain.run(_BODIES_OF_CALL, (reference, reference))
        else:
            deleted += plain.run(_BODIES_OF_JOB, (reference,))
    return deleted
