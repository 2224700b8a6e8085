"""Questions about the whole record: what may have been paid for nothing, what was spent, what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llm_jobs.ledger.base import Facts, LedgerAudit, Spend
from llm_jobs.ledger.charges import SENT, UNPRICED
from llm_jobs.ledger.payloads import own_codec
from llm_jobs.ledger.plain import Plain, marks, portions
from llm_jobs.ledger.records import FACT_COLUMNS, facts_of

PAGE_ROWS = 1000

# The condition of the partial index, word for word: otherwise SQLite would not use it.
WITHOUT_ANSWER = "(o.late OR o.status <> 'succeeded')"
# The intents of a call (its hash is given twice) that have an outcome: `answers` and the partial index on `outcomes`
# hold one part each.
OUTCOMES_OF_CALL = f"""
SELECT a.intent_id FROM answers a WHERE a.call_hash = ?
UNION SELECT o.intent_id FROM outcomes o WHERE o.call_hash = ? AND {WITHOUT_ANSWER}
"""
_UNRECORDED = """
SELECT i.id, i.call_hash, i.job_hash, i.model, i.intended_ns, i.owner_id FROM intents i
WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.intent_id = i.id)
"""
_ATTEMPTS = f"""
SELECT o.intent_id, p.request, p.answer, {", ".join(f"o.{name}" for name in FACT_COLUMNS)}
FROM outcomes o LEFT JOIN payloads p ON p.intent_id = o.intent_id
WHERE o.intent_id IN ({OUTCOMES_OF_CALL}) ORDER BY o.intent_id
"""
_LATE_OF_JOB = f"""
SELECT count(*) FROM outcomes o JOIN intents i ON i.id = o.intent_id
WHERE {WITHOUT_ANSWER} AND o.status = 'succeeded' AND i.job_hash = ?
"""
_SPEND = f"""
SELECT i.job_hash, count(*) AS attempts, count(DISTINCT i.call_hash) AS calls, sum(o.prompt_tokens) AS prompt_tokens,
    sum(o.completion_tokens) AS completion_tokens, sum(o.cost_usd) AS cost_usd,
    sum(CASE WHEN {UNPRICED} THEN 1 ELSE 0 END) AS unpriced
FROM intents i JOIN outcomes o ON o.intent_id = i.id WHERE i.job_hash IN {{jobs}} AND {SENT} GROUP BY i.job_hash
"""
_LATE = "SELECT intent_id FROM outcomes WHERE late"
_PAID_TWICE = "SELECT call_hash FROM outcomes WHERE status = 'succeeded' GROUP BY call_hash HAVING count(*) > 1"
# What must not be there, in the words of the report, with the kind of thing that each row names.
_CONTRADICTIONS = (
    (
        "answers without a successful outcome",
        "call",
        """SELECT a.call_hash FROM answers a WHERE NOT EXISTS (SELECT 1 FROM outcomes o
        WHERE o.intent_id = a.intent_id AND o.call_hash = a.call_hash AND o.status = 'succeeded')""",
    ),
    (
        "outcomes of another call's intent",
        "call",
        """SELECT o.call_hash FROM outcomes o WHERE NOT EXISTS (SELECT 1 FROM intents i
        WHERE i.id = o.intent_id AND i.call_hash = o.call_hash)""",
    ),
    (
        "successes that are no answer",
        "call",
        """SELECT o.call_hash FROM outcomes o WHERE o.status = 'succeeded'
        AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.call_hash = o.call_hash)""",
    ),
    (
        "outcomes without bodies that nobody erased",
        "call",
        """SELECT o.call_hash FROM outcomes o
        WHERE NOT EXISTS (SELECT 1 FROM payloads p WHERE p.intent_id = o.intent_id)
        AND NOT EXISTS (SELECT 1 FROM erasures e WHERE e.kind = 'call' AND e.reference = o.call_hash)""",
    ),
    (
        "budgets that hold other than what is set aside",
        "budget",
        """SELECT b.budget FROM budgets b LEFT JOIN (
            SELECT r.budget, sum(r.worst_pico_usd) AS pico_usd, sum(r.worst_tokens) AS tokens FROM reservations r
            WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.intent_id = r.intent_id) GROUP BY r.budget
        ) s ON s.budget = b.budget
        WHERE b.reserved_pico_usd <> coalesce(s.pico_usd, 0) OR b.reserved_tokens <> coalesce(s.tokens, 0)""",
    ),
)


def select_unrecorded(plain: Plain, *, job_hash: str | None, after_id: int) -> Sequence[Any]:
    """The next page of intents without outcome: id, call_hash, job_hash, model, intended_ns, owner_id."""
    of_job = "" if job_hash is None else " AND i.job_hash = ?"
    values = [after_id] if job_hash is None else [after_id, job_hash]
    return plain.named(f"{_UNRECORDED} AND i.id > ?{of_job} ORDER BY i.id LIMIT {PAGE_ROWS}", values)


def select_attempts(plain: Plain, call_hash: str) -> list[tuple[int, Facts, bytes, bytes | None]]:
    """Recorded attempts, oldest first; the bodies of an erased one are b"" and None."""
    codec = own_codec()
    return [
        (row[0], facts_of(row[3:]), codec.unpack_optional(row[1]) or b"", codec.unpack_optional(row[2]))
        for row in plain.rows(_ATTEMPTS, (call_hash, call_hash))
    ]


def count_late(plain: Plain, job_hash: str) -> int:
    """Answers that this job's attempts bought after the call had one already. Reads the partial index alone."""
    return int(plain.scalar(_LATE_OF_JOB, (job_hash,)))


def select_spend(plain: Plain, job_hashes: Sequence[str]) -> Iterator[tuple[str, Spend]]:
    """What each job's attempts used, of those that were sent and recorded."""
    for some in portions(job_hashes):
        for row in plain.named(_SPEND.format(jobs=marks(len(some))), some):
            yield row.job_hash, _spend(row)


def _spend(row: Any) -> Spend:
    return Spend(
        attempts=row.attempts,
        calls=row.calls,
        prompt_tokens=None if row.prompt_tokens is None else int(row.prompt_tokens),
        completion_tokens=None if row.completion_tokens is None else int(row.completion_tokens),
        cost_usd=row.cost_usd,
        unpriced=int(row.unpriced),
    )


def audit(plain: Plain) -> LedgerAudit:
    """Counts and contradictions, each found by one query over the whole record."""
    return LedgerAudit(
        submissions=_count(plain, "SELECT id FROM submissions"),
        intents=_count(plain, "SELECT id FROM intents"),
        outcomes=_count(plain, "SELECT intent_id FROM outcomes"),
        answers=_count(plain, "SELECT call_hash FROM answers"),
        late=_count(plain, _LATE),
        paid_twice=_count(plain, _PAID_TWICE),
        unrecorded=_count(plain, _UNRECORDED),
        inconsistencies=tuple(_contradictions(plain)),
    )


def _contradictions(plain: Plain) -> Iterator[str]:
    for what, kind, query in _CONTRADICTIONS:
        if count := _count(plain, query):
            yield f"{count} {what}, for example {kind} {plain.scalar(f'{query} LIMIT 1')}"


def _count(plain: Plain, query: str) -> int:
    return int(plain.scalar(f"SELECT count(*) FROM ({query}) found"))
