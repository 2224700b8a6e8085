"""Money and tokens set aside before a call and settled after it: the arithmetic, free of any database.

A budget counts what its calls cost and what those in flight may cost at worst; a call is granted only where both and
its own worst case stay within the cap, so no race passes it. Amounts are whole picodollars, rounded up: what is
reserved and given back a million times comes to nothing exactly. Who holds the lock on the budgets is the back end's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from llm_jobs.ledger.base import BudgetCap, BudgetState, Facts, OverBudget, Want
from llm_jobs.ledger.charges import surely_free

_PICO = 10**12
_LARGEST = 2**62
_ROUNDING = 0.01  # a float of some dollars is off by less than this many picodollars


def pico_usd(usd: float) -> int:
    """Dollars as whole picodollars, rounded up."""
    return math.ceil(min(usd * _PICO, float(_LARGEST)) - _ROUNDING)


@dataclass(slots=True)
class Account:
    """A budget's row, without its key."""

    spent_pico_usd: int = 0
    spent_tokens: int = 0
    reserved_pico_usd: int = 0
    reserved_tokens: int = 0

    def __iter__(self) -> Iterator[int]:
        return iter((self.spent_pico_usd, self.spent_tokens, self.reserved_pico_usd, self.reserved_tokens))

    @property
    def state(self) -> BudgetState:
        return BudgetState(
            spent_usd=self.spent_pico_usd / _PICO,
            spent_tokens=self.spent_tokens,
            reserved_usd=self.reserved_pico_usd / _PICO,
            reserved_tokens=self.reserved_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one attempt may cost one budget. None: its worst case is not known."""

    intent_id: int
    budget: str
    worst_pico_usd: int | None
    worst_tokens: int | None


# What the calls of living owners hold of a budget: picodollars and tokens.
Live = Callable[[str], tuple[int, int]]


class Accounts:
    """The budgets that one exchange touches, read under the database's lock. `changed` is written afterwards."""

    def __init__(self, accounts: dict[str, Account]) -> None:
        self._accounts = accounts
        self._granted: dict[str, tuple[int, int]] = {}  # by this exchange
        self.changed: dict[str, Account] = {}

    def settle(self, reservation: Reservation, facts: Facts) -> None:
        """Put what an attempt really cost in the place of what it might have."""
        account = self._touch(reservation.budget)
        cost, tokens = _really(facts, reservation)
        account.reserved_pico_usd -= reservation.worst_pico_usd or 0
        account.reserved_tokens -= reservation.worst_tokens or 0
        account.spent_pico_usd += cost
        account.spent_tokens += tokens

    def reserve(self, want: Want, live: Live) -> OverBudget | None:
        """Set the worst case of `want` aside in all of its budgets, or in none and say which refused it."""
        cost = None if want.worst_cost_usd is None else pico_usd(want.worst_cost_usd)
        full = [cap for cap in want.budgets if not _fits(self._account(cap.key), cap, cost, want.worst_tokens)]
        if full:
            return self._refusal(full, cost, want.worst_tokens, live)
        for key in dict.fromkeys(cap.key for cap in want.budgets):
            account = self._touch(key)
            account.reserved_pico_usd += cost or 0
            account.reserved_tokens += want.worst_tokens or 0
            money, tokens = self._granted.get(key, (0, 0))
            self._granted[key] = (money + (cost or 0), tokens + (want.worst_tokens or 0))
        return None

    def _refusal(self, full: Sequence[BudgetCap], cost: int | None, tokens: int | None, live: Live) -> OverBudget:
        for cap in full:
            account = self._account(cap.key)
            held, here = live(cap.key), self._granted.get(cap.key, (0, 0))
            at_best = Account(
                spent_pico_usd=account.spent_pico_usd,
                spent_tokens=account.spent_tokens,
                reserved_pico_usd=account.reserved_pico_usd - held[0] - here[0],
                reserved_tokens=account.reserved_tokens - held[1] - here[1],
            )
            if not _fits(at_best, cap, cost, tokens):
                return OverBudget(key=cap.key, pending=False)
        return OverBudget(key=full[0].key, pending=True)

    def _account(self, key: str) -> Account:
        return self._accounts.setdefault(key, Account())

    def _touch(self, key: str) -> Account:
        account = self._account(key)
        self.changed[key] = account
        return account


def reservations(granted: Mapping[int, Want]) -> list[Reservation]:
    """What is set aside for each intent in each of its budgets."""
    return [
        Reservation(
            intent_id, key, None if want.worst_cost_usd is None else pico_usd(want.worst_cost_usd), want.worst_tokens
        )
        for intent_id, want in granted.items()
        for key in dict.fromkeys(cap.key for cap in want.budgets)
    ]


def _fits(account: Account, cap: BudgetCap, cost: int | None, tokens: int | None) -> bool:
    """Whether a call of this worst case stays within the cap. One that nobody knows passes any cap."""
    if cap.max_cost_usd is not None:
        limit = math.floor(min(cap.max_cost_usd * _PICO, float(_LARGEST)) + _ROUNDING)
        if cost is None or account.spent_pico_usd + account.reserved_pico_usd + cost > limit:
            return False
    if cap.max_tokens is not None:
        return tokens is not None and account.spent_tokens + account.reserved_tokens + tokens <= cap.max_tokens
    return True


def _really(facts: Facts, reservation: Reservation) -> tuple[int, int]:
    """Picodollars and tokens that an attempt counts for: what is known, nothing where it surely cost nothing, and
    otherwise its worst case."""
    unknown = (0, 0) if surely_free(facts) else (reservation.worst_pico_usd or 0, reservation.worst_tokens or 0)
    cost = unknown[0] if facts.cost_usd is None else pico_usd(facts.cost_usd)
    if facts.prompt_tokens is None and facts.completion_tokens is None:
        return cost, unknown[1]
    return cost, (facts.prompt_tokens or 0) + (facts.completion_tokens or 0)
