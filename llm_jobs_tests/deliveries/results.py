"""Small results as they are stored, for deliveries of them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from llm_jobs.deliveries.subject import Subject

JOB = "0123456789abcdef0123456789abcdef"
SUBJECT = Subject(
    name="reviews/de",
    job_hash=JOB,
    epoch_ns=1_790_000_000_000_000_017,
    document="reviews",
    link="jobs/x/1_reviews.yaml",
    answer="answer",
)


def stored(table: pa.Table | Sequence[dict[str, object]]) -> io.BytesIO:
    """A table as a result's bytes."""
    stream = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pylist(list(table)), stream)
    stream.seek(0)
    return stream


def numbered(rows: int, *, first: int = 0) -> pa.Table:
    """Rows with an `id`, an answer and the facts that tell whether it is one."""
    ids = list(range(first, first + rows))
    return pa.table(
        {
            "id": ids,
            "answer": [f"answer {number}" for number in ids],
            "llm_status": ["succeeded"] * rows,
            "llm_epoch": [SUBJECT.epoch_ns] * rows,
        }
    )
