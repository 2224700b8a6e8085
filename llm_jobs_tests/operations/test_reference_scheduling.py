"""The blocks of the reference about schedules, triggers, conditions, dependencies and pipelines, as they stand."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

from llm_jobs.operations.arrivals import take_arrivals
from llm_jobs.operations.launchable import launchable
from llm_jobs.operations.recurring import recurring_documents, submit_recurring
from llm_jobs.operations.release import release
from llm_jobs.operations.trigger import fire
from llm_jobs_tests.operations.launching import House, document, opened
from llm_jobs_tests.operations.test_dependencies import step
from llm_jobs_tests.reference.stage import block

SCHEDULED = block(5)
CRON = block(18)
TRIGGERED = block(19)
CONDITIONAL = block(20)
PIPELINE = block(14)
SEQUENTIAL = block(16)
PARALLEL = block(17)


def add_prompt(house: House, name: str, text: str) -> None:
    house.keep(f"prompts/{name}", "1.0.0.yaml", f"model: simulated\ntext: {json.dumps(text)}\n")


def add_jobs(house: House, *names: str) -> None:
    for name in names:
        house.keep("documents", f"{name}.yaml", document(name, text=f"What does {name} do?"))


def test_jobs_with_a_schedule_run_at_each_tick(tmp_path: Path) -> None:
    with opened(tmp_path) as house:
        add_prompt(house, "report_generator", "Write a report.")
        add_prompt(house, "daily_analysis", "Analyse the day.")
        house.keep("recurring", "report.yaml", SCHEDULED)
        house.keep("recurring", "analysis.yaml", CRON)
        found = recurring_documents(house.services.settings, {})
        assert [(each.name, each.cron, each.enabled) for each in found] == [
            ("daily_analysis", "0 2 * * *", True),
            ("daily_report", "0 9 * * *", True),
        ]
        for each in found:
            (accepted,) = submit_recurring(house.services, Path(each.path), tick_ns=house.clock.now_ns()).accepted
            assert house.run(accepted.job.hash)[0].status == "done"


def test_files_and_webhooks_trigger_a_job(tmp_path: Path) -> None:
    with opened(tmp_path, LLM_JOBS_ALLOWED_ROOTS=str(tmp_path), LLM_JOBS_TRIGGER_TOKEN="t") as house:
        add_prompt(house, "new_data_processor", "What is {{ word }}?")
        incoming = tmp_path / "data" / "input"
        incoming.mkdir(parents=True)
        # A test has no folder at the root of the machine: the block's lies below the test's own.
        house.keep("recurring", "processor.yaml", TRIGGERED.replace("/data/input", str(incoming)))
        (incoming / "a.json").write_text('[{"word": "pear"}, {"word": "plum"}]')
        os.utime(incoming / "a.json", ns=(0, 0))
        (by_file,) = take_arrivals(house.services, budget_s=60).accepted
        (by_hook,) = fire(house.services, "/trigger/process", b'[{"word": "fig"}]', token="t").accepted
        assert sorted(report.rows for report in house.run(by_file.job.hash, by_hook.job.hash)) == [1, 2]


def test_a_job_starts_with_enough_data_and_within_its_hours(tmp_path: Path) -> None:
    shop = tmp_path / "shop.db"
    variables = {"LLM_JOBS_CONNECTION_DEFAULT": f"sqlite:///{shop}"}
    with sqlite3.connect(shop) as connection:
        connection.execute("CREATE TABLE new_data (id INTEGER)")
        connection.executemany("INSERT INTO new_data VALUES (?)", [(number,) for number in range(99)])
        connection.commit()
        with opened(tmp_path, utc="2026-11-20T08:59:59", **variables) as house:
            add_prompt(house, "conditional_job", "Name a colour.")
            assert house.drop("conditional.yaml", CONDITIONAL).accepted
            assert "09:00-17:00 UTC" in launchable(house.services).gated[0].reason
            house.clock.advance(2)
            assert "gives 99 of the 100" in launchable(house.services).gated[0].reason
            connection.execute("INSERT INTO new_data VALUES (99)")
            connection.commit()
            assert step(house) == ["conditional_job"]
    connection.close()


def test_the_pipelines_run_in_their_order(tmp_path: Path) -> None:
    with opened(tmp_path) as house:
        chain = ("collect_data_job", "preprocess_job", "analyze_job", "report_job")
        add_jobs(house, *chain, "data_collector", "data_processor", "data_analyzer")
        add_jobs(house, "collector", "processor_a", "processor_b", "aggregator")
        house.drop("full.yaml", PIPELINE)
        assert [step(house) for _ in chain] == [[name] for name in chain]
        house.drop("sequential.yaml", SEQUENTIAL)
        assert [step(house) for _ in range(3)] == [["data_collector"], ["data_processor"], ["data_analyzer"]]
        house.drop("parallel.yaml", PARALLEL)
        assert [step(house) for _ in range(3)] == [["collector"], ["processor_a", "processor_b"], ["aggregator"]]
        assert not release(house.services).accepted
