"""The blocks that say when a job starts: schedules, triggers, conditions, and pipelines of jobs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs.operations.arrivals import take_arrivals
from llm_jobs.operations.launchable import launchable
from llm_jobs.operations.recurring import recurring_documents, submit_recurring
from llm_jobs.operations.trigger import TOKEN_VARIABLE, fire
from llm_jobs_tests.operations.launching import House, document, opened
from llm_jobs_tests.operations.test_dependencies import step
from llm_jobs_tests.reference.stage import REVIEWS, block, library, placed
from llm_jobs_tests.sources.databases import sqlite_file

COLLECT, PREPROCESS, ANALYSE, REPORT = "collect_data_job", "preprocess_job", "analyze_job", "report_job"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    library(tmp_path / "home")
    database = sqlite_file(tmp_path, "CREATE TABLE new_data AS SELECT value FROM json_each('[1, 2]')")
    stated = {
        TOKEN_VARIABLE: "t",
        "LLM_JOBS_ALLOWED_ROOTS": str(tmp_path),
        "LLM_JOBS_CONNECTION_DEFAULT": f"sqlite:///{database}",
    }
    with opened(tmp_path, utc="2026-11-20T22:30:00", **stated) as found:
        yield found


@pytest.mark.parametrize(
    ("number", "name", "cron"), [(5, "daily_report", "0 9 * * *"), (18, "daily_analysis", "0 2 * * *")]
)
def test_a_scheduled_job_is_a_schedule_and_runs_at_its_tick(house: House, number: int, name: str, cron: str) -> None:
    path = house.keep("recurring", "document.yaml", block(number))
    (found,) = recurring_documents(house.services.settings, {})
    assert (found.name, found.cron, found.timezone, found.enabled) == (name, cron, "UTC", True)
    (accepted,) = submit_recurring(house.services, path, tick_ns=1).accepted
    assert house.run(accepted.job.hash)[0].status == "done"


def test_the_triggers_submit_a_file_that_arrives_and_a_request(house: House, tmp_path: Path) -> None:
    house.keep("recurring", "processor.yaml", placed(block(19), tmp_path))
    arrived = tmp_path / "data/input/a.json"
    arrived.parent.mkdir()
    arrived.write_text(json.dumps(REVIEWS))
    os.utime(arrived, ns=(0, 0))
    (by_file,) = take_arrivals(house.services, budget_s=60).accepted
    (by_request,) = fire(house.services, "/trigger/process", b'[{"text": "Another."}]', token="t").accepted
    assert {each.job_hash: each.rows for each in house.run(by_file.job.hash, by_request.job.hash)} == {
        by_file.job.hash: 2,
        by_request.job.hash: 1,
    }


def test_the_conditions_gate_the_job_with_their_reasons(house: House) -> None:
    house.drop("conditional.yaml", block(20))
    assert launchable(house.services).jobs == ()
    assert "09:00-17:00" in launchable(house.services).gated[0].reason
    house.clock.advance(12 * 3600)
    assert "gives 2 of the 100" in launchable(house.services).gated[0].reason


@pytest.mark.parametrize(
    ("number", "order"),
    [
        (14, [[COLLECT], [PREPROCESS], [ANALYSE], [REPORT]]),
        (16, [["data_collector"], ["data_processor"], ["data_analyzer"]]),
        (17, [["collector"], ["processor_a", "processor_b"], ["aggregator"]]),
    ],
)
def test_the_jobs_of_a_pipeline_run_in_their_order(house: House, number: int, order: list[list[str]]) -> None:
    for name in (name for names in order for name in names):
        house.keep("documents", f"{name}.yaml", document(name, text=f"What does {name} do?"))
    house.drop("pipeline.yaml", block(number))
    assert [step(house) for _ in range(len(order) + 1)] == [*order, []]
