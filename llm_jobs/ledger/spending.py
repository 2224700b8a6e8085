"""Questions about money: how full budgets are, and who spent what."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from llm_jobs.ledger.base import BudgetState
from llm_jobs.ledger.budgets import Account
from llm_jobs.ledger.tables import budgets

_AMOUNTS = (
    budgets.c.spent_pico_usd,
    budgets.c.spent_tokens,
    budgets.c.reserved_pico_usd,
    budgets.c.reserved_tokens,
)


def select_budgets(connection: Connection, keys: Sequence[str]) -> dict[str, BudgetState]:
    """The state of each budget; one that nothing was counted for is empty."""
    rows = connection.execute(select(budgets.c.budget, *_AMOUNTS).where(budgets.c.budget.in_(list(keys))))
    found = {row[0]: Account(*row[1:]).state for row in rows}
    return {key: found.get(key, BudgetState()) for key in keys}
