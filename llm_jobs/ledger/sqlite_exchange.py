"""One batch of the ledger on SQLite: a transaction that holds the file's only write lock from its first statement on.

So what it reads stays true until it has written. At 2,000 calls per second this is the hot path: it speaks to the
driver without SQLAlchemy, several rows are written by one statement, and what can be done before the lock is taken is
done before.
"""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from llm_jobs.clock import Clock
from llm_jobs.ledger.append_only import MESSAGE
from llm_jobs.ledger.base import Answer, Exchange, Facts, Outcome, OverBudget, Want
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
# SQLite's own wait grows to 100 ms between tries; two processes that commit often would starve each other. Where many
# wait each tries more and more seldom, or their tries would take the cores from who holds the lock.
RETRY_S = 0.0005
RETRY_LATER = 1.1
LONGEST_RETRY_S = 0.01

SELECT_ANSWERS = f"""
SELECT {ANSWER_COLUMNS} FROM json_each(?) w
CROSS JOIN answers a ON a.call_hash = w.value
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
_SELECT_UNRECORDED = """
SELECT i.id, i.call_hash FROM json_each(?) w CROSS JOIN intents i ON i.id = w.value AND i.owner_id = ?
WHERE NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.intent_id = i.id)
"""
_RELEASE = "DELETE FROM claims WHERE owner_id = ? AND call_hash IN (SELECT value FROM json_each(?))"


def when_free(connection: sqlite3.Connection, statement: str) -> sqlite3.Cursor:
    """Execute `statement` once nobody else holds the lock that it needs, for which SQLite itself does not wait."""
    last_s = time.monotonic() + BUSY_TIMEOUT_S
    wait_s = RETRY_S
    while True:
        try:
            return connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > last_s:
                raise
        time.sleep(wait_s)
        wait_s = min(wait_s * RETRY_LATER, LONGEST_RETRY_S)


class _Insert:
    """An INSERT of rows, in few statements: the driver gives up the interpreter's lock for each, amid a job the loop
    takes it meanwhile, and that it goes back and forth costs both some 5 µs."""

    SIZES = (8, 4, 2, 1)  # rows in a statement; longer ones cost more than they save

    def __init__(self, table: str, columns: Sequence[str], *, on_conflict: str = "") -> None:
        insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
        row = f"({', '.join('?' * len(columns))})"
        self._statements = [(size, f"{insert}{', '.join([row] * size)}{on_conflict}") for size in self.SIZES]

    def __call__(self, hot: sqlite3.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        start = 0
        for size, statement in self._statements:
            while len(rows) - start >= size:
                hot.execute(statement, tuple(chain.from_iterable(rows[start : start + size])))
                start += size


_insert_outcomes = _Insert("outcomes", ("intent_id", "call_hash", "final", "late", "recorded_ns", *FACT_COLUMNS))
_insert_payloads = _Insert("payloads", ("intent_id", "request", "answer"))
_insert_answers = _Insert("answers", ("call_hash", "intent_id"))
_insert_intents = _Insert(
    "intents",
    (
        *("id", "call_hash", "job_hash", "submission_id", "owner_id", "provider", "model", "attempt"),
        *("worst_tokens", "worst_cost_usd", "mode", "intended_ns"),
    ),
)
_claim = _Insert(
    "claims",
    ("call_hash", "owner_id", "intent_id"),
    on_conflict=" ON CONFLICT (call_hash) DO UPDATE SET owner_id = excluded.owner_id, intent_id = excluded.intent_id",
)


class _AnsweredAlready(Exception):
    """A call of this batch got an answer from somebody else. It is rare, so nobody looks before it happens."""


@dataclass(slots=True)
class _Batch:
    """What one exchange is to write, as far as that can be known before it holds the lock."""

    owner_id: int
    wants: Sequence[Want]
    now_ns: int
    alive: Callable[[int], bool]
    outcomes: list[tuple[Any, ...]] = field(default_factory=list)
    bodies: list[tuple[int, bytes, bytes | None]] = field(default_factory=list)
    answers: list[tuple[str, int]] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    ended: dict[int, Facts] = field(default_factory=dict)  # attempts that something may be set aside for
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
        batch = _Batch(owner_id, wants, self._clock.now_ns(), functools.cache(self._alive))
        self._prepare(batch, outcomes)
        try:
            done = self._transact(batch, careful=False)
        except _AnsweredAlready:
            done = self._transact(batch, careful=True)
        for outcome in outcomes:
            self._granted.pop(outcome.intent_id, None)
        self._granted |= batch.granted
        return done

    def take_up(self, owner_id: int, outcomes: Sequence[Outcome]) -> None:
        """Record what another owner left of its outcomes. Those that are recorded already, and those of intents that
        this ledger does not know, are left out."""
        numbers = as_json([one.intent_id for one in outcomes])
        unrecorded = dict(self._hot.execute(_SELECT_UNRECORDED, (numbers, owner_id)))
        left = {one.intent_id: one for one in outcomes if unrecorded.get(one.intent_id) == one.call_hash}
        if left:
            self.exchange(owner_id, outcomes=list(left.values()), wants=())

    def _prepare(self, batch: _Batch, outcomes: Sequence[Outcome]) -> None:
        granted, now_ns = self._granted, batch.now_ns
        others = [one.intent_id for one in outcomes if one.intent_id not in granted]
        read = dict(self._hot.execute(_SELECT_INTENTS, (as_json(others),))) if others else {}
        requests = self._codec.pack_all([one.request for one in outcomes])
        answers = iter(self._codec.pack_all([one.answer for one in outcomes if one.answer is not None]))
        for one, request in zip(outcomes, requests, strict=True):
            number, facts = one.intent_id, one.facts
            want = granted.get(number)
            call_hash = read.get(number) if want is None else want.call_hash
            batch.outcomes.append((number, call_hash, one.final, False, now_ns, *fact_values(facts)))
            batch.bodies.append((number, request, None if one.answer is None else next(answers)))
            if facts.status == "succeeded" and call_hash is not None:
                batch.answers.append((call_hash, number))
            if one.final:
                batch.released.append(one.call_hash)
            if want is None or want.budgets:
                batch.ended[number] = facts

    def _alive(self, owner_id: int) -> bool:
        row = self._hot.execute(_SELECT_OWNER, (owner_id,)).fetchone()
        return self._is_alive(None if row is None else OwnerRow(*row))

    def _transact(self, batch: _Batch, *, careful: bool) -> Exchange:
        when_free(self._hot, "BEGIN IMMEDIATE")
        try:
            if careful:
                self._find_late(batch)
            if batch.outcomes:
                self._record(batch, careful)
            done = self._grant(batch) if batch.wants else Exchange()
            self._hot.execute("COMMIT")
        except BaseException:
            if self._hot.in_transaction:
                self._hot.execute("ROLLBACK")
            raise
        return done

    def _find_late(self, batch: _Batch) -> None:
        """Mark the successes whose calls are answered already."""
        hashes = as_json([call_hash for call_hash, _ in batch.answers])
        answered = {row[0] for row in self._hot.execute(_SELECT_ANSWERED, (hashes,))}
        first: dict[str, int] = {}
        for call_hash, number in batch.answers:
            if call_hash not in answered:
                first.setdefault(call_hash, number)
        late = {number for call_hash, number in batch.answers if first.get(call_hash) != number}
        batch.answers = list(first.items())
        batch.outcomes = [(*row[:3], row[0] in late, *row[4:]) for row in batch.outcomes]

    def _record(self, batch: _Batch, careful: bool) -> None:
        hot = self._hot
        _insert_outcomes(hot, batch.outcomes)
        _insert_payloads(hot, batch.bodies)
        try:
            _insert_answers(hot, batch.answers)
        except sqlite3.IntegrityError as error:
            if careful or MESSAGE not in str(error):
                raise
            raise _AnsweredAlready from error
        hot.execute(_RELEASE, (batch.owner_id, as_json(batch.released)))
        if batch.ended:
            self._budgets.settle(batch.ended)

    def _grant(self, batch: _Batch) -> Exchange:
        hot, owner_id = self._hot, batch.owner_id
        settled = self._settle(batch)
        wants = settled.granted
        over: dict[str, OverBudget] = {}
        budgeted = any(want.budgets for want in wants)
        if budgeted:
            wants, over = self._budgets.reserve(wants, alive=batch.alive)
            hot.execute(_RELEASE, (owner_id, as_json(list(over))))
        last_id = hot.execute("SELECT coalesce(max(id), 0) FROM intents").fetchone()[0]
        batch.granted = dict(enumerate(wants, start=last_id + 1))
        granted = {want.call_hash: number for number, want in batch.granted.items()}
        _insert_intents(hot, [_intent(number, batch, want) for number, want in batch.granted.items()])
        _claim(hot, [(call_hash, owner_id, number) for call_hash, number in granted.items()])
        if budgeted:
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
        want.mode,
        batch.now_ns,
    )
