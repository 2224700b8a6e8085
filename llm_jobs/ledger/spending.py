"""Questions about money: how full budgets are, and who spent what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from llm_jobs.documents.job import NO_SUCCESS
from llm_jobs.ledger.base import BudgetState, PaidCall, UsageRow
from llm_jobs.ledger.budgets import Account
from llm_jobs.ledger.charges import SENT, UNPRICED
from llm_jobs.ledger.plain import Plain, marks, portions
from llm_jobs.ledger.records import from_json

PAGE_ROWS = 50_000
_DAY_S = 86_400
_SUMMED = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "latency_s")
_BUDGETS = "SELECT budget, spent_pico_usd, spent_tokens, reserved_pico_usd, reserved_tokens FROM budgets"
# A retry that was not sent ends a call that was: there was an attempt before it.
_USAGE = f"""
SELECT o.recorded_ns / {_DAY_S * 1_000_000_000} AS day, i.provider, i.model, i.job_hash, i.submission_id,
    sum(CASE WHEN {SENT} THEN 1 ELSE 0 END) AS attempts, sum(CASE WHEN o.final THEN 1 ELSE 0 END) AS calls,
    sum(CASE WHEN {UNPRICED} THEN 1 ELSE 0 END) AS unpriced, count(o.latency_s) AS timed,
    {", ".join(f"sum(o.{name}) AS {name}" for name in _SUMMED)}
FROM outcomes o JOIN intents i ON i.id = o.intent_id WHERE ({SENT} OR i.attempt > 1){{bounds}}
GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
_BOUGHT = ", ".join(f"'{status}'" for status in ("succeeded", *NO_SUCCESS))
_PAID = f"""
SELECT i.id, i.call_hash, i.attempt, i.mode, o.status = 'succeeded' AND NOT o.late, o.cost_usd, o.recorded_ns
FROM intents i JOIN outcomes o ON o.intent_id = i.id
WHERE i.job_hash = ? AND i.id > ? AND (o.status IN ({_BOUGHT}) OR o.cost_usd > 0)
ORDER BY i.id LIMIT ?
"""


def select_budgets(plain: Plain, keys: Sequence[str]) -> dict[str, BudgetState]:
    """The state of each budget; one that nothing was counted for is empty."""
    found = {
        row[0]: Account(*row[1:]).state
        for some in portions(keys)
        for row in plain.rows(f"{_BUDGETS} WHERE budget IN {marks(len(some))}", some)
    }
    return {key: found.get(key, BudgetState()) for key in keys}


def select_usage(plain: Plain, *, since_ns: int | None, until_ns: int | None) -> list[UsageRow]:
    """Attempts that were sent and recorded, by day, model and submission, oldest day first. Reads every attempt."""
    bounds = {"o.recorded_ns >= ?": since_ns, "o.recorded_ns < ?": until_ns}
    stated = {bound: value for bound, value in bounds.items() if value is not None}
    rows = plain.named(_USAGE.format(bounds="".join(f" AND {bound}" for bound in stated)), list(stated.values()))
    who = plain.named("SELECT id, submitter, labels FROM submissions") if rows else []
    submitted = {row.id: row for row in who}
    return [_usage(row, submitted[row.submission_id]) for row in rows]


def select_paid(plain: Plain, job_hash: str, *, after_id: int) -> dict[int, PaidCall]:
    """The next page of what a job's attempts bought, by their intents."""
    return {
        row[0]: PaidCall(
            call_hash=row[1],
            attempts=row[2],
            mode=row[3],
            is_answer=bool(row[4]),
            cost_usd=row[5],
            recorded_ns=row[6],
        )
        for row in plain.rows(_PAID, (job_hash, after_id, PAGE_ROWS))
    }


def _usage(row: Any, submitted: Any) -> UsageRow:
    sums = {name: getattr(row, name) for name in _SUMMED}
    tokens = {name: int(value) for name, value in sums.items() if name.endswith("_tokens") and value is not None}
    return UsageRow(
        day=datetime.fromtimestamp(row.day * _DAY_S, UTC).date(),
        provider=row.provider,
        model=row.model,
        job_hash=row.job_hash,
        submission_id=row.submission_id,
        submitter=submitted.submitter,
        labels=from_json(submitted.labels),
        attempts=int(row.attempts),
        calls=int(row.calls),
        unpriced=int(row.unpriced),
        timed=row.timed,
        **sums | tokens,
    )
