"""The page about time and order: each of its documents runs as it stands."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from llm_jobs.operations.arrivals import QUIET_NS, take_arrivals
from llm_jobs.operations.launchable import launchable
from llm_jobs.operations.recurring import recurring_documents, submit_recurring
from llm_jobs.operations.trigger import TOKEN_VARIABLE, fire
from llm_jobs.orchestration.standing import ARRIVALS_INTERVAL_S, RELOAD_INTERVAL_S
from llm_jobs.sources.counting import TIMEOUT_S
from llm_jobs_tests.docs.pages import ROOT, blocks, section
from llm_jobs_tests.operations.launching import document, opened
from llm_jobs_tests.operations.test_dependencies import keep_four, reasons, step

TEXT = (ROOT / "docs/scheduling.md").read_text(encoding="utf-8")


def documents(heading: str) -> list[str]:
    return [block.text for block in blocks(section(TEXT, heading)) if block.language == "yaml"]


def test_the_recurring_document_of_the_page_is_submitted_at_a_tick(tmp_path: Path) -> None:
    [text] = documents("Recurring jobs")
    with opened(tmp_path) as house:
        path = house.keep("recurring", "moods.yaml", text)
        house.keep("recurring", "reviews.csv", "review\nGood.\nBad.\n")
        (found,) = recurring_documents(house.services.settings, {})
        assert (found.name, found.cron, found.timezone) == ("daily_moods", "0 9 * * 1-5", "Europe/Paris")
        (accepted,) = submit_recurring(house.services, path, tick_ns=1).accepted
        assert house.run(accepted.job.hash)[0].rows == 2


def test_the_triggers_of_the_page_submit_files_and_requests(tmp_path: Path) -> None:
    [text] = documents("Files that arrive, and webhooks")
    with opened(tmp_path, **{TOKEN_VARIABLE: "t"}) as house:
        house.keep("recurring", "processor.yaml", text)
        os.utime(house.keep("incoming", "a.json", '[{"text": "A review."}]'), ns=(0, 0))
        assert len(take_arrivals(house.services, budget_s=60).accepted) == 1
        assert len(fire(house.services, "/trigger/process", b'[{"text": "Another."}]', token="t").accepted) == 1


def test_the_conditions_of_the_page_gate_a_job(tmp_path: Path) -> None:
    [text] = documents("Conditions")
    shop = tmp_path / "shop.db"
    with sqlite3.connect(shop) as connection:
        connection.execute("CREATE TABLE new_data AS SELECT value FROM json_each(json_array(1, 2))")
    connection.close()
    with opened(tmp_path, utc="2026-11-20T22:30:00", LLM_JOBS_CONNECTION_WAREHOUSE=f"sqlite:///{shop}") as house:
        house.drop("conditional.yaml", text)
        assert "gives 2 of the 100" in launchable(house.services).gated[0].reason
        house.clock.advance(7 * 3600)
        assert "22:00-06:00 Europe/Paris" in launchable(house.services).gated[0].reason


def test_the_dependent_of_the_page_waits_for_the_job_that_it_names(tmp_path: Path) -> None:
    text, opinion = documents("Jobs that depend on others")
    with opened(tmp_path) as house:
        house.drop("summary.yaml", text)
        house.drop("opinion.yaml", opinion)
        assert "daily_moods" in (reasons(house)["weekly_summary"] or "")
        moods = document("daily_moods", "input: {rows: [{review: Good.}]}", text="Is this kind? {{ review }}")
        house.drop("moods.yaml", moods.replace("name: answer", "name: mood"))
        assert [step(house), step(house)] == [["daily_moods"], ["second_opinion", "weekly_summary"]]


@pytest.mark.parametrize(("index", "runs"), [(0, 3), (1, 3)])
def test_the_pipelines_of_the_page_run(tmp_path: Path, index: int, runs: int) -> None:
    with opened(tmp_path) as house:
        keep_four(house)
        house.drop("pipeline.yaml", documents("Pipelines")[index])
        ran = [step(house) for _ in range(runs + 1)]
        assert (ran[0], ran[-2], ran[-1]) == (["collector"], ["aggregator"], [])


def test_the_times_of_the_page_are_those_of_the_code() -> None:
    assert (QUIET_NS, ARRIVALS_INTERVAL_S, RELOAD_INTERVAL_S, TIMEOUT_S) == (2_000_000_000, 10, 30, 10)
    for told in ("for two seconds", "every ten seconds", "within half a minute", "after ten seconds"):
        assert told in " ".join(TEXT.split())
