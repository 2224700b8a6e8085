"""Rows written beside the calls: results, receipts, model versions, dead letters."""

from __future__ import annotations

from collections.abc import Sequence

from llm_jobs.ledger.base import DeadLetter, ModelVersion, Receipt, ResultRecord
from llm_jobs.ledger.plain import Plain, marks, portions
from llm_jobs.ledger.records import from_json, to_json

_RESULT_COLUMNS = ("job_hash", "path", "epoch_ns", "sha256", "size_bytes", "rows", "succeeded", "failed")


def insert_result(plain: Plain, record: ResultRecord, *, now_ns: int) -> None:
    values = {name: getattr(record, name) for name in _RESULT_COLUMNS}
    recorded_ns = now_ns if record.recorded_ns is None else record.recorded_ns
    plain.insert("results", values | {"facts": to_json(record.facts), "recorded_ns": recorded_ns})


def select_results(plain: Plain, job_hashes: Sequence[str]) -> dict[str, list[ResultRecord]]:
    """Records of whole results by job, newest first."""
    found: dict[str, list[ResultRecord]] = {}
    for some in portions(job_hashes):
        query = f"SELECT * FROM results WHERE job_hash IN {marks(len(some))} AND step IS NULL ORDER BY id DESC"
        for row in plain.named(query, some):
            values = {name: getattr(row, name) for name in _RESULT_COLUMNS}
            record = ResultRecord(**values, facts=from_json(row.facts), recorded_ns=row.recorded_ns)
            found.setdefault(record.job_hash, []).append(record)
    return found


def insert_receipt(plain: Plain, receipt: Receipt, *, now_ns: int) -> None:
    values = {
        "job_hash": receipt.job_hash,
        "result_path": receipt.result_path,
        "destination": receipt.destination,
        "sha256": receipt.sha256,
        "rows": receipt.rows,
        "recorded_ns": now_ns,
        "details": to_json(receipt.details),
    }
    plain.insert("receipts", values)


def select_receipts(plain: Plain, job_hashes: Sequence[str]) -> dict[str, list[Receipt]]:
    """Receipts by job, oldest first."""
    found: dict[str, list[Receipt]] = {}
    for some in portions(job_hashes):
        query = f"SELECT * FROM receipts WHERE job_hash IN {marks(len(some))} ORDER BY id"
        for row in plain.named(query, some):
            receipt = Receipt(
                job_hash=row.job_hash,
                result_path=row.result_path,
                destination=row.destination,
                sha256=row.sha256,
                rows=row.rows,
                details=from_json(row.details),
                recorded_ns=row.recorded_ns,
            )
            found.setdefault(receipt.job_hash, []).append(receipt)
    return found


def insert_model_version(plain: Plain, version: ModelVersion, *, now_ns: int) -> None:
    values = {
        "name": version.name,
        "definition": to_json(version.definition),
        "who": version.who,
        "why": version.why,
        "recorded_ns": now_ns,
    }
    plain.insert("model_versions", values)


def select_model_versions(plain: Plain) -> list[ModelVersion]:
    rows = plain.named("SELECT * FROM model_versions ORDER BY id")
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


def count_model_versions(plain: Plain) -> int:
    """How many there are. Not the greatest id: on PostgreSQL a smaller one may be committed after a greater."""
    return int(plain.scalar("SELECT count(*) FROM model_versions"))


def insert_dead_letter(plain: Plain, letter: DeadLetter, *, now_ns: int) -> None:
    names = ("kind", "reference", "reason", "job_hash", "call_hash", "body")
    values = {name: getattr(letter, name) for name in names}
    plain.insert("dead_letters", values | {"recorded_ns": now_ns})


def select_dead_letters(plain: Plain) -> list[DeadLetter]:
    rows = plain.named("SELECT * FROM dead_letters ORDER BY id")
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
