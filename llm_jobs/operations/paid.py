"""What a job paid for before this run: in one that was killed, in one that ended with the job partial, in a batch.

A row of its result states what the job paid for it, whenever that was; of equal calls the first row does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from llm_jobs.engine.calls import Settled, number_of
from llm_jobs.ledger.base import Ledger, PaidCall, Spend


@dataclass(slots=True)
class _Bill:
    """What attempts at a call cost that are not its answer: the newest of them, and those before it."""

    attempts: int = 0
    older_usd: float = 0.0
    newest_usd: float = 0.0
    newest_ns: int = 0

    def add(self, call: PaidCall) -> None:
        self.attempts += call.attempts
        self.older_usd += self.newest_usd
        self.newest_usd, self.newest_ns = call.cost_usd or 0.0, call.recorded_ns


class Paid:
    """The calls that a job paid for, by `number_of` the call. `collected`: attempts of those that the run which makes
    the next result tells as its own, and takes out."""

    def __init__(self) -> None:
        self.collected: dict[int, int] = {}
        self._answers: dict[int, int] = {}  # attempts; 0: a row has told it
        self._bills: dict[int, _Bill] = {}

    def __bool__(self) -> bool:
        return bool(self._answers or self._bills or self.collected)

    def __contains__(self, number: object) -> bool:
        return number in self._answers or number in self._bills or number in self.collected

    @classmethod
    def of(cls, calls: Iterable[PaidCall], *, ended_ns: int | None = None) -> Self:
        """`calls`: oldest first. `ended_ns`: what batches ended after that is told apart; None: nothing is."""
        paid = cls()
        for call in calls:
            number = number_of(call.call_hash)
            if ended_ns is not None and call.mode == "batch" and call.recorded_ns > ended_ns:
                paid.collected[number] = call.attempts
            elif call.is_answer:
                paid._answers[number] = call.attempts
            if not call.is_answer:
                paid._bills.setdefault(number, _Bill()).add(call)
        return paid

    def told(self, settled: list[Settled]) -> tuple[list[Settled], float]:
        """The calls of a row, of which those are not reused that the job paid for, and what it paid beside their
        answers, in dollars."""
        if not (self._answers or self._bills):
            return settled, 0.0
        told = [self._told(each) for each in settled]
        return [each for each, _ in told], sum(more_usd for _, more_usd in told)

    def _told(self, each: Settled) -> tuple[Settled, float]:
        number = number_of(each.call_hash)
        bill = self._bills.pop(number, None)
        if each.facts.status == "cancelled":
            return each, bill.older_usd + bill.newest_usd if bill else 0.0
        if attempts := self._answers.get(number, 0):
            self._answers[number] = 0
            each = replace(each, reused=False, attempts=attempts) if each.reused else each
        if bill is None:
            return each, 0.0
        if bill.newest_ns == each.answered_ns:  # what it said then, though no success, is what this row has
            return replace(each, reused=False, attempts=bill.attempts), bill.older_usd
        return replace(each, attempts=each.attempts + bill.attempts), bill.older_usd + bill.newest_usd


def paid_before(ledger: Ledger, job_hash: str) -> Paid:
    """What the job paid for; what its batches ended since its last result is told apart."""
    results = ledger.results([job_hash]).get(job_hash, ())
    return Paid.of(ledger.paid(job_hash), ended_ns=(results[0].recorded_ns or 0) if results else 0)


def spent_usd(ledger: Ledger, job_hash: str) -> float | None:
    """What all attempts of the job have cost; None where the price of one is not known."""
    spend = ledger.spend([job_hash]).get(job_hash, Spend(cost_usd=0.0))
    return None if spend.unpriced else spend.cost_usd
