"""One row of a result, as it was asked and answered: the exact request and the raw answer, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import Facts
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.services import Services
from llm_jobs.results.reading import Stored, iter_batches


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One recorded attempt: what was sent, what came back. `answer` is None where nothing did, or after an erasure."""

    intent_id: int
    facts: Facts
    request: bytes
    answer: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownRow:
    """Row `number` (from 0) of the newest result, and every attempt at its call, oldest first."""

    job_hash: str
    number: int
    row: dict[str, object]
    attempts: Sequence[Attempt]


def show_row(services: Services, hash_or_name: str, number: int) -> ShownRow:
    """The exact request and the raw answer of row `number`, counted from 0. Raises NotFound."""
    submission = find_job(services, hash_or_name)
    paths = services.store.paths(submission.job_hash)
    if not paths:
        raise NotFound(f"job {submission.job_hash} ({submission.name}) has no result yet; run it first")
    row = _row(services, paths[-1], number)
    call_hash = row.get("llm_call_hash")
    attempts = services.ledger.attempts(str(call_hash)) if call_hash else ()
    return ShownRow(
        job_hash=submission.job_hash,
        number=number,
        row=row,
        attempts=[
            Attempt(intent_id=intent_id, facts=facts, request=request, answer=answer)
            for intent_id, facts, request, answer in attempts
        ],
    )


def _row(services: Services, path: str, number: int) -> dict[str, object]:
    seen = 0
    for batch in iter_batches(services.store, [Stored(path=path)]):
        if number < seen + batch.num_rows:
            (row,) = batch.slice(number - seen, 1).to_pylist()
            return dict(row)
        seen += batch.num_rows
    raise NotFound(f"the result has {seen} rows, counted from 0; there is no row {number}")
