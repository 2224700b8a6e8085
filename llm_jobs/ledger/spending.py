"""Questions about money: how full budgets are, and who spent what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, select

from llm_jobs.ledger.base import BudgetState, UsageRow
from llm_jobs.ledger.budgets import Account
from llm_jobs.ledger.records import from_json
from llm_jobs.ledger.tables import budgets, intents, outcomes, submissions

_AMOUNTS = (
    budgets.c.spent_pico_usd,
    budgets.c.spent_tokens,
    budgets.c.reserved_pico_usd,
    budgets.c.reserved_tokens,
)
_DAY_S = 86_400
_GROUP = (
    (outcomes.c.recorded_ns // (_DAY_S * 1_000_000_000)).label("day"),
    intents.c.provider,
    intents.c.model,
    intents.c.job_hash,
    intents.c.submission_id,
)
_SUMMED = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cost_usd", "latency_s")


def select_budgets(connection: Connection, keys: Sequence[str]) -> dict[str, BudgetState]:
    """The state of each budget; one that nothing was counted for is empty."""
    rows = connection.execute(select(budgets.c.budget, *_AMOUNTS).where(budgets.c.budget.in_(list(keys))))
    found = {row[0]: Account(*row[1:]).state for row in rows}
    return {key: found.get(key, BudgetState()) for key in keys}


def select_usage(connection: Connection, *, since_ns: int | None, until_ns: int | None) -> list[UsageRow]:
    """Recorded attempts by day, model and submission, oldest day first. Reads every attempt."""
    query = (
        select(
            *_GROUP,
            func.count().label("attempts"),
            _count(outcomes.c.final).label("calls"),
            _count(outcomes.c.cost_usd.is_(None)).label("unpriced"),
            func.count(outcomes.c.latency_s).label("timed"),
            *(func.sum(outcomes.c[name]).label(name) for name in _SUMMED),
        )
        .join(intents, intents.c.id == outcomes.c.intent_id)
        .group_by(*_GROUP)
        .order_by(*_GROUP)
    )
    if since_ns is not None:
        query = query.where(outcomes.c.recorded_ns >= since_ns)
    if until_ns is not None:
        query = query.where(outcomes.c.recorded_ns < until_ns)
    rows = connection.execute(query).all()
    who = select(submissions.c.id, submissions.c.submitter, submissions.c.labels)
    submitted = {row.id: row for row in connection.execute(who)} if rows else {}
    return [_usage(row, submitted[row.submission_id]) for row in rows]


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _usage(row: Row[Any], submitted: Any) -> UsageRow:
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
        attempts=row.attempts,
        calls=int(row.calls),
        unpriced=int(row.unpriced),
        timed=row.timed,
        **sums | tokens,
    )
