"""A ledger that passes on what batches came to: failures and answers that are no success are not asked for again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from llm_jobs.ledger.base import Answer, Exchange, Ledger, Outcome, Want
from llm_jobs.operations.batches_plan import Said


class Behind:
    """A ledger in which some calls of some jobs are known to have come to their end: whoever wants one is told what
    became of it, as somebody who waited for it would be; where something was said, that is looked up like an answer.
    Everything else is the ledger's own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._ended: dict[tuple[str, str], int] = {}  # (job hash, call hash) -> intent id
        self._only: set[str] = set()
        self._said = Said(ledger, only=self._only)

    def note(self, job_hash: str, *, ended: Mapping[str, int], said: Collection[str]) -> None:
        """The calls of a job, by hash, that ended without a word, with their intents, and those that said something."""
        self._ended.update(((job_hash, call_hash), intent_id) for call_hash, intent_id in ended.items())
        self._only.update(said)

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        if self._ended:
            wants = [self._placed(want) for want in wants]
        return self._ledger.exchange(owner_id, outcomes=outcomes, wants=wants)

    def truncated(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        return self._said.truncated(call_hashes)

    def _placed(self, want: Want) -> Want:
        if want.behind is not None or want.held:
            return want
        return replace(want, behind=self._ended.get((want.job_hash, want.call_hash)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    @classmethod
    def over(cls, ledger: Ledger) -> tuple[Behind, Ledger]:
        """The wrapper, and the same as the ledger that it stands for."""
        behind = cls(ledger)
        return behind, cast("Ledger", behind)
