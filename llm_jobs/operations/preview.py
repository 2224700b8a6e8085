"""What may be shown beside a result: its first rows, texts cut short, and the request of the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import ResultRecord
from llm_jobs.operations.services import Services
from llm_jobs.results.columns import ANSWERED_AT, CALL_HASH
from llm_jobs.results.reading import Stored, iter_batches

MOST_CHARACTERS = 200
MOST_ROWS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    rows: Sequence[Mapping[str, object]] = ()
    sample_request: str | None = None


def preview_of(services: Services, record: ResultRecord) -> Shown:
    """The first rows of a result of record; nothing where previews are off or the file is gone."""
    if not services.settings.preview or not record.rows:
        return Shown()
    try:
        batches = iter_batches(services.store, [Stored(path=record.path)], batch_rows=MOST_ROWS)
        first = next(iter(batches)).slice(0, MOST_ROWS)
        rows = first.drop_columns(ANSWERED_AT).to_pylist()  # nobody sees the times, and reading them imports pandas
    except NotFound:
        return Shown()
    attempts = services.ledger.attempts(rows[0][CALL_HASH]) if rows[0][CALL_HASH] else ()
    request = attempts[-1][2].decode() if attempts else None
    return Shown(rows=[preview_row(row) for row in rows], sample_request=request)


def preview_row(row: Mapping[str, object]) -> dict[str, object]:
    """The user's columns and the status, texts cut to 200 characters."""
    shown = {name: _short(value) for name, value in row.items() if not name.startswith("llm_") and name != "body"}
    return {**shown, "llm_status": row.get("llm_status")}


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
