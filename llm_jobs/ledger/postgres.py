"""The ledger in PostgreSQL, for many machines.

`exchange` has a connection to itself and sends its statements in two pipelines, so two round trips settle any number
of calls. Nothing serialises the processes: a claim is the insert of a key, so a race has one winner. Claims are
written before answers are read, because another process may have claimed, answered and released a call just before;
what was claimed in vain is given back in the same transaction.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString, TypeAlias

import orjson
from sqlalchemy import URL, Connection, create_engine, event

from llm_jobs.clock import Clock
from llm_jobs.ledger.append_only import Dialect
from llm_jobs.ledger.base import Answer, Exchange, Outcome, Want
from llm_jobs.ledger.faults import classified
from llm_jobs.ledger.owners import OWNER_TIMEOUT_S
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
from llm_jobs.ledger.sql import SqlLedger

if TYPE_CHECKING:
    import psycopg  # loaded by SQLAlchemy, and only where PostgreSQL is used

_Hot: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"
_Statement = tuple[LiteralString, tuple[Any, ...]]
_BEGIN: _Statement = ("BEGIN", ())
_COMMIT: _Statement = ("COMMIT", ())
_MIGRATION_LOCK = 0x6C6C6D6A  # any number, the same in every version
_TRIES = 5
_RETRYABLE_STATES = {"40001", "40P01"}  # serialization_failure, deadlock_detected: rolled back whole

_FACTS = ", ".join(FACT_COLUMNS)
_FACT_TYPES = ", ".join(
    f"{name} {'float8' if name in {'cost_usd', 'latency_s'} else 'bigint'}"
    if name.endswith(("_tokens", "_usd", "_s")) or name == "http_status"
    else f"{name} text"
    for name in FACT_COLUMNS
)
# The hash is the intent's own: an outcome filed under another call's hash would poison that call's answer. Answers go
# in sorted, so that two processes with the same late ones do not lock each other out.
_RECORD = f"""
WITH given AS (
    SELECT * FROM json_to_recordset(%s::json) AS g (intent_id bigint, final bool, {_FACT_TYPES})
), first AS (
    INSERT INTO answers (call_hash, intent_id)
    SELECT i.call_hash, i.id FROM given JOIN intents i ON i.id = given.intent_id
    WHERE given.status = 'succeeded' ORDER BY i.call_hash, i.id
    ON CONFLICT DO NOTHING RETURNING intent_id
), bodies AS (
    INSERT INTO payloads (intent_id, request, answer) SELECT * FROM unnest(%s::bigint[], %b::bytea[], %b::bytea[])
), released AS (
    DELETE FROM claims WHERE owner_id = %s AND call_hash = ANY(%s)
)
INSERT INTO outcomes (intent_id, call_hash, final, late, recorded_ns, {_FACTS})
SELECT intent_id, (SELECT call_hash FROM intents WHERE id = given.intent_id), final,
    status = 'succeeded' AND intent_id NOT IN (SELECT intent_id FROM first), %s, {_FACTS}
FROM given
"""
_RELEASE = "DELETE FROM claims WHERE owner_id = %s AND call_hash = ANY(%s)"
_SELECT_CLAIMS = "SELECT call_hash, owner_id, intent_id FROM claims WHERE call_hash = ANY(%s)"
_SELECT_ANSWERS = f"""
SELECT {ANSWER_COLUMNS} FROM answers a
JOIN intents i ON i.id = a.intent_id
JOIN outcomes o ON o.intent_id = a.intent_id
LEFT JOIN payloads p ON p.intent_id = a.intent_id
WHERE a.call_hash = ANY(%s)
"""
_SELECT_FAILURES = f"""
SELECT call_hash, intent_id, {_FACTS} FROM outcomes
WHERE call_hash = ANY(%s) AND final AND status <> 'succeeded' ORDER BY intent_id
"""
_SELECT_OWNER = f"SELECT {', '.join(OWNER_COLUMNS)} FROM owners WHERE id = %s"
# In the order of the hashes, so that two processes that want the same calls do not lock each other out.
_CLAIM_FRESH = """
INSERT INTO claims (call_hash, owner_id, intent_id)
SELECT call_hash, %s, nextval('intent_ids') FROM (SELECT DISTINCT unnest(%s::text[]) AS call_hash ORDER BY 1) AS wanted
WHERE NOT EXISTS (SELECT FROM answers WHERE answers.call_hash = wanted.call_hash)
ON CONFLICT DO NOTHING RETURNING call_hash, intent_id
"""
_CLAIM_HELD = """
UPDATE claims SET intent_id = nextval('intent_ids') WHERE owner_id = %s AND call_hash = ANY(%s)
RETURNING call_hash, intent_id
"""
_TAKE_OVER = """
WITH dead AS (
    SELECT c.call_hash FROM claims c
    JOIN unnest(%s::text[], %s::bigint[]) AS d (call_hash, owner_id) USING (call_hash, owner_id)
    ORDER BY c.call_hash FOR UPDATE OF c
)
UPDATE claims SET owner_id = %s, intent_id = nextval('intent_ids') FROM dead
WHERE claims.call_hash = dead.call_hash RETURNING claims.call_hash, claims.intent_id
"""
_INSERT_INTENTS = """
INSERT INTO intents (id, call_hash, job_hash, submission_id, provider, model, attempt, owner_id, intended_ns)
SELECT g.*, %s, %s FROM json_to_recordset(%s::json) AS g
    (id bigint, call_hash text, job_hash text, submission_id bigint, provider text, model text, attempt bigint)
"""


class PostgresLedger(SqlLedger):
    """A ledger in the PostgreSQL database `url`."""

    dialect: Dialect = "postgresql"

    def __init__(self, url: URL, *, clock: Clock, owner_timeout_s: float = OWNER_TIMEOUT_S) -> None:
        engine = create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, max_overflow=28)
        event.listen(engine, "connect", _commit_durably)
        shown = URL.create("postgresql", host=url.host, port=url.port, database=url.database)
        super().__init__(engine, url=str(shown), clock=clock, owner_timeout_s=owner_timeout_s)
        self._lock = threading.Lock()
        self._codec = PayloadCodec()
        self._hot: _Hot | None = None
        self._clock_is_behind_ns: int | None = None

    def close(self) -> None:
        with self._lock:
            if self._hot is not None:
                self._hot.close()
        self._engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_lock({_MIGRATION_LOCK})")
            try:
                yield
            finally:
                connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_MIGRATION_LOCK})")

    def _begin(self, connection: Connection, *, writing: bool) -> None:
        if not writing:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def _shared_now_ns(self) -> int:
        """This process's clock, set by the server's once: machines whose clocks differ agree on who is alive."""
        if self._clock_is_behind_ns is None:
            with self._reading() as connection:
                seconds = connection.exec_driver_sql("SELECT extract(epoch FROM clock_timestamp())").scalar_one()
            self._clock_is_behind_ns = int(seconds * 1_000_000_000) - self._clock.now_ns()
        return self._clock.now_ns() + self._clock_is_behind_ns

    def _scrub(self) -> None:
        with classified(self.url, self._driver_error), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM payloads, documents")

    def look_up(self, call_hashes: Sequence[str]) -> Mapping[str, Answer]:
        codec = PayloadCodec()
        with self._reading() as connection:
            rows = connection.exec_driver_sql(_SELECT_ANSWERS, (list(call_hashes),))
            return {row[0]: answer_of(row, codec) for row in rows}

    def exchange(self, owner_id: int, *, outcomes: Sequence[Outcome], wants: Sequence[Want]) -> Exchange:
        if not outcomes and not wants:
            return Exchange()
        self._shared_now_ns()
        with self._lock, classified(self.url, self._driver_error):
            recording = self._recording(owner_id, outcomes)
            for _ in range(_TRIES):
                try:
                    return self._transact(owner_id, recording, wants)
                except self._driver_error as error:
                    if getattr(error, "sqlstate", None) not in _RETRYABLE_STATES:
                        raise
            return self._transact(owner_id, recording, wants)

    def _transact(self, owner_id: int, recording: Sequence[_Statement], wants: Sequence[Want]) -> Exchange:
        hot = self._connected()
        try:
            if wants:
                return self._settle_and_commit(hot, owner_id, recording, wants)
            _run(hot, [_BEGIN, *recording, _COMMIT])
            return Exchange()
        except BaseException:
            if not hot.closed:
                hot.execute("ROLLBACK")
            raise

    def _connected(self) -> _Hot:
        if self._hot is None or self._hot.closed:
            arguments, options = self._engine.dialect.create_connect_args(self._engine.url)
            self._hot = self._driver.connect(*arguments, **options, autocommit=True)
            self._hot.execute("SET synchronous_commit = on")
        return self._hot

    def _recording(self, owner_id: int, outcomes: Sequence[Outcome]) -> list[_Statement]:
        """What writes `outcomes`, if there are any: one statement, because each costs the client some 40 µs."""
        if not outcomes:
            return []
        names = ("intent_id", "final", *FACT_COLUMNS)
        facts = [
            dict(zip(names, (outcome.intent_id, outcome.final, *fact_values(outcome.facts)), strict=True))
            for outcome in outcomes
        ]
        values = (
            orjson.dumps(facts).decode(),
            [outcome.intent_id for outcome in outcomes],
            [self._codec.pack(outcome.request) for outcome in outcomes],
            [self._codec.pack_optional(outcome.answer) for outcome in outcomes],
            owner_id,
            [outcome.call_hash for outcome in outcomes if outcome.final],
            self._clock.now_ns(),
        )
        return [(_RECORD, values)]

    def _settle_and_commit(
        self, hot: _Hot, owner_id: int, recording: Sequence[_Statement], wants: Sequence[Want]
    ) -> Exchange:
        settled, won = self._settle(hot, owner_id, recording, wants)
        if settled.taken_over or settled.retried:
            won |= _claim_again(hot, owner_id, settled)
        wanted = {want.call_hash: want for want in settled.granted}
        granted = {call_hash: number for call_hash, number in won.items() if call_hash in wanted}
        closing: list[_Statement] = [_COMMIT]
        if len(granted) < len(won):
            closing.insert(0, (_RELEASE, (owner_id, [call_hash for call_hash in won if call_hash not in wanted])))
        if granted:
            closing.insert(0, self._intents(owner_id, [(number, wanted[key]) for key, number in granted.items()]))
        _run(hot, closing)
        # Lost to somebody who has released it again by now: 0 is behind every intent there is.
        lost = {call_hash: 0 for call_hash in wanted if call_hash not in granted}
        twice = {call_hash: granted[call_hash] for call_hash in settled.twice if call_hash in granted}
        return Exchange(
            granted=granted, answered=settled.answered, busy=settled.busy | lost | twice, failed=settled.failed
        )

    def _settle(
        self, hot: _Hot, owner_id: int, recording: Sequence[_Statement], wants: Sequence[Want]
    ) -> tuple[Settlement, dict[str, int]]:
        """Claim what is free and sort the wants; also returns the claims won, which may be more than are granted."""
        hashes = [want.call_hash for want in wants]
        behind = [want.call_hash for want in wants if want.behind is not None]
        with hot.pipeline():
            for statement, values in (_BEGIN, *recording):
                hot.execute(statement, values)
            won = hot.execute(_CLAIM_FRESH, (owner_id, hashes))
            claimed = hot.execute(_SELECT_CLAIMS, (hashes,))
            # After the claims: where one is gone, what released it is among these.
            answered = hot.cursor(binary=True).execute(_SELECT_ANSWERS, (hashes,))
            failed = hot.execute(_SELECT_FAILURES, (behind,)) if behind else ()
        fresh: dict[str, int] = dict(won.fetchall())
        settled = settle(
            wants,
            owner_id=owner_id,
            answers={row[0]: answer_of(row, self._codec) for row in answered},
            failures={row[0]: Failure(row[1], facts_of(row[2:])) for row in failed},
            claims={row[0]: Claim(row[1], row[2]) for row in claimed if row[0] not in fresh},
            is_alive=functools.cache(lambda other: self._is_alive(_owner(hot, other))),
        )
        return settled, fresh

    def _intents(self, owner_id: int, granted: Sequence[tuple[int, Want]]) -> _Statement:
        rows = [
            {
                "id": number,
                "call_hash": want.call_hash,
                "job_hash": want.job_hash,
                "submission_id": want.submission_id,
                "provider": want.provider,
                "model": want.model,
                "attempt": want.attempt,
            }
            for number, want in granted
        ]
        return _INSERT_INTENTS, (owner_id, self._clock.now_ns(), orjson.dumps(rows).decode())


def _run(hot: _Hot, statements: Sequence[_Statement]) -> None:
    """Send `statements` in one round trip."""
    with hot.pipeline():
        for statement, values in statements:
            hot.execute(statement, values)


def _claim_again(hot: _Hot, owner_id: int, settled: Settlement) -> dict[str, int]:
    """Renew the claims of retries and take over those of the dead; returns those won, with their new intents' ids."""
    dead = settled.taken_over
    with hot.pipeline():
        taken = hot.execute(_TAKE_OVER, (list(dead), [owner for _, owner in dead.values()], owner_id))
        renewed = hot.execute(_CLAIM_HELD, (owner_id, list(settled.retried)))
    return dict(taken.fetchall()) | dict(renewed.fetchall())


def _owner(hot: _Hot, owner_id: int) -> OwnerRow | None:
    row = hot.execute(_SELECT_OWNER, (owner_id,)).fetchone()
    return None if row is None else OwnerRow(*row)


def _commit_durably(connection: Any, _: object) -> None:
    """Whatever the server's default, what is committed is synced."""
    connection.autocommit = True
    connection.execute("SET synchronous_commit = on")
    connection.autocommit = False
