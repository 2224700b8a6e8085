"""Questions about the whole record: what may have been paid for nothing, what was spent, what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, case, distinct, exists, func, select, text, union

from llm_jobs.ledger.base import Facts, LedgerAudit, Spend
from llm_jobs.ledger.finished import PARAMETERS_AT_ONCE
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.records import FACT_COLUMNS, facts_of
from llm_jobs.ledger.tables import answers, budgets, erasures, intents, outcomes, payloads, reservations, submissions

PAGE_ROWS = 1000

# The condition of the partial index, word for word: otherwise SQLite would not use it.
_WITHOUT_ANSWER = text("(late OR status <> 'succeeded')")

_recorded = exists().where(outcomes.c.intent_id == intents.c.id)
_erased = exists().where(erasures.c.kind == "call", erasures.c.reference == outcomes.c.call_hash)
_has_body = exists().where(payloads.c.intent_id == outcomes.c.intent_id)
_in_answers = exists().where(answers.c.call_hash == outcomes.c.call_hash)
_supported = exists().where(
    outcomes.c.intent_id == answers.c.intent_id,
    outcomes.c.call_hash == answers.c.call_hash,
    outcomes.c.status == "succeeded",
)
_of_its_intent = exists().where(intents.c.id == outcomes.c.intent_id, intents.c.call_hash == outcomes.c.call_hash)

_set_aside = (
    select(
        reservations.c.budget,
        func.sum(reservations.c.worst_pico_usd).label("pico_usd"),
        func.sum(reservations.c.worst_tokens).label("tokens"),
    )
    .where(~exists().where(outcomes.c.intent_id == reservations.c.intent_id))
    .group_by(reservations.c.budget)
    .subquery()
)
_unbalanced = (
    select(budgets.c.budget)
    .outerjoin(_set_aside, _set_aside.c.budget == budgets.c.budget)
    .where(
        (budgets.c.reserved_pico_usd != func.coalesce(_set_aside.c.pico_usd, 0))
        | (budgets.c.reserved_tokens != func.coalesce(_set_aside.c.tokens, 0))
    )
)


def select_unrecorded(connection: Connection, *, job_hash: str | None, after_id: int) -> Sequence[Any]:
    """The next page of intents without outcome: id, call_hash, job_hash, model, intended_ns, owner_id."""
    columns = (intents.c.id, intents.c.call_hash, intents.c.job_hash, intents.c.model, intents.c.intended_ns)
    query = select(*columns, intents.c.owner_id).where(intents.c.id > after_id, ~_recorded)
    if job_hash is not None:
        query = query.where(intents.c.job_hash == job_hash)
    return connection.execute(query.order_by(intents.c.id).limit(PAGE_ROWS)).all()


def outcomes_of_call(call_hash: str) -> Select[tuple[int]]:
    """The intents of a call that have an outcome. `answers` and the partial index on `outcomes` hold one part each."""
    answered = select(answers.c.intent_id).where(answers.c.call_hash == call_hash)
    others = select(outcomes.c.intent_id).where(outcomes.c.call_hash == call_hash, _WITHOUT_ANSWER)
    return select(union(answered, others).subquery().c.intent_id)


def select_attempts(connection: Connection, call_hash: str) -> list[tuple[int, Facts, bytes, bytes | None]]:
    """Recorded attempts, oldest first; the bodies of an erased one are b"" and None."""
    columns = [outcomes.c[name] for name in FACT_COLUMNS]
    query = (
        select(outcomes.c.intent_id, payloads.c.request, payloads.c.answer, *columns)
        .outerjoin(payloads, payloads.c.intent_id == outcomes.c.intent_id)
        .where(outcomes.c.intent_id.in_(outcomes_of_call(call_hash)))
        .order_by(outcomes.c.intent_id)
    )
    codec = PayloadCodec()
    return [
        (row[0], facts_of(row[3:]), codec.unpack_optional(row[1]) or b"", codec.unpack_optional(row[2]))
        for row in connection.execute(query)
    ]


def count_late(connection: Connection, job_hash: str) -> int:
    """Answers that this job's attempts bought after the call had one already. Reads the partial index alone."""
    query = (
        select(func.count())
        .select_from(outcomes.join(intents, intents.c.id == outcomes.c.intent_id))
        .where(_WITHOUT_ANSWER, outcomes.c.status == "succeeded", intents.c.job_hash == job_hash)
    )
    return int(connection.execute(query).scalar_one())


def select_spend(connection: Connection, job_hashes: Sequence[str]) -> Iterator[tuple[str, Spend]]:
    """What each job's recorded attempts used."""
    unpriced = func.sum(case((outcomes.c.cost_usd.is_(None), 1), else_=0))
    query = (
        select(
            intents.c.job_hash,
            func.count().label("attempts"),
            func.count(distinct(intents.c.call_hash)).label("calls"),
            func.sum(outcomes.c.prompt_tokens).label("prompt_tokens"),
            func.sum(outcomes.c.completion_tokens).label("completion_tokens"),
            func.sum(outcomes.c.cost_usd).label("cost_usd"),
            unpriced.label("unpriced"),
        )
        .join(outcomes, outcomes.c.intent_id == intents.c.id)
        .group_by(intents.c.job_hash)
    )
    for start in range(0, len(job_hashes), PARAMETERS_AT_ONCE):
        some = query.where(intents.c.job_hash.in_(job_hashes[start : start + PARAMETERS_AT_ONCE]))
        for row in connection.execute(some):
            yield row.job_hash, _spend(row)


def _spend(row: Row[Any]) -> Spend:
    return Spend(
        attempts=row.attempts,
        calls=row.calls,
        prompt_tokens=None if row.prompt_tokens is None else int(row.prompt_tokens),
        completion_tokens=None if row.completion_tokens is None else int(row.completion_tokens),
        cost_usd=row.cost_usd,
        unpriced=int(row.unpriced),
    )


def audit(connection: Connection) -> LedgerAudit:
    """Counts and contradictions, each found by one query over the whole record."""
    counted = (select(func.count()).select_from(table) for table in (submissions, intents, outcomes, answers))
    totals = [connection.execute(query).scalar_one() for query in counted]
    more_than_once = (
        select(outcomes.c.call_hash)
        .where(outcomes.c.status == "succeeded")
        .group_by(outcomes.c.call_hash)
        .having(func.count() > 1)
    )
    return LedgerAudit(
        submissions=totals[0],
        intents=totals[1],
        outcomes=totals[2],
        answers=totals[3],
        late=_count(connection, select(outcomes.c.intent_id).where(outcomes.c.late)),
        paid_twice=_count(connection, more_than_once),
        unrecorded=_count(connection, select(intents.c.id).where(~_recorded)),
        inconsistencies=tuple(_contradictions(connection)),
    )


def _contradictions(connection: Connection) -> Iterator[str]:
    checks: tuple[tuple[str, Select[Any]], ...] = (
        ("answers without a successful outcome", select(answers.c.call_hash).where(~_supported)),
        ("outcomes of another call's intent", select(outcomes.c.call_hash).where(~_of_its_intent)),
        (
            "successes that are no answer",
            select(outcomes.c.call_hash).where(outcomes.c.status == "succeeded", ~_in_answers),
        ),
        ("outcomes without bodies that nobody erased", select(outcomes.c.call_hash).where(~_has_body, ~_erased)),
    )
    for what, query in checks:
        yield from _found(connection, what, query, "call")
    yield from _found(connection, "budgets that hold other than what is set aside", _unbalanced, "budget")


def _found(connection: Connection, what: str, query: Select[Any], kind: str) -> Iterator[str]:
    if count := _count(connection, query):
        first = connection.execute(query.limit(1)).scalar_one()
        yield f"{count} {what}, for example {kind} {first}"


def _count(connection: Connection, query: Select[Any]) -> int:
    return int(connection.execute(select(func.count()).select_from(query.subquery())).scalar_one())
