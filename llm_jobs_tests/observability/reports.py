"""Reports made of values, for tests of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llm_jobs.observability.report_model import Group, Report, ReportedJob, ReportedRow, Side
from llm_jobs.observability.report_page import page


def side(answer: Any, number: int = 0, **members: Any) -> Side:
    return Side(number=number, **{"status": "succeeded", "answers": {"answer": answer}, **members})


def row(answer: Any, number: int = 0, *, inputs: Mapping[str, Any] | None = None, **members: Any) -> ReportedRow:
    """A row of one job."""
    one = side(answer, number, **members)
    return ReportedRow(group=one.status, inputs=inputs or {"question": "why?"}, sides=[one])


def job(name: str = "questions") -> ReportedJob:
    return ReportedJob(
        name=name,
        job_hash="0" * 32,
        epoch_ns=1,
        status="done",
        figures=[("rows", "1")],
        details=[("models", "small")],
    )


def text_of(rows: Sequence[ReportedRow], names: Sequence[str] = ("questions",), **members: Any) -> str:
    """The page about the jobs `names`."""
    groups = [Group(name=name, rows=1, shown=1) for name in dict.fromkeys(row.group for row in rows)]
    report = Report(**{"jobs": [job(name) for name in names], "groups": groups, "rows": rows, **members})
    return b"".join(page(report)).decode()
