"""Queries about submissions: who submitted what, and what is unfinished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llm_jobs.ledger.base import Submission
from llm_jobs.ledger.payloads import PayloadCodec, own_codec
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import from_json, to_json

_WITH_BODIES = "SELECT s.*, d.document, d.job FROM submissions s LEFT JOIN documents d ON d.submission_id = s.id"
_WITHOUT_BODIES = "SELECT s.*, NULL AS document, NULL AS job FROM submissions s"
_LATEST = f"""
{_WITHOUT_BODIES} WHERE s.id IN (SELECT max(id) FROM submissions GROUP BY job_hash) ORDER BY s.id DESC LIMIT ?
"""
_UNFINISHED = """
SELECT s.job_hash FROM submissions s WHERE NOT EXISTS (
    SELECT 1 FROM results r
    WHERE r.job_hash = s.job_hash AND r.step IS NULL AND r.failed = 0 AND r.succeeded = r."rows"
) GROUP BY s.job_hash ORDER BY min(s.id)
"""


def insert_submissions(plain: Plain, items: Sequence[Submission], *, now_ns: int) -> list[int]:
    """Record `items` in order and return their ids."""
    codec = own_codec()
    ids = []
    for item in items:
        facts = {
            "job_hash": item.job_hash,
            "name": item.name,
            "document_name": item.document_name,
            "version": item.version,
            "submitter": item.submitter,
            "origin": item.origin,
            "labels": to_json(item.labels),
            "as_of_ns": item.as_of_ns,
            "details": to_json(item.details) if item.details else None,
            "submitted_ns": now_ns if item.submitted_ns is None else item.submitted_ns,
        }
        number = plain.insert_numbered("submissions", facts)
        bodies = {"submission_id": number, "document": codec.pack(item.document), "job": codec.pack(item.job)}
        plain.insert("documents", bodies)
        ids.append(number)
    return ids


def select_submissions(
    plain: Plain, *, job_hash: str | None, name: str | None, document_name: str | None, bodies: bool
) -> list[Submission]:
    """Submissions, newest first; an erased body is empty, and so is one that is not asked for."""
    stated = {"job_hash": job_hash, "name": name, "document_name": document_name}
    wanted = {column: value for column, value in stated.items() if value is not None}
    where = f" WHERE {' AND '.join(f's.{column} = ?' for column in wanted)}" if wanted else ""
    query = f"{_WITH_BODIES if bodies else _WITHOUT_BODIES}{where} ORDER BY s.id DESC"
    codec = own_codec()
    return [_submission(row, codec) for row in plain.named(query, list(wanted.values()))]


def select_latest_jobs(plain: Plain, limit: int) -> list[Submission]:
    """The newest submission of each of the latest jobs, newest first, without bodies."""
    codec = own_codec()
    return [_submission(row, codec) for row in plain.named(_LATEST, (limit,))]


def select_unfinished(plain: Plain) -> list[str]:
    """Jobs without a result in which every row succeeded, oldest first submission first."""
    return [row[0] for row in plain.rows(_UNFINISHED)]


def _submission(row: Any, codec: PayloadCodec) -> Submission:
    return Submission(
        job_hash=row.job_hash,
        name=row.name,
        document_name=row.document_name,
        document=codec.unpack_optional(row.document) or b"",
        job=codec.unpack_optional(row.job) or b"",
        submitter=row.submitter,
        origin=row.origin,
        version=row.version,
        labels=from_json(row.labels),
        id=row.id,
        submitted_ns=row.submitted_ns,
        as_of_ns=row.as_of_ns,
        details=from_json(row.details) if row.details else {},
    )
