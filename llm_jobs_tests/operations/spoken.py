"""What tests of graphs have in common: a model that says what it was asked, and a document's answers as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from llm_jobs.operations.records import JobReport
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Said

MODEL = "openai/gpt-4.1-mini"


def echoed(body: Mapping[str, Any]) -> Said:
    """What was asked, in brackets; what asks to fail does."""
    question = asked(body)
    return 400 if "FAIL" in question else f"[{question}]"


def answered(house: House, value: Mapping[str, Any]) -> tuple[JobReport, list[dict[str, Any]]]:
    """The report of the one job of a document, and the rows of its result."""
    [report] = house.answer(house.write("job.json", value))
    assert report.result is not None, report.error
    return report, pq.read_table(report.result).to_pylist()
