"""One batch of the ledger on SQLite: a transaction that holds the file's only write lock from its first statement on.

So what it reads stays true until it has written. At 2,000 calls per second this is the hot path: it speaks to the
driver without SQLAlchemy, a prepared `executemany` costs a microsecond or two per row, and what can be done before
the lock is taken is done before.
"""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_jobs.clock import Clock
from llm_jobs.ledger.append_only import MESSAGE
from llm_jobs.ledger.base import Answer, Exchange, Outcome, OverBudget, Want
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.records import (
    ANSWER_COLUMNS,
    FACT_COLUMNS,
    OWNER_COLUMNS,
    OwnerRow,
    answer_of,
    fact_values,
    facts_of,
)
from llm_jobs.ledger.settling import Claim, Failure, Settlement, settle
from llm_jobs.ledger.sqlite_budgets import SqliteBudgets, as_json

BUSY_TIMEOUT_S = 30.0
# SQLite's own wait grows to 100 ms between tries; two processes that commit every 5 ms would starve each other.
_RETRY_S = 0.0005

SELECT_ANSWERS = f"""
SELECT {ANSWER_COLUMNS} FROM json_each(?) w
CROSS JOIN answers a ON a.call_hash = w.value
CROSS JOIN intents i ON i.id = a.intent_id
CROSS JOIN outcomes o ON o.intent_id = a.intent_id
LEFT JOIN payloads p ON p.intent_id = a.intent_id
"""
_SELECT_ANSWERED = "SELECT a.call_hash FROM json_each(?) w CROSS JOIN answers a ON a.call_hash = w.value"
# Of most calls that are wanted there is neither, so one look tells it.
_SELECT_KNOWN = """
SELECT w.value, a.intent_id, c.owner_id, c.intent_id FROM json_each(?) w
LEFT JOIN answers a ON a.call_hash = w.value LEFT JOIN claims c ON c.call_hash = w.value
WHERE a.intent_id IS NOT NULL OR c.intent_id IS NOT NULL
"""
_SELECT_FAILURES = f"""
SELECT o.call_hash, o.intent_id, {", ".join(f"o.{name}" for name in FACT_COLUMNS)} FROM json_each(?) w
CROSS JOIN outcomes o ON o.call_hash = w.value AND (o.late OR o.status <> 'succeeded')
WHERE o.final AND o.status <> 'succeeded' ORDER BY o.intent_id
"""
_SELECT_OWNER = f"SELECT {', '.join(OWNER_COLUMNS)} FROM owners WHERE id = ?"
# The hash is the intent's own: an outcome filed under another call's hash would poison that call's answer.
_SELECT_INTENTS = "SELECT i.id, i.call_hash FROM json_each(?) w CROSS JOIN intents i ON i.id = w.value"
_INSERT_OUTCOME = (
    f"INSERT INTO outcomes (intent_id, call_hash, final, late, recorded_ns, {', '.join(FACT_COLUMNS)})"
    f" VALUES (?, ?, ?, ?, ?{', ?' * len(FACT_COLUMNS)})"
)
_INSERT_PAYLOAD = "INSERT INTO payloads (intent_id, request, answer) VALUES (?, ?, ?)"
_INSERT_ANSWER = "INSERT INTO answers (call_hash, intent_id) VALUES (?, ?)"
_RELEASE = "DELETE FROM claims WHERE owner_id = ? AND call_hash IN (SELECT value FROM json_each(?))"
_INSERT_INTENT = (
    "INSERT INTO intents (id, call_hash, job_hash, submission_id, owner_id, provider, model, attempt, worst_tokens,"
    " worst_cost_usd, intended_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_CLAIM = (
    "INSERT INTO claims (call_hash, owner_id, intent_id) VALUES (?, ?, ?)"
    " ON CONFLICT (call_hash) DO UPDATE SET owner_id = excluded.owner_id, intent_id = excluded.intent_id"
)


class _AnsweredAlready(Exception):
    """A call of this batch got an answer from somebody else. It is rare, so nobody looks before it happens."""


@dataclass(kw_only=True, slots=True)
class _Batch:
    owner_id: int
    outcomes: Sequence[Outcome]
    wants: Sequence[Want]
    bodies: Sequence[tuple[int, bytes, bytes | None]]
    facts: Sequence[tuple[Any, ...]]
    now_ns: int
    alive: Callable[[int], bool]
    granted: dict[int, Want] = field(default_factory=dict)


class SqliteExchange:
    """Exchanges on a connection of its own. Not safe for use by two threads at once."""

    def __init__(self, hot: sqlite3.Connection, *, clock: Clock, is_alive: Callable[[OwnerRow | None], bool]) -> None:
        self._hot = hot
        self._clock = clock
        self._is_alive = is_alive
        self._codec = PayloadCodec()
        self._budgets = SqliteBudgets(hot)
        self._granted: dict[int, Want] = {}  # by intents without outcome: what is known here need not be read

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        pack = self._codec.pack
        batch = _Batch(
            owner_id=owner_id,
            outcomes=outcomes,
            wants=wants,
            bodies=[
                (one.intent_id, pack(one.request), None if one.answer is None else pack(one.answer)) for one in outcomes
            ],
            facts=[fact_values(one.facts) for one in outcomes],
            now_ns=self._clock.now_ns(),
            alive=functools.cache(self._alive),
        )
        try:
            done = self._transact(batch, careful=False)
        except _AnsweredAlready:
            done = self._transact(batch, careful=True)
        for outcome in outcomes:
            self._granted.pop(outcome.intent_id, None)
        self._granted |= batch.granted
        return done

    def _alive(self, owner_id: int) -> bool:
        row = self._hot.execute(_SELECT_OWNER, (owner_id,)).fetchone()
        return self._is_alive(None if row is None else OwnerRow(*row))

    def _transact(self, batch: _Batch, *, careful: bool) -> Exchange:
        self._begin()
        try:
            if batch.outcomes:
                self._record(batch, careful)
            done = self._grant(batch) if batch.wants else Exchange()
            self._hot.execute("COMMIT")
        except BaseException:
            if self._hot.in_transaction:
                self._hot.execute("ROLLBACK")
            raise
        return done

    def _begin(self) -> None:
        for _ in range(int(BUSY_TIMEOUT_S / _RETRY_S)):
            try:
                self._hot.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            time.sleep(_RETRY_S)
        self._hot.execute("BEGIN IMMEDIATE")

    def _record(self, batch: _Batch, careful: bool) -> None:
        """`careful`: look which calls are answered already, in place of meeting it."""
        hot = self._hot
        hashes = self._hashes(batch.outcomes)
        answered = self._answered(hashes) if careful else set()
        first: list[tuple[str, int]] = []
        rows = []
        for outcome, facts in zip(batch.outcomes, batch.facts, strict=True):
            number = outcome.intent_id
            call_hash = hashes.get(number)
            late = call_hash in answered and outcome.facts.status == "succeeded"
            if not late and outcome.facts.status == "succeeded" and call_hash is not None:
                first.append((call_hash, number))
                if careful:
                    answered.add(call_hash)
            rows.append((number, call_hash, outcome.final, late, batch.now_ns, *facts))
        hot.executemany(_INSERT_OUTCOME, rows)
        hot.executemany(_INSERT_PAYLOAD, batch.bodies)
        self._insert_answers(first, careful)
        self._release(batch.owner_id, [outcome.call_hash for outcome in batch.outcomes if outcome.final])
        # What this process granted without a budget has nothing set aside.
        granted = self._granted
        budgeted = [one for one in batch.outcomes if one.intent_id not in granted or granted[one.intent_id].budgets]
        if budgeted:
            self._budgets.settle({outcome.intent_id: outcome.facts for outcome in budgeted})

    def _hashes(self, outcomes: Sequence[Outcome]) -> dict[int, str]:
        """The call of each outcome's intent, by intent."""
        granted = self._granted
        known = {one.intent_id: granted[one.intent_id].call_hash for one in outcomes if one.intent_id in granted}
        if len(known) < len(outcomes):
            others = [one.intent_id for one in outcomes if one.intent_id not in known]
            known.update(self._hot.execute(_SELECT_INTENTS, (as_json(others),)))
        return known

    def _answered(self, hashes: Mapping[int, str]) -> set[str]:
        return {row[0] for row in self._hot.execute(_SELECT_ANSWERED, (as_json(list(hashes.values())),))}

    def _insert_answers(self, first: Sequence[tuple[str, int]], careful: bool) -> None:
        try:
            self._hot.executemany(_INSERT_ANSWER, first)
        except sqlite3.IntegrityError as error:
            if careful or MESSAGE not in str(error):
                raise
            raise _AnsweredAlready from error

    def _release(self, owner_id: int, call_hashes: Sequence[str]) -> None:
        if call_hashes:
            self._hot.execute(_RELEASE, (owner_id, as_json(call_hashes)))

    def _grant(self, batch: _Batch) -> Exchange:
        hot, owner_id = self._hot, batch.owner_id
        settled = self._settle(batch)
        wants = settled.granted
        over: dict[str, OverBudget] = {}
        if any(want.budgets for want in wants):
            wants, over = self._budgets.reserve(wants, alive=batch.alive)
            self._release(owner_id, list(over))
        last_id = hot.execute("SELECT coalesce(max(id), 0) FROM intents").fetchone()[0]
        batch.granted = dict(enumerate(wants, start=last_id + 1))
        granted = {want.call_hash: number for number, want in batch.granted.items()}
        hot.executemany(_INSERT_INTENT, [_intent(number, batch, want) for number, want in batch.granted.items()])
        hot.executemany(_CLAIM, [(call_hash, owner_id, number) for call_hash, number in granted.items()])
        self._budgets.keep(batch.granted, owner_id=owner_id)
        busy = settled.busy | {call_hash: granted[call_hash] for call_hash in settled.twice if call_hash in granted}
        return Exchange(granted=granted, answered=settled.answered, busy=busy, failed=settled.failed, over_budget=over)

    def _settle(self, batch: _Batch) -> Settlement:
        hot, wants = self._hot, batch.wants
        known = hot.execute(_SELECT_KNOWN, (as_json([want.call_hash for want in wants]),)).fetchall()
        answered = [row[0] for row in known if row[1] is not None]
        answers: dict[str, Answer] = {}
        if answered:
            answers = {row[0]: answer_of(row, self._codec) for row in hot.execute(SELECT_ANSWERS, (as_json(answered),))}
        behind = [want.call_hash for want in wants if want.behind is not None and want.call_hash not in answers]
        failures: dict[str, Failure] = {}
        if behind:
            found = hot.execute(_SELECT_FAILURES, (as_json(behind),))
            failures = {row[0]: Failure(row[1], facts_of(row[2:])) for row in found}
        return settle(
            wants,
            owner_id=batch.owner_id,
            answers=answers,
            failures=failures,
            claims={row[0]: Claim(row[2], row[3]) for row in known if row[2] is not None},
            is_alive=batch.alive,
        )


def _intent(number: int, batch: _Batch, want: Want) -> tuple[int | float | str | None, ...]:
    return (
        number,
        want.call_hash,
        want.job_hash,
        want.submission_id,
        batch.owner_id,
        want.provider,
        want.model,
        want.attempt,
        want.worst_tokens,
        want.worst_cost_usd,
        batch.now_ns,
    )
