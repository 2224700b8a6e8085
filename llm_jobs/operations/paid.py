"""What a job paid for before this run: in one that was killed, in one that ended with the job partial, in a batch.

A row of its result states what the job paid for it, whenever that was; of equal calls the first row does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from llm_jobs.engine.calls import Settled, number_of
from llm_jobs.ledger.base import Ledger

Attempts = dict[int, int]  # of a job's calls, by `number_of` the call


class Paid:
    """The calls that a job paid for, each told once."""

    def __init__(self, attempts: Mapping[int, int]) -> None:
        self._attempts = dict(attempts)

    def told(self, settled: list[Settled]) -> list[Settled]:
        """The calls of a row; those that the job paid for are not reused."""
        return [self._told(each) for each in settled] if self._attempts else settled

    def _told(self, each: Settled) -> Settled:
        if not each.reused or each.facts.status == "cancelled":
            return each
        attempts = self._attempts.pop(number_of(each.call_hash), 0)
        return replace(each, reused=False, attempts=attempts) if attempts else each


NOTHING_PAID = Paid({})


def paid_before(ledger: Ledger, job_hash: str) -> tuple[Attempts, Attempts]:
    """The calls that the job paid for, and of those apart what its batches answered since its last result: the run that
    makes the next one tells them as its own."""
    results = ledger.results([job_hash]).get(job_hash, ())
    ended_ns = (results[0].recorded_ns or 0) if results else 0
    before: Attempts = {}
    collected: Attempts = {}
    for call in ledger.paid(job_hash):
        number = number_of(call.call_hash)
        is_new = call.mode == "batch" and call.recorded_ns > ended_ns
        newest, older = (collected, before) if is_new else (before, collected)
        newest[number] = call.attempts
        older.pop(number, None)
    return before, collected
