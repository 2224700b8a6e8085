"""Budgets on PostgreSQL, within the transaction of an exchange.

Whoever changes a budget holds the lock on its row from before it reads it until it commits. Budgets are locked after
claims and in the order of their keys, so that two exchanges do not lock each other out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString, TypeAlias

from llm_jobs.ledger.base import Facts, OverBudget, Want
from llm_jobs.ledger.budgets import Account, Accounts, Reservation, reservations

if TYPE_CHECKING:
    import psycopg  # loaded by SQLAlchemy, and only where PostgreSQL is used

Hot: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"
Statement: TypeAlias = tuple[LiteralString, tuple[Any, ...]]

TAKE_RESERVATIONS = """
DELETE FROM reservations WHERE intent_id = ANY(%s) RETURNING intent_id, budget, worst_pico_usd, worst_tokens
"""
_MAKE_BUDGETS = "INSERT INTO budgets (budget) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
_LOCK_BUDGETS = """
SELECT budget, spent_pico_usd, spent_tokens, reserved_pico_usd, reserved_tokens FROM budgets
WHERE budget = ANY(%s) ORDER BY budget FOR UPDATE
"""
_RESERVED_BY_OWNER = """
SELECT owner_id, coalesce(sum(worst_pico_usd), 0)::bigint, coalesce(sum(worst_tokens), 0)::bigint
FROM reservations WHERE budget = %s GROUP BY owner_id
"""
_WRITE_BUDGETS = """
UPDATE budgets SET spent_pico_usd = g.spent_pico_usd, spent_tokens = g.spent_tokens,
    reserved_pico_usd = g.reserved_pico_usd, reserved_tokens = g.reserved_tokens
FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[])
    AS g (budget, spent_pico_usd, spent_tokens, reserved_pico_usd, reserved_tokens)
WHERE budgets.budget = g.budget
"""
_INSERT_RESERVATIONS = """
INSERT INTO reservations (owner_id, intent_id, budget, worst_pico_usd, worst_tokens)
SELECT %s, * FROM unnest(%s::bigint[], %s::text[], %s::bigint[], %s::bigint[])
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Budgeted:
    """What the budgets refused, and the statements that write what was settled and set aside."""

    over: Mapping[str, OverBudget] = field(default_factory=dict)
    statements: Sequence[Statement] = ()


def budget(
    hot: Hot,
    *,
    taken: Sequence[Reservation],
    ended: Mapping[int, Facts],
    wants: Mapping[int, Want],
    owner_id: int,
    alive: Callable[[int], bool],
) -> Budgeted:
    """Settle the reservations `taken` by the facts of the attempts that `ended`, and reserve for `wants`; both by
    intent."""
    keys = {reservation.budget for reservation in taken} | {cap.key for want in wants.values() for cap in want.budgets}
    if not keys:
        return Budgeted()
    accounts = _locked(hot, keys)
    for reservation in taken:
        accounts.settle(reservation, ended[reservation.intent_id])

    @functools.cache
    def live(key: str) -> tuple[int, int]:
        held = [row[1:] for row in hot.execute(_RESERVED_BY_OWNER, (key,)).fetchall() if alive(row[0])]
        return sum(row[0] for row in held), sum(row[1] for row in held)

    refused = {number: accounts.reserve(want, live) for number, want in wants.items()}
    over = {wants[number].call_hash: refusal for number, refusal in refused.items() if refusal is not None}
    within = {number: wants[number] for number, refusal in refused.items() if refusal is None}
    return Budgeted(over=over, statements=[*_written(accounts), *_kept(within, owner_id)])


def _locked(hot: Hot, keys: Collection[str]) -> Accounts:
    ordered = sorted(keys)
    with hot.pipeline():
        hot.execute(_MAKE_BUDGETS, (ordered,))
        found = hot.execute(_LOCK_BUDGETS, (ordered,))
    return Accounts({key: Account(*amounts) for key, *amounts in found.fetchall()})


def _written(accounts: Accounts) -> list[Statement]:
    rows = [(key, *account) for key, account in accounts.changed.items()]
    return [(_WRITE_BUDGETS, tuple(map(list, zip(*rows, strict=True))))] if rows else []


def _kept(granted: Mapping[int, Want], owner_id: int) -> list[Statement]:
    rows = [(one.intent_id, one.budget, one.worst_pico_usd, one.worst_tokens) for one in reservations(granted)]
    return [(_INSERT_RESERVATIONS, (owner_id, *map(list, zip(*rows, strict=True))))] if rows else []
