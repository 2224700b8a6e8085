"""A completed row as the result holds it: the input's columns and the outputs, then the facts."""

from __future__ import annotations

import json

from llm_jobs.documents.job import NO_SUCCESS
from llm_jobs.engine.calls import Settled
from llm_jobs.engine.stream import OpenRow
from llm_jobs.results import columns

Total = int | float | None
ANSWERED = ("succeeded", *NO_SUCCESS)


def completed_row(
    row: OpenRow, settled: list[Settled], *, model_asked: str | None, epoch_ns: int, more_usd: float = 0.0
) -> dict[str, object]:
    """The members of one row of the result. Facts are of the last call `settled`, tokens and cost of all of them.

    A reused answer costs nothing again: its tokens are told, its cost is 0. `more_usd`: what was paid beside them.
    """
    members: dict[str, object] = dict(row.values)
    members[columns.STATUS] = row.status
    members[columns.ERROR] = row.error
    members[columns.MODEL] = row.model or model_asked
    members[columns.MODEL_REASON] = row.model_reason
    members[columns.EPOCH] = epoch_ns
    members[columns.SAMPLE] = row.sample
    if settled:
        _add_facts(members, settled, more_usd)
        members[columns.RAW] = None if row.status == "succeeded" else _raw(settled)
    return members


def _raw(settled: list[Settled]) -> str | None:
    """What the model last said that is no success. A call that failed after it said nothing."""
    for each in reversed(settled):
        if each.facts.status == "succeeded":
            return None
        if each.reply is not None and each.reply.output is not None:
            output = each.reply.output
            return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
    return None


def _add_facts(members: dict[str, object], settled: list[Settled], more_usd: float) -> None:
    last = settled[-1]
    facts = last.facts
    members[columns.MODEL_ANSWERED] = facts.model_answered
    members[columns.FINISH_REASON] = facts.finish_reason
    members[columns.LATENCY_S] = facts.latency_s
    members[columns.CALL_HASH] = last.call_hash
    members[columns.ANSWERED_AT] = last.answered_ns // 1000
    if len(settled) == 1:  # as of nearly every row, and sums cost more than all the rest here
        members[columns.ATTEMPTS] = last.attempts
        members[columns.REUSED] = last.reused and facts.status in ANSWERED
        members[columns.COST_USD] = _cost([last], more_usd) if more_usd else 0.0 if last.reused else facts.cost_usd
        members[columns.PROMPT_TOKENS] = facts.prompt_tokens
        members[columns.COMPLETION_TOKENS] = facts.completion_tokens
        members[columns.CACHED_TOKENS] = facts.cached_tokens
        members[columns.REASONING_TOKENS] = facts.reasoning_tokens
    else:
        _add_totals(members, settled, more_usd)


def _add_totals(members: dict[str, object], settled: list[Settled], more_usd: float) -> None:
    members[columns.ATTEMPTS] = sum([each.attempts for each in settled])
    members[columns.REUSED] = all(each.reused and each.facts.status in ANSWERED for each in settled)
    members[columns.COST_USD] = _cost(settled, more_usd)
    members[columns.PROMPT_TOKENS] = _total([each.facts.prompt_tokens for each in settled])
    members[columns.COMPLETION_TOKENS] = _total([each.facts.completion_tokens for each in settled])
    members[columns.CACHED_TOKENS] = _total([each.facts.cached_tokens for each in settled])
    members[columns.REASONING_TOKENS] = _total([each.facts.reasoning_tokens for each in settled])


def _cost(settled: list[Settled], more_usd: float) -> Total:
    return _total([more_usd or None, *(0.0 if each.reused else each.facts.cost_usd for each in settled)])


def _total(amounts: list[Total]) -> Total:
    """The sum of what was stated; None where nothing was."""
    stated = [amount for amount in amounts if amount is not None]
    return sum(stated) if stated else None
