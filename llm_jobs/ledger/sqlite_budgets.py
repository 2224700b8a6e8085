"""Budgets on SQLite, within the transaction of an exchange: read, reckoned with, written back."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

import orjson

from llm_jobs.ledger.base import Facts, OverBudget, Want
from llm_jobs.ledger.budgets import Account, Accounts, Reservation, reservations

_TAKE_RESERVATIONS = """
DELETE FROM reservations WHERE intent_id IN (SELECT value FROM json_each(?))
RETURNING intent_id, budget, worst_pico_usd, worst_tokens
"""
_SELECT_BUDGETS = """
SELECT b.budget, spent_pico_usd, spent_tokens, reserved_pico_usd, reserved_tokens FROM json_each(?) w
CROSS JOIN budgets b ON b.budget = w.value
"""
_RESERVED_BY_OWNER = """
SELECT owner_id, coalesce(sum(worst_pico_usd), 0), coalesce(sum(worst_tokens), 0)
FROM reservations WHERE budget = ? GROUP BY owner_id
"""
_INSERT_RESERVATION = (
    "INSERT INTO reservations (intent_id, budget, worst_pico_usd, worst_tokens, owner_id) VALUES (?, ?, ?, ?, ?)"
)
_WRITE_BUDGET = """
INSERT INTO budgets (budget, spent_pico_usd, spent_tokens, reserved_pico_usd, reserved_tokens) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (budget) DO UPDATE SET spent_pico_usd = excluded.spent_pico_usd, spent_tokens = excluded.spent_tokens,
reserved_pico_usd = excluded.reserved_pico_usd, reserved_tokens = excluded.reserved_tokens
"""


class SqliteBudgets:
    """The budgets' part of an exchange. Its connection holds the write lock."""

    def __init__(self, hot: sqlite3.Connection) -> None:
        self._hot = hot

    def settle(self, ended: Mapping[int, Facts]) -> None:
        """Put what attempts cost, by intent, in the place of what was set aside for them, where something was."""
        taken = [Reservation(*row) for row in self._hot.execute(_TAKE_RESERVATIONS, (as_json(list(ended)),))]
        if taken:
            accounts = self._accounts(reservation.budget for reservation in taken)
            for reservation in taken:
                accounts.settle(reservation, ended[reservation.intent_id])
            self._write(accounts)

    def reserve(
        self, wants: Sequence[Want], *, alive: Callable[[int], bool]
    ) -> tuple[list[Want], dict[str, OverBudget]]:
        """Set aside the worst cases of `wants`; returns those that there was room for, and what refused the others."""

        @functools.cache
        def live(key: str) -> tuple[int, int]:
            held = [row[1:] for row in self._hot.execute(_RESERVED_BY_OWNER, (key,)).fetchall() if alive(row[0])]
            return sum(row[0] for row in held), sum(row[1] for row in held)

        accounts = self._accounts(cap.key for want in wants for cap in want.budgets)
        over: dict[str, OverBudget] = {}
        within: list[Want] = []
        for want in wants:
            if (refusal := accounts.reserve(want, live)) is None:
                within.append(want)
            else:
                over[want.call_hash] = refusal
        self._write(accounts)
        return within, over

    def keep(self, granted: Mapping[int, Want], *, owner_id: int) -> None:
        """Note what is set aside for each intent."""
        rows = [(one.intent_id, one.budget, one.worst_pico_usd, one.worst_tokens) for one in reservations(granted)]
        self._hot.executemany(_INSERT_RESERVATION, [(*row, owner_id) for row in rows])

    def _accounts(self, keys: Iterable[str]) -> Accounts:
        rows = self._hot.execute(_SELECT_BUDGETS, (as_json(list(set(keys))),))
        return Accounts({key: Account(*amounts) for key, *amounts in rows})

    def _write(self, accounts: Accounts) -> None:
        rows = [(key, *account) for key, account in accounts.changed.items()]
        self._hot.executemany(_WRITE_BUDGET, rows)


def as_json(values: Sequence[int | str]) -> str:
    """`values` for `json_each`."""
    return orjson.dumps(values).decode()
