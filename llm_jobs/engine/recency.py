"""Which recorded answers to a call may be read, and as which call its question is asked where they may not.

Invariant: the newest answer to a question is that of its last renewal, for a question is asked anew only after an
answer that was too old; so who starts from the first and goes on while what is found is too old, finds it. Two
processes that do so come to the same call.
"""

from __future__ import annotations

from collections.abc import Callable

from llm_jobs.engine.calls import Call
from llm_jobs.ledger.base import Answer

LookUp = Callable[[str, Callable[[Answer | None], None]], None]
SENT_ONCE = ("succeeded", "truncated")  # the same call is not sent again after these


def may_read(call: Call, answer: Answer) -> bool:
    """Is what was recorded for the call recent enough?"""
    return call.recency is None or answer.recorded_ns >= call.recency.since_ns


def is_renewed(call: Call, answer: Answer | None) -> bool:
    """Has the call an answer that may not be read, so that its question is asked under another hash?"""
    return answer is not None and answer.facts.status in SENT_ONCE and not may_read(call, answer)


def look_back(call: Call, look_up: LookUp, told: Callable[[Call, Answer | None], None]) -> None:
    """Tell the call as which the question of `call` stands now, and what was recorded for it that may be read."""

    def note(answer: Answer | None) -> None:
        if is_renewed(call, answer):
            look_back(call.anew(), look_up, told)
        else:
            told(call, answer if answer is None or may_read(call, answer) else None)

    look_up(call.call_hash, note)
