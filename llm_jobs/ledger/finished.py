"""Rows written beside the calls: results, receipts, model versions, dead letters."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from llm_jobs.ledger.base import DeadLetter, ModelVersion, Receipt, ResultRecord
from llm_jobs.ledger.records import from_json, to_json
from llm_jobs.ledger.tables import (
    dead_letters,
    model_versions,
    receipts,
    results,
)

_RESULT_COLUMNS = ("job_hash", "path", "epoch_ns", "sha256", "size_bytes", "rows", "succeeded", "failed")
# SQLite takes 32,766 parameters in a statement, PostgreSQL 65,535.
PARAMETERS_AT_ONCE = 10_000


def insert_result(connection: Connection, record: ResultRecord, *, now_ns: int) -> None:
    values = {name: getattr(record, name) for name in _RESULT_COLUMNS}
    recorded_ns = now_ns if record.recorded_ns is None else record.recorded_ns
    connection.execute(insert(results).values(values | {"facts": to_json(record.facts), "recorded_ns": recorded_ns}))


def select_results(connection: Connection, job_hashes: Sequence[str]) -> dict[str, list[ResultRecord]]:
    """Records of whole results by job, newest first."""
    found: dict[str, list[ResultRecord]] = {}
    for start in range(0, len(job_hashes), PARAMETERS_AT_ONCE):
        some = job_hashes[start : start + PARAMETERS_AT_ONCE]
        query = select(results).where(results.c.job_hash.in_(some), results.c.step.is_(None))
        for row in connection.execute(query.order_by(results.c.id.desc())).mappings():
            values = {name: row[name] for name in _RESULT_COLUMNS}
            record = ResultRecord(**values, facts=from_json(row["facts"]), recorded_ns=row["recorded_ns"])
            found.setdefault(record.job_hash, []).append(record)
    return found


def insert_receipt(connection: Connection, receipt: Receipt, *, now_ns: int) -> None:
    values = {
        "job_hash": receipt.job_hash,
        "result_path": receipt.result_path,
        "destination": receipt.destination,
        "sha256": receipt.sha256,
        "rows": receipt.rows,
        "recorded_ns": now_ns,
        "details": to_json(receipt.details),
    }
    connection.execute(insert(receipts).values(values))


def select_receipts(connection: Connection, job_hash: str) -> list[Receipt]:
    rows = connection.execute(select(receipts).where(receipts.c.job_hash == job_hash).order_by(receipts.c.id))
    return [
        Receipt(
            job_hash=row.job_hash,
            result_path=row.result_path,
            destination=row.destination,
            sha256=row.sha256,
            rows=row.rows,
            details=from_json(row.details),
            recorded_ns=row.recorded_ns,
        )
        for row in rows
    ]


def insert_model_version(connection: Connection, version: ModelVersion, *, now_ns: int) -> None:
    values = {
        "name": version.name,
        "definition": to_json(version.definition),
        "who": version.who,
        "why": version.why,
        "recorded_ns": now_ns,
    }
    connection.execute(insert(model_versions).values(values))


def select_model_versions(connection: Connection) -> list[ModelVersion]:
    rows = connection.execute(select(model_versions).order_by(model_versions.c.id))
    return [
        ModelVersion(
            name=row.name,
            definition=from_json(row.definition),
            who=row.who,
            why=row.why,
            recorded_ns=row.recorded_ns,
        )
        for row in rows
    ]


def count_model_versions(connection: Connection) -> int:
    """How many there are. Not the greatest id: on PostgreSQL a smaller one may be committed after a greater."""
    return int(connection.execute(select(func.count()).select_from(model_versions)).scalar_one())


def insert_dead_letter(connection: Connection, letter: DeadLetter, *, now_ns: int) -> None:
    names = ("kind", "reference", "reason", "job_hash", "call_hash", "body")
    values = {name: getattr(letter, name) for name in names}
    connection.execute(insert(dead_letters).values(values | {"recorded_ns": now_ns}))


def select_dead_letters(connection: Connection) -> list[DeadLetter]:
    rows = connection.execute(select(dead_letters).order_by(dead_letters.c.id))
    return [
        DeadLetter(
            kind=row.kind,
            reference=row.reference,
            reason=row.reason,
            job_hash=row.job_hash,
            call_hash=row.call_hash,
            body=row.body,
            recorded_ns=row.recorded_ns,
        )
        for row in rows
    ]
