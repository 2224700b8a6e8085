"""One batch of the ledger on PostgreSQL: two pipelines, so two round trips settle any number of calls.

Nothing serialises the processes: a claim is the insert of a key, so a race has one winner. Two orders matter. Claims
are written before answers are read, because another process may have claimed, answered and released a call just
before; what was claimed in vain is given back in the same transaction. And claims are given back last, so that a
transaction that waits for another's claim holds none that the other may be waiting for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import orjson

from llm_jobs.ledger.base import Exchange, Facts, Outcome, Want
from llm_jobs.ledger.budgets import Reservation
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.postgres_budgets import TAKE_RESERVATIONS, Hot, Statement, budget
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

_BEGIN: Statement = ("BEGIN", ())
_COMMIT: Statement = ("COMMIT", ())

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
    SELECT * FROM ROWS FROM (
        json_to_recordset(%s::json) AS (intent_id bigint, final bool, {_FACT_TYPES})
    ) WITH ORDINALITY
), first AS (
    INSERT INTO answers (call_hash, intent_id)
    SELECT i.call_hash, i.id FROM given JOIN intents i ON i.id = given.intent_id
    WHERE given.status = 'succeeded' ORDER BY i.call_hash, given.ordinality
    ON CONFLICT DO NOTHING RETURNING intent_id
), bodies AS (
    INSERT INTO payloads (intent_id, request, answer) SELECT * FROM unnest(%s::bigint[], %b::bytea[], %b::bytea[])
)
INSERT INTO outcomes (intent_id, call_hash, final, late, recorded_ns, {_FACTS})
SELECT intent_id, (SELECT call_hash FROM intents WHERE id = given.intent_id), final,
    status = 'succeeded' AND intent_id NOT IN (SELECT intent_id FROM first), %s, {_FACTS}
FROM given
"""
_RELEASE = "DELETE FROM claims WHERE owner_id = %s AND call_hash = ANY(%s)"
_SELECT_CLAIMS = "SELECT call_hash, owner_id, intent_id FROM claims WHERE call_hash = ANY(%s)"
SELECT_ANSWERS = f"""
SELECT {ANSWER_COLUMNS} FROM answers a
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
SELECT call_hash, %s, nextval('intent_ids') FROM (SELECT DISTINCT unnest(%s::text[]) AS call_hash) AS wanted
WHERE NOT EXISTS (SELECT FROM claims WHERE claims.call_hash = wanted.call_hash)
AND NOT EXISTS (SELECT FROM answers WHERE answers.call_hash = wanted.call_hash)
ORDER BY call_hash
ON CONFLICT DO NOTHING RETURNING call_hash, intent_id
"""
_CLAIM_HELD = """
UPDATE claims SET intent_id = nextval('intent_ids') WHERE owner_id = %s AND call_hash = ANY(%s)
RETURNING call_hash, intent_id
"""
_TAKE_OVER = """
WITH dead AS (
    SELECT c.call_hash, c.intent_id FROM claims c
    JOIN unnest(%s::text[], %s::bigint[]) AS d (call_hash, owner_id) USING (call_hash, owner_id)
    ORDER BY c.call_hash FOR UPDATE OF c
)
UPDATE claims SET owner_id = %s, intent_id = nextval('intent_ids') FROM dead
WHERE claims.call_hash = dead.call_hash RETURNING claims.call_hash, claims.intent_id, dead.intent_id
"""
_LEAVE_TO_THE_DEAD = """
UPDATE claims SET owner_id = d.owner_id, intent_id = d.intent_id
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS d (call_hash, owner_id, intent_id)
WHERE claims.call_hash = d.call_hash
"""
_INSERT_INTENTS = """
INSERT INTO intents (id, call_hash, job_hash, submission_id, provider, model, attempt, worst_tokens, worst_cost_usd,
    mode, owner_id, intended_ns)
SELECT g.*, %s, %s FROM json_to_recordset(%s::json) AS g
    (id bigint, call_hash text, job_hash text, submission_id bigint, provider text, model text, attempt bigint,
    worst_tokens bigint, worst_cost_usd float8, mode text)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one exchange is to do, ready to be tried again after a deadlock."""

    owner_id: int
    wants: Sequence[Want]
    recording: Sequence[Statement]  # one statement or none, because each costs the client some 40 µs
    released: frozenset[str]  # calls that this owner is done with
    ended: Mapping[int, Facts]  # by intent: attempts that something may be set aside for
    now_ns: int


def prepare(
    owner_id: int,
    *,
    outcomes: Sequence[Outcome],
    wants: Sequence[Want],
    codec: PayloadCodec,
    now_ns: int,
    unbudgeted: Collection[int],
) -> Batch:
    """`unbudgeted`: intents that nothing is set aside for."""
    return Batch(
        owner_id=owner_id,
        wants=wants,
        recording=[_recording(outcomes, codec, now_ns)] if outcomes else [],
        released=frozenset(outcome.call_hash for outcome in outcomes if outcome.final),
        ended={outcome.intent_id: outcome.facts for outcome in outcomes if outcome.intent_id not in unbudgeted},
        now_ns=now_ns,
    )


def _recording(outcomes: Sequence[Outcome], codec: PayloadCodec, now_ns: int) -> Statement:
    names = ("intent_id", "final", *FACT_COLUMNS)
    facts = [
        dict(zip(names, (outcome.intent_id, outcome.final, *fact_values(outcome.facts)), strict=True))
        for outcome in outcomes
    ]
    values = (
        orjson.dumps(facts).decode(),
        [outcome.intent_id for outcome in outcomes],
        [codec.pack(outcome.request) for outcome in outcomes],
        [codec.pack_optional(outcome.answer) for outcome in outcomes],
        now_ns,
    )
    return _RECORD, values


def transact(hot: Hot, batch: Batch, *, codec: PayloadCodec, is_alive: Callable[[OwnerRow | None], bool]) -> Exchange:
    """Carry out `batch` in one transaction, which is committed on return and rolled back where this raises."""
    alive = functools.cache(lambda other: is_alive(_owner(hot, other)))
    try:
        if batch.wants:
            return _settle_and_commit(hot, batch, codec, alive)
        opening = [_BEGIN, *batch.recording]
        if batch.ended:
            opening, taken = [], _record(hot, batch)
            opening += budget(hot, taken=taken, ended=batch.ended, wants={}, owner_id=0, alive=alive).statements
        _run(hot, [*opening, *_release(batch.owner_id, batch.released), _COMMIT])
        return Exchange()
    except BaseException:
        if not hot.closed:
            hot.execute("ROLLBACK")
        raise


def _record(hot: Hot, batch: Batch) -> list[Reservation]:
    with hot.pipeline():
        for statement, values in (_BEGIN, *batch.recording):
            hot.execute(statement, values)
        taken = hot.execute(TAKE_RESERVATIONS, (list(batch.ended),))
    return [Reservation(*row) for row in taken.fetchall()]


def _settle_and_commit(hot: Hot, batch: Batch, codec: PayloadCodec, alive: Callable[[int], bool]) -> Exchange:
    settled, won, taken = _settle(hot, batch, codec, alive)
    # Wanted again in the exchange that is done with it: its claim is still there, and renewed.
    again = [call_hash for call_hash in settled.fresh if call_hash in batch.released and call_hash not in won]
    former: dict[str, int] = {}  # the dead owners' intents of what was taken over
    if settled.taken_over or settled.retried or again:
        former = _claim_again(hot, batch.owner_id, settled, [*settled.retried, *again], won)
    wanted = {want.call_hash: want for want in settled.granted}
    claimed = {number: wanted[call_hash] for call_hash, number in won.items() if call_hash in wanted}
    reserved = budget(hot, taken=taken, ended=batch.ended, wants=claimed, owner_id=batch.owner_id, alive=alive)
    granted = {want.call_hash: number for number, want in claimed.items() if want.call_hash not in reserved.over}
    left = [call_hash for call_hash in former if call_hash in reserved.over]
    unneeded = [
        call_hash for call_hash in (*batch.released, *won) if call_hash not in granted and call_hash not in left
    ]
    intents = [_intents(batch, [(number, wanted[key]) for key, number in granted.items()])] if granted else []
    dead = [settled.taken_over[call_hash][1] for call_hash in left]
    leaving = [(_LEAVE_TO_THE_DEAD, (left, dead, [former[call_hash] for call_hash in left]))] if left else []
    _run(hot, [*intents, *reserved.statements, *leaving, *_release(batch.owner_id, unneeded), _COMMIT])
    # Held by somebody who gave it back while we looked; 0 is behind every intent there is.
    lost = {call_hash: want.behind or 0 for call_hash, want in wanted.items() if call_hash not in won}
    twice = {call_hash: granted[call_hash] for call_hash in settled.twice if call_hash in granted}
    return Exchange(
        granted=granted,
        answered=settled.answered,
        busy=settled.busy | lost | twice,
        failed=settled.failed,
        over_budget=reserved.over,
    )


def _settle(
    hot: Hot, batch: Batch, codec: PayloadCodec, alive: Callable[[int], bool]
) -> tuple[Settlement, dict[str, int], list[Reservation]]:
    """Claim what is free and sort the wants; also returns the claims won, which may be more than are granted, and what
    was set aside for the attempts that ended."""
    hashes = [want.call_hash for want in batch.wants]
    behind = [want.call_hash for want in batch.wants if want.behind is not None]
    with hot.pipeline():
        for statement, values in (_BEGIN, *batch.recording):
            hot.execute(statement, values)
        taken = hot.execute(TAKE_RESERVATIONS, (list(batch.ended),)) if batch.ended else ()
        claiming = hot.execute(_CLAIM_FRESH, (batch.owner_id, hashes))
        claimed = hot.execute(_SELECT_CLAIMS, (hashes,))
        # After the claims: where one is gone, what released it is among these.
        answered = hot.cursor(binary=True).execute(SELECT_ANSWERS, (hashes,))
        failed = hot.execute(_SELECT_FAILURES, (behind,)) if behind else ()
    won: dict[str, int] = dict(claiming.fetchall())
    ended = {(call_hash, batch.owner_id) for call_hash in batch.released}
    settled = settle(
        batch.wants,
        owner_id=batch.owner_id,
        answers={row[0]: answer_of(row, codec) for row in answered},
        failures={row[0]: Failure(row[1], facts_of(row[2:])) for row in failed},
        claims={row[0]: Claim(row[1], row[2]) for row in claimed if row[0] not in won and row[:2] not in ended},
        is_alive=alive,
    )
    return settled, won, [Reservation(*row) for row in taken]


def _claim_again(
    hot: Hot, owner_id: int, settled: Settlement, held: Sequence[str], won: dict[str, int]
) -> dict[str, int]:
    """Take over the claims of the dead and renew our own, adding them to `won` with their new intents' ids; returns the
    intents that the dead held them for."""
    dead = settled.taken_over
    with hot.pipeline():
        taken = hot.execute(_TAKE_OVER, (list(dead), [owner for _, owner in dead.values()], owner_id))
        renewed = hot.execute(_CLAIM_HELD, (owner_id, held))
    rows = taken.fetchall()
    won.update((call_hash, number) for call_hash, number, _ in rows)
    won.update(renewed.fetchall())
    return {call_hash: intent_id for call_hash, _, intent_id in rows}


def _owner(hot: Hot, owner_id: int) -> OwnerRow | None:
    row = hot.execute(_SELECT_OWNER, (owner_id,)).fetchone()
    return None if row is None else OwnerRow(*row)


def _intents(batch: Batch, granted: Sequence[tuple[int, Want]]) -> Statement:
    rows: list[Mapping[str, object]] = [
        {
            "id": number,
            "call_hash": want.call_hash,
            "job_hash": want.job_hash,
            "submission_id": want.submission_id,
            "provider": want.provider,
            "model": want.model,
            "attempt": want.attempt,
            "worst_tokens": want.worst_tokens,
            "worst_cost_usd": want.worst_cost_usd,
            "mode": want.mode,
        }
        for number, want in granted
    ]
    return _INSERT_INTENTS, (batch.owner_id, batch.now_ns, orjson.dumps(rows).decode())


def _release(owner_id: int, call_hashes: Collection[str]) -> list[Statement]:
    return [(_RELEASE, (owner_id, sorted(call_hashes)))] if call_hashes else []


def _run(hot: Hot, statements: Sequence[Statement]) -> None:
    """Send `statements` in one round trip."""
    with hot.pipeline():
        for statement, values in statements:
            hot.execute(statement, values)
