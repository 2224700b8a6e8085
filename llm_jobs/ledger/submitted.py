"""Queries about submissions: who submitted what, and what is unfinished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, insert, literal, select

from llm_jobs.ledger.base import Submission
from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs.ledger.records import from_json, to_json
from llm_jobs.ledger.tables import documents, results, submissions

_NOTHING = literal(None)


def insert_submissions(connection: Connection, items: Sequence[Submission], *, now_ns: int) -> list[int]:
    """Record `items` in order and return their ids."""
    codec = PayloadCodec()
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
            "submitted_ns": now_ns if item.submitted_ns is None else item.submitted_ns,
        }
        number = connection.execute(insert(submissions).values(facts).returning(submissions.c.id)).scalar_one()
        bodies = {"submission_id": number, "document": codec.pack(item.document), "job": codec.pack(item.job)}
        connection.execute(insert(documents).values(bodies))
        ids.append(number)
    return ids


def select_submissions(
    connection: Connection, *, job_hash: str | None, name: str | None, document_name: str | None, bodies: bool
) -> list[Submission]:
    """Submissions, newest first; an erased body is empty, and so is one that is not asked for."""
    query: Select[Any] = select(submissions, _NOTHING.label("document"), _NOTHING.label("job"))
    if bodies:
        query = select(submissions, documents.c.document, documents.c.job).outerjoin(
            documents, documents.c.submission_id == submissions.c.id
        )
    query = query.order_by(submissions.c.id.desc())
    for column, value in (("job_hash", job_hash), ("name", name), ("document_name", document_name)):
        if value is not None:
            query = query.where(submissions.c[column] == value)
    codec = PayloadCodec()
    return [_submission(row, codec) for row in connection.execute(query)]


def select_latest_jobs(connection: Connection, limit: int) -> list[Submission]:
    """The newest submission of each of the latest jobs, newest first, without bodies."""
    newest = select(func.max(submissions.c.id)).group_by(submissions.c.job_hash)
    query = (
        select(submissions, _NOTHING.label("document"), _NOTHING.label("job"))
        .where(submissions.c.id.in_(newest))
        .order_by(submissions.c.id.desc())
        .limit(limit)
    )
    codec = PayloadCodec()
    return [_submission(row, codec) for row in connection.execute(query)]


def select_unfinished(connection: Connection) -> list[str]:
    """Jobs without a result in which every row succeeded, oldest first submission first."""
    whole = results.c.step.is_(None) & (results.c.failed == 0) & (results.c.succeeded == results.c.rows)
    finished = exists().where(results.c.job_hash == submissions.c.job_hash, whole)
    query: Select[Any] = (
        select(submissions.c.job_hash)
        .where(~finished)
        .group_by(submissions.c.job_hash)
        .order_by(func.min(submissions.c.id))
    )
    return list(connection.execute(query).scalars())


def _submission(row: Row[Any], codec: PayloadCodec) -> Submission:
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
    )
