"""Rows of results as the sides of a report: the answers, the facts, and from the ledger what was sent for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from llm_jobs.ledger.base import Facts
from llm_jobs.observability.report_model import Side
from llm_jobs.observability.texts import dollars, short_time
from llm_jobs.operations.report_prompts import EarlierCalls
from llm_jobs.operations.services import Services
from llm_jobs.operations.sheets import Sheet
from llm_jobs.results import columns

_FACTS = {
    "model asked": columns.MODEL,
    "model that answered": columns.MODEL_ANSWERED,
    "why this model": columns.MODEL_REASON,
    "finish reason": columns.FINISH_REASON,
    "prompt tokens": columns.PROMPT_TOKENS,
    "of these cached": columns.CACHED_TOKENS,
    "completion tokens": columns.COMPLETION_TOKENS,
    "of these reasoning": columns.REASONING_TOKENS,
    "cost in this result": columns.COST_USD,
    "latency": columns.LATENCY_S,
    "attempts": columns.ATTEMPTS,
    "reused": columns.REUSED,
    "sample": columns.SAMPLE,
    "answered at": columns.ANSWERED_AT,
    "call": columns.CALL_HASH,
}
_WORDS: Mapping[str, Callable[[Any], str]] = {
    columns.COST_USD: dollars,
    columns.LATENCY_S: short_time,
    columns.REUSED: lambda reused: "yes" if reused else "no",
}


class Sides:
    """Makes the sides of one job."""

    def __init__(self, services: Services, sheet: Sheet) -> None:
        self._ledger = services.ledger
        self._answers = sheet.answers
        self._earlier = EarlierCalls(services, sheet)

    def of(self, number: int, row: Mapping[str, Any]) -> Side:
        """Row `number` of the result, with its earlier calls and every attempt at its last one."""
        call_hash = row[columns.CALL_HASH]
        attempts = self._ledger.attempts(call_hash) if call_hash else ()
        request = next((sent for _, _, sent, _ in reversed(attempts) if sent), None)
        answers = {name: row[name] for name in self._answers}
        tries = [_try(facts) for _, facts, _, _ in attempts]
        earlier = self._earlier.of(number, row)
        calls = [each.call_hash for each in earlier] + ([call_hash] if call_hash else [])
        asked = [(each.step, each.body) for each in earlier]
        return _side(number, row, answers=answers, request=request, tries=tries, earlier=asked, calls=calls)

    def ahead(self, rows: Mapping[int, Mapping[str, Any]]) -> None:
        """Get ready for rows of the result, by number, whose sides are asked for next."""
        self._earlier.ahead(rows)


def _side(number: int, row: Mapping[str, Any], **sent: Any) -> Side:
    tokens = [row[name] for name in (columns.PROMPT_TOKENS, columns.COMPLETION_TOKENS) if row[name] is not None]
    return Side(
        number=number,
        status=row[columns.STATUS],
        error=row[columns.ERROR],
        raw=row[columns.RAW],
        tokens=sum(tokens) if tokens else None,
        cost_usd=row[columns.COST_USD],
        latency_s=row[columns.LATENCY_S],
        facts=[
            (label, _WORDS.get(name, str)(row[name])) for label, name in _FACTS.items() if row.get(name) is not None
        ],
        **sent,
    )


def utc(time_ns: int | None) -> str:
    """A time for people, in UTC; empty where there is none."""
    if time_ns is None:
        return ""
    return datetime.fromtimestamp(time_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _try(facts: Facts) -> str:
    took = "" if facts.latency_s is None else f", {short_time(facts.latency_s)}"
    cost = "" if facts.cost_usd is None else f", {dollars(facts.cost_usd)}"
    reason = f": {facts.error}" if facts.error else ""
    return f"{facts.status}{took}{cost}{reason}"
