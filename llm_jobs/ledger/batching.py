"""Queries about vendors' batches, and about the jobs that wait for them.

Outcomes of a batch go through `exchange`, as all outcomes do: what is paid once online is paid once here. These are the
batch's own rows only. Waiting jobs are rows of `tasks`, which is state: losing them costs a launch too many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from sqlalchemy import Connection, Row, and_, case, delete, exists, func, insert, or_, select, text, update

from llm_jobs.clock import Clock
from llm_jobs.errors import LlmJobsError
from llm_jobs.ledger.base import Spend
from llm_jobs.ledger.batch_records import (
    Batch,
    BatchCall,
    BatchEvent,
    BatchEventKind,
    BatchState,
    Refusal,
    Waiting,
)
from llm_jobs.ledger.owners import is_alive
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.records import FACT_COLUMNS, OWNER_COLUMNS, OwnerRow, facts_of, from_json, owner_of, to_json
from llm_jobs.ledger.tables import batch_events, batches, claims, intents, outcomes, owners, payloads, tasks

ASKED_AT_ONCE = 500
TASK_KIND = "batch"
_WAITS, _OVER = "waiting", "over"
_BATCH_COLUMNS = (
    *("provider", "model", "base_url", "path", "job_hash", "submission_id", "owner_id", "token", "calls", "bytes"),
    "sha256",
)
_OWNER = [owners.c[name] for name in OWNER_COLUMNS]
# The condition of the partial index, word for word: otherwise SQLite would not use it.
_WITHOUT_ANSWER = text("(late OR status <> 'succeeded')")


class Batching(ABC):
    """The methods of `BatchLedger`, for a ledger that SQLAlchemy speaks to."""

    _clock: Clock
    _owner_timeout_s: float

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Connection]: ...

    @abstractmethod
    def _shared_now_ns(self) -> int: ...

    @abstractmethod
    def _is_alive(self, row: OwnerRow | None) -> bool: ...

    def record_batch(self, batch: Batch) -> int:
        values = {name: getattr(batch, name) for name in _BATCH_COLUMNS}
        values |= {"details": to_json(batch.details), "recorded_ns": self._clock.now_ns()}
        open_owner = select(owners.c.id).where(owners.c.id == batch.owner_id, owners.c.closed_ns.is_(None))
        with self._writing() as connection:
            if connection.execute(open_owner.with_for_update()).first() is None:
                raise LlmJobsError(
                    f"the calls of a batch of job {batch.job_hash} were given to others before it was made"
                )
            return int(connection.execute(insert(batches).values(values).returning(batches.c.id)).scalar_one())

    def record_batch_event(self, event: BatchEvent) -> None:
        values = {
            "batch_id": event.batch_id,
            "kind": event.kind,
            "vendor_id": event.vendor_id,
            "status": event.status,
            "details": to_json(event.details) if event.details else None,
            "recorded_ns": self._clock.now_ns(),
        }
        with self._writing() as connection:
            connection.execute(insert(batch_events).values(values))

    def batches(
        self, *, job_hash: str | None = None, ids: Sequence[int] | None = None, unfinished: bool = False
    ) -> Sequence[BatchState]:
        query = select(batches, owners.c.closed_ns).join(owners, owners.c.id == batches.c.owner_id)
        if job_hash is not None:
            query = query.where(batches.c.job_hash == job_hash)
        if ids is not None:
            query = query.where(batches.c.id.in_(list(ids)))
        if unfinished:
            given_up = and_(_event("submitted"), _event("lost"), ~_event("collected"))
            query = query.where(or_(owners.c.closed_ns.is_(None), given_up))
        with self._reading() as connection:
            rows = connection.execute(query.order_by(batches.c.id)).all()
            events = _events(connection, [row.id for row in rows])
            runs = {row.owner_id: self._submitter_runs(_owner(connection, row.owner_id)) for row in rows}
        return [
            BatchState(
                batch=_batch(row),
                events=tuple(events.get(row.id, ())),
                owns=row.closed_ns is None,
                submitter_runs=runs[row.owner_id],
            )
            for row in rows
        ]

    def batch_calls(self, batch: Batch) -> Mapping[str, BatchCall]:
        query = (
            select(intents.c.call_hash, intents.c.id, outcomes.c.intent_id)
            .outerjoin(outcomes, outcomes.c.intent_id == intents.c.id)
            .where(_of(batch))
        )
        with self._reading() as connection:
            rows = connection.execute(query)
            return {row[0]: BatchCall(intent_id=row[1], recorded=row[2] is not None) for row in rows}

    def batch_spend(self, batch: Batch) -> Spend:
        query = (
            select(
                func.count(),
                func.sum(outcomes.c.prompt_tokens),
                func.sum(outcomes.c.completion_tokens),
                func.sum(outcomes.c.cost_usd),
                func.sum(case((outcomes.c.cost_usd.is_(None), 1), else_=0)),
            )
            .join(intents, intents.c.id == outcomes.c.intent_id)
            .where(_of(batch), outcomes.c.completion_tokens.is_not(None))
        )
        with self._reading() as connection:
            count, prompt, completion, cost_usd, unpriced = connection.execute(query).one()
        return Spend(
            attempts=count,
            calls=count,
            prompt_tokens=None if prompt is None else int(prompt),
            completion_tokens=None if completion is None else int(completion),
            cost_usd=cost_usd,
            unpriced=int(unpriced or 0),
        )

    def claimed_by(self, owner_id: int) -> Mapping[str, int]:
        query = select(claims.c.call_hash, claims.c.intent_id).where(claims.c.owner_id == owner_id)
        with self._reading() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def abandoned_owners(self) -> Sequence[int]:
        has_batch = exists().where(batches.c.owner_id == owners.c.id)
        query = select(*_OWNER).where(owners.c.kind == "batch", owners.c.closed_ns.is_(None), ~has_batch)
        with self._reading() as connection:
            rows = [OwnerRow(*row) for row in connection.execute(query.order_by(owners.c.id))]
        return [row.id for row in rows if not self._submitter_runs(row)]

    def holders(self, call_hashes: Sequence[str]) -> Mapping[str, int]:
        query = select(claims.c.call_hash, claims.c.owner_id)
        with self._reading() as connection:
            return {
                row[0]: row[1]
                for some in _portions(list(call_hashes))
                for row in connection.execute(query.where(claims.c.call_hash.in_(some)))
            }

    def owners_alive(self, owner_ids: Sequence[int]) -> frozenset[int]:
        query = select(*_OWNER).where(owners.c.id.in_(list(owner_ids)))
        with self._reading() as connection:
            rows = [OwnerRow(*row) for row in connection.execute(query)] if owner_ids else []
        return frozenset(row.id for row in rows if self._is_alive(row))

    def refusals(self, call_hashes: Sequence[str]) -> Mapping[str, Sequence[Refusal]]:
        found: dict[str, list[Refusal]] = {}
        facts = [outcomes.c[name] for name in FACT_COLUMNS]
        columns = (outcomes.c.call_hash, outcomes.c.intent_id, outcomes.c.recorded_ns, payloads.c.answer)
        query = (
            select(*columns, *facts)
            .outerjoin(payloads, payloads.c.intent_id == outcomes.c.intent_id)
            .where(_WITHOUT_ANSWER, outcomes.c.final, outcomes.c.status != "succeeded")
        )
        codec = PayloadCodec()
        with self._reading() as connection:
            for some in _portions(list(call_hashes)):
                rows = connection.execute(query.where(outcomes.c.call_hash.in_(some)).order_by(outcomes.c.intent_id))
                for row in rows:
                    found.setdefault(row[0], []).append(
                        Refusal(
                            intent_id=row[1],
                            recorded_ns=row[2],
                            answer=codec.unpack_optional(row[3]),
                            facts=facts_of(row[4:]),
                        )
                    )
        return found

    def wait(self, waiting: Waiting) -> None:
        now_ns = self._clock.now_ns()
        values = {
            "kind": TASK_KIND,
            "reference": waiting.job_hash,
            "state": _WAITS,
            "attempts": 0,
            "not_before_ns": waiting.not_before_ns,
            "created_ns": now_ns,
            "changed_ns": now_ns,
            "details": to_json({"reason": waiting.reason, "owners": waiting.owners, "calls": waiting.calls}),
        }
        with self._writing() as connection:
            connection.execute(delete(tasks).where(_task_of(waiting.job_hash)))
            connection.execute(insert(tasks).values(values))

    def end_waiting(self, job_hash: str) -> None:
        with self._writing() as connection:
            connection.execute(update(tasks).where(_task_of(job_hash)).values(state=_OVER))

    def waiting(self, job_hashes: Sequence[str] | None = None) -> Mapping[str, Waiting]:
        query = select(tasks).where(tasks.c.kind == TASK_KIND)
        with self._reading() as connection:
            if job_hashes is None:
                rows = list(connection.execute(query))
            else:
                some = _portions(list(job_hashes))
                rows = [row for part in some for row in connection.execute(query.where(tasks.c.reference.in_(part)))]
        return {row.reference: _waiting(row) for row in rows}

    def _submitter_runs(self, row: OwnerRow | None) -> bool:
        """Whether the process that made the batch is alive: the batch itself is, until it is closed."""
        return row is not None and is_alive(
            owner_of(row),
            last_heartbeat_ns=row.heartbeat_ns,
            now_ns=self._shared_now_ns(),
            timeout_s=self._owner_timeout_s,
        )


def _event(kind: BatchEventKind) -> Any:
    return exists().where(batch_events.c.batch_id == batches.c.id, batch_events.c.kind == kind)


def _of(batch: Batch) -> Any:
    """The batch's intents, by the range of ids that they lie in: they have no index by owner."""
    runs = batch.details["intents"]
    return and_(intents.c.id.between(runs[0][0], runs[-1][1]), intents.c.owner_id == batch.owner_id)


def _task_of(job_hash: str) -> Any:
    return and_(tasks.c.kind == TASK_KIND, tasks.c.reference == job_hash)


def _portions(values: Sequence[str]) -> Iterator[Sequence[str]]:
    return (values[start : start + ASKED_AT_ONCE] for start in range(0, len(values), ASKED_AT_ONCE))


def _owner(connection: Connection, owner_id: int) -> OwnerRow | None:
    row = connection.execute(select(*_OWNER).where(owners.c.id == owner_id)).first()
    return None if row is None else OwnerRow(*row)


def _events(connection: Connection, batch_ids: Sequence[int]) -> dict[int, list[BatchEvent]]:
    found: dict[int, list[BatchEvent]] = {}
    for start in range(0, len(batch_ids), ASKED_AT_ONCE):
        some = batch_ids[start : start + ASKED_AT_ONCE]
        query = select(batch_events).where(batch_events.c.batch_id.in_(some)).order_by(batch_events.c.id)
        for row in connection.execute(query):
            found.setdefault(row.batch_id, []).append(_batch_event(row))
    return found


def _batch_event(row: Row[Any]) -> BatchEvent:
    return BatchEvent(
        batch_id=row.batch_id,
        kind=cast("BatchEventKind", row.kind),
        vendor_id=row.vendor_id,
        status=row.status,
        details=from_json(row.details),
        recorded_ns=row.recorded_ns,
    )


def _batch(row: Row[Any]) -> Batch:
    values = {name: getattr(row, name) for name in _BATCH_COLUMNS}
    return Batch(**values, details=from_json(row.details), id=row.id, recorded_ns=row.recorded_ns)


def _waiting(row: Row[Any]) -> Waiting:
    told = from_json(row.details)
    return Waiting(
        job_hash=row.reference,
        reason=told["reason"],
        owners=tuple(told["owners"]),
        calls=tuple(told["calls"]),
        not_before_ns=row.not_before_ns or 0,
        over=row.state == _OVER,
        since_ns=row.changed_ns,
    )
