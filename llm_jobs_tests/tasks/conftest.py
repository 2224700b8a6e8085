from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.operations.records import JobReport
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Said, Speaking, speaking_server

MODEL = "openai/gpt-4.1-mini"
Answer = Callable[..., tuple[JobReport, list[dict[str, Any]]]]


@pytest.fixture
def speaking() -> Iterator[Speaking]:
    def said(body: Mapping[str, Any]) -> Said:
        return f"[{asked(body)}]"

    with speaking_server(said) as server:
        yield server


@pytest.fixture
def house(tmp_path: Path, speaking: Speaking) -> House:
    house = House(tmp_path, dict(speaking.environment))
    (house.home / "scripts").mkdir(parents=True, exist_ok=True)
    return house


@pytest.fixture
def answer(house: House) -> Answer:
    """Runs steps over rows: the report, and the result's rows."""

    def run(
        steps: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], **members: Any
    ) -> tuple[JobReport, list[dict[str, Any]]]:
        job = {"name": "tasks", "model": MODEL, "input": {"rows": list(rows)}, "steps": list(steps), **members}
        [report] = house.answer(house.write("job.json", {"job": job}))
        assert report.result is not None, report.error
        return report, pq.read_table(report.result).to_pylist()

    return run
