"""Queries about vendors' batches, and about the jobs that wait for them.

Outcomes of a batch go through `exchange`, as all outcomes do: what is paid once online is paid once here. These are the
batch's own rows only. Waiting jobs are rows of `tasks`, which is state: losing them costs a launch too many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

from llm_jobs.clock import Clock
from llm_jobs.errors import LlmJobsError
from llm_jobs.ledger.audits import WITHOUT_ANSWER
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
from llm_jobs.ledger.payloads import own_codec
from llm_jobs.ledger.plain import Plain, marks, portions
from llm_jobs.ledger.records import FACT_COLUMNS, OWNER_COLUMNS, OwnerRow, facts_of, from_json, owner_of, to_json

TASK_KIND = "batch"
_WAITS, _OVER = "waiting", "over"
_BATCH_COLUMNS = (
    *("provider", "model", "base_url", "path", "job_hash", "submission_id", "owner_id", "token", "calls", "bytes"),
    "sha256",
)
_OWNERS = f"SELECT {', '.join(OWNER_COLUMNS)} FROM owners"
_HAS_EVENT = "EXISTS (SELECT 1 FROM batch_events e WHERE e.batch_id = b.id AND e.kind = '{}')"
_BATCHES = "SELECT b.*, o.closed_ns FROM batches b JOIN owners o ON o.id = b.owner_id"
_UNFINISHED = (
    f"(o.closed_ns IS NULL OR {_HAS_EVENT.format('submitted')} AND {_HAS_EVENT.format('lost')}"
    f" AND NOT {_HAS_EVENT.format('collected')})"
)
# A batch's intents, by the range of ids that they lie in: they have no index by owner.
_OF_BATCH = "i.id BETWEEN ? AND ? AND i.owner_id = ?"
_CALLS = (
    f"SELECT i.call_hash, i.id, o.intent_id FROM intents i LEFT JOIN outcomes o ON o.intent_id = i.id WHERE {_OF_BATCH}"
)
_ABANDONED = f"""
{_OWNERS} WHERE kind = 'batch' AND closed_ns IS NULL
AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.owner_id = owners.id) ORDER BY id
"""
_REFUSALS = f"""
SELECT o.call_hash, o.intent_id, o.recorded_ns, p.answer, {", ".join(f"o.{name}" for name in FACT_COLUMNS)}
FROM outcomes o LEFT JOIN payloads p ON p.intent_id = o.intent_id
WHERE {WITHOUT_ANSWER} AND o.final AND o.status <> 'succeeded' AND o.call_hash IN {{hashes}}
ORDER BY o.intent_id
"""


class Batching(ABC):
    """The methods of `BatchLedger`, for a ledger that speaks plain SQL."""

    _clock: Clock
    _owner_timeout_s: float

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Plain]: ...

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Plain]: ...

    @abstractmethod
    def _shared_now_ns(self) -> int: ...

    @abstractmethod
    def _is_alive(self, row: OwnerRow | None) -> bool: ...

    def record_batch(self, batch: Batch) -> int:
        values = {name: getattr(batch, name) for name in _BATCH_COLUMNS}
        values |= {"details": to_json(batch.details), "recorded_ns": self._clock.now_ns()}
        with self._writing() as plain:
            lock = " FOR UPDATE" if plain.dialect == "postgresql" else ""
            if not plain.rows(f"SELECT id FROM owners WHERE id = ? AND closed_ns IS NULL{lock}", (batch.owner_id,)):
                raise LlmJobsError(
                    f"the calls of a batch of job {batch.job_hash} were given to others before it was made"
                )
            return plain.insert_numbered("batches", values)

    def record_batch_event(self, event: BatchEvent) -> None:
        values = {
            "batch_id": event.batch_id,
            "kind": event.kind,
            "vendor_id": event.vendor_id,
            "status": event.status,
            "details": to_json(event.details) if event.details else None,
            "recorded_ns": self._clock.now_ns(),
        }
        with self._writing() as plain:
            plain.insert("batch_events", values)

    def batches(
        self, *, job_hash: str | None = None, ids: Sequence[int] | None = None, unfinished: bool = False
    ) -> Sequence[BatchState]:
        conditions: list[str] = [_UNFINISHED] if unfinished else []
        values: list[object] = []
        if job_hash is not None:
            conditions.append("b.job_hash = ?")
            values.append(job_hash)
        if ids is not None:
            conditions.append(f"b.id IN {marks(len(ids))}" if ids else "1 = 0")
            values.extend(ids)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._reading() as plain:
            rows = plain.named(f"{_BATCHES}{where} ORDER BY b.id", values)
            events = _events(plain, [row.id for row in rows])
            runs = {row.owner_id: self._submitter_runs(owner_row(plain, row.owner_id)) for row in rows}
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
        with self._reading() as plain:
            rows = plain.rows(_CALLS, _of(batch))
        return {row[0]: BatchCall(intent_id=row[1], recorded=row[2] is not None) for row in rows}

    def claimed_by(self, owner_id: int) -> Mapping[str, int]:
        with self._reading() as plain:
            return dict(plain.rows("SELECT call_hash, intent_id FROM claims WHERE owner_id = ?", (owner_id,)))

    def abandoned_owners(self) -> Sequence[int]:
        with self._reading() as plain:
            rows = [OwnerRow(*row) for row in plain.rows(_ABANDONED)]
        return [row.id for row in rows if not self._submitter_runs(row)]

    def holders(self, call_hashes: Sequence[str]) -> Mapping[str, int]:
        with self._reading() as plain:
            return {
                row[0]: row[1]
                for some in portions(call_hashes)
                for row in plain.rows(
                    f"SELECT call_hash, owner_id FROM claims WHERE call_hash IN {marks(len(some))}", some
                )
            }

    def owners_alive(self, owner_ids: Sequence[int]) -> frozenset[int]:
        if not owner_ids:
            return frozenset()
        with self._reading() as plain:
            rows = [OwnerRow(*row) for row in plain.rows(f"{_OWNERS} WHERE id IN {marks(len(owner_ids))}", owner_ids)]
        return frozenset(row.id for row in rows if self._is_alive(row))

    def refusals(self, call_hashes: Sequence[str]) -> Mapping[str, Sequence[Refusal]]:
        found: dict[str, list[Refusal]] = {}
        codec = own_codec()
        with self._reading() as plain:
            for some in portions(call_hashes):
                for row in plain.rows(_REFUSALS.format(hashes=marks(len(some))), some):
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
        with self._writing() as plain:
            plain.run("DELETE FROM tasks WHERE kind = ? AND reference = ?", (TASK_KIND, waiting.job_hash))
            plain.insert("tasks", values)

    def end_waiting(self, job_hash: str) -> None:
        with self._writing() as plain:
            values = (_OVER, TASK_KIND, job_hash)
            plain.run("UPDATE tasks SET state = ? WHERE kind = ? AND reference = ?", values)

    def waiting(self, job_hashes: Sequence[str] | None = None) -> Mapping[str, Waiting]:
        query = "SELECT * FROM tasks WHERE kind = ?"
        with self._reading() as plain:
            if job_hashes is None:
                rows = plain.named(query, (TASK_KIND,))
            else:
                rows = [
                    row
                    for some in portions(job_hashes)
                    for row in plain.named(f"{query} AND reference IN {marks(len(some))}", (TASK_KIND, *some))
                ]
        return {row.reference: _waiting(row) for row in rows}

    def _submitter_runs(self, row: OwnerRow | None) -> bool:
        """Whether the process that made the batch is alive: the batch itself is, until it is closed."""
        return row is not None and is_alive(
            owner_of(row),
            last_heartbeat_ns=row.heartbeat_ns,
            now_ns=self._shared_now_ns(),
            timeout_s=self._owner_timeout_s,
        )


def _of(batch: Batch) -> tuple[int, int, int]:
    """The values of `_OF_BATCH`."""
    runs = batch.details["intents"]
    return runs[0][0], runs[-1][1], batch.owner_id


def owner_row(plain: Plain, owner_id: int) -> OwnerRow | None:
    """The owner, if there ever was one with this id."""
    rows = plain.rows(f"{_OWNERS} WHERE id = ?", (owner_id,))
    return OwnerRow(*rows[0]) if rows else None


def _events(plain: Plain, batch_ids: Sequence[int]) -> dict[int, list[BatchEvent]]:
    found: dict[int, list[BatchEvent]] = {}
    for some in portions(batch_ids):
        for row in plain.named(f"SELECT * FROM batch_events WHERE batch_id IN {marks(len(some))} ORDER BY id", some):
            found.setdefault(row.batch_id, []).append(_batch_event(row))
    return found


def _batch_event(row: Any) -> BatchEvent:
    return BatchEvent(
        batch_id=row.batch_id,
        kind=cast("BatchEventKind", row.kind),
        vendor_id=row.vendor_id,
        status=row.status,
        details=from_json(row.details),
        recorded_ns=row.recorded_ns,
    )


def _batch(row: Any) -> Batch:
    values = {name: getattr(row, name) for name in _BATCH_COLUMNS}
    return Batch(**values, details=from_json(row.details), id=row.id, recorded_ns=row.recorded_ns)


def _waiting(row: Any) -> Waiting:
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
