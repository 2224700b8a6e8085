"""The two sides of a dry run: a ledger that grants nothing, and a caller that notes what was asked of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from llm_jobs.engine.calls import Call, Done, Lane
from llm_jobs.engine.session import Session
from llm_jobs.ledger.base import Answer, Exchange, Facts, Ledger, Outcome, OwnerIdentity, Want

WOULD_BE_ASKED = "WouldBeAsked"
_UNASKED = Facts(status="cancelled", error_class=WOULD_BE_ASKED, error="has no answer yet")


class GrantsNothing:
    """A ledger to read. What nobody has answered is told as `WOULD_BE_ASKED`; of answers that were read the facts are
    kept, and not what they say."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.url = ledger.url
        self.is_local = ledger.is_local
        self.answers: dict[str, Answer] = {}

    def open_owner(self, identity: OwnerIdentity) -> int:
        return 0

    def close_owner(self, owner_id: int) -> None:
        return None

    def heartbeat(self, owner_id: int) -> None:
        return None

    def journal(self, owner_id: int) -> None:
        return None

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        found = self.look_up([want.call_hash for want in wants])
        return Exchange(
            answered=found, failed={want.call_hash: _UNASKED for want in wants if want.call_hash not in found}
        )

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        return self._kept(self._ledger.look_up(call_hashes))

    def truncated(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        return self._kept(self._ledger.truncated(call_hashes))

    def unsuccessful(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        return self._kept(self._ledger.unsuccessful(call_hashes))

    def _kept(self, found: Mapping[str, Answer]) -> Mapping[str, Answer]:
        self.answers |= {call_hash: replace(answer, answer=b"") for call_hash, answer in found.items()}
        return found


class Noting:
    """A caller, and the calls that were asked of it, each until it was looked at as often as it was asked: rows are
    looked at in their order, and those behind them may have asked already."""

    def __init__(self, session: Session) -> None:
        self._caller = session.caller
        self._asked: dict[str, tuple[Call, int]] = {}

    def ask(self, call: Call, lane: Lane, done: Done) -> None:
        _, times = self._asked.get(call.call_hash, (call, 0))
        self._asked[call.call_hash] = call, times + 1
        self._caller.ask(call, lane, done)

    def close_lane(self, lane: Lane) -> None:
        self._caller.close_lane(lane)

    def taken(self, call_hash: str) -> Call:
        """The call that was asked under this hash, looked at once."""
        call, times = self._asked.pop(call_hash)
        if times > 1:
            self._asked[call_hash] = call, times - 1
        return call
