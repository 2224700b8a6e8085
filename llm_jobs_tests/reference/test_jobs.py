"""The blocks that are whole jobs, run as they stand: prompts of a library, stacks, profiles, phases, watching."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from llm_jobs.operations.deliver import deliver
from llm_jobs.operations.overrides import Overrides
from llm_jobs_tests.cli.house import House, facts
from llm_jobs_tests.reference.stage import block, furnished, inside_a_job, placed, rows_of, write
from llm_jobs_tests.servers.hooks import hook
from llm_jobs_tests.servers.mail import mail_server
from llm_jobs_tests.servers.replay import replay_server


@pytest.fixture
def house(tmp_path: Path) -> House:
    return furnished(tmp_path)


def test_the_basic_job_reads_a_table_asks_and_writes_a_table(house: House) -> None:
    [report] = house.answer(house.write("basic.yaml", block(1)))
    assert (report.status, report.rows) == ("done", 2)
    with house.entry.open_services() as services:
        [delivered] = deliver(services, report.job_hash)
    assert delivered.status == "delivered"
    with sqlite3.connect(house.folder / "shop.db") as connection:
        assert connection.execute("SELECT count(*) FROM sentiment_results").fetchall() == [(2,)]
    connection.close()


@pytest.mark.parametrize(
    ("number", "columns"),
    [
        (2, ["classifier"]),
        (3, ["preprocessor", "analyzer", "validator"]),
        (4, ["sentiment_analyzer"]),
        (5, ["report_generator"]),
        (11, ["analysis_job"]),
        (12, ["batch_processor"]),
        (18, ["daily_analysis"]),
        (20, ["conditional_job"]),
        (21, ["monitored_job"]),
    ],
)
def test_a_job_is_validated_and_answered_as_it_stands(house: House, number: int, columns: list[str]) -> None:
    document = house.write("document.yaml", block(number))
    [examined] = facts(house.invoke("validate", document.name, "--json").stdout)
    [report] = house.answer(document)
    assert (report.status, report.calls_sent) == ("done", examined["calls"])
    assert set(columns) <= rows_of(report)[0].keys()


@pytest.mark.parametrize("profile", ["development", "production", "cost_optimized"])
def test_the_job_with_profiles_runs_with_each(house: House, profile: str) -> None:
    [report] = house.answer(house.write("profiles.yaml", block(11)), Overrides(profile=profile))
    assert report.status == "done"


def test_map_and_reduce_ask_about_each_row_and_then_once_about_all(house: House) -> None:
    [report] = house.answer(house.write("map.yaml", block(13)), Overrides(input="reviews.json"))
    assert (report.status, report.calls_sent) == ("done", 2)
    assert len(rows_of(report)) == 1


def test_fan_out_asks_about_each_category_and_merges(house: House) -> None:
    [report] = house.answer(house.write("fan.yaml", block(15)), Overrides(input="reviews.json"))
    assert report.status == "done"
    assert "fan_in" in rows_of(report)[0]


def test_the_key_and_the_endpoint_are_variables_of_the_environment(house: House) -> None:
    write(house.home / "prompts/analyzer/9.0.0.yaml", "model: openai/gpt-4\nmessages: [{role: user, content: Who?}]\n")
    with replay_server(answers={"Who?": "me"}) as server:
        house.variables.update(
            OPENAI_API_KEY="sk-of-the-environment",
            API_ENDPOINT=f"{server.url}/v1",
            LLM_JOBS_DOCUMENT_VARIABLES="API_ENDPOINT",
            LLM_JOBS_ALLOWED_HOSTS=server.url.removeprefix("http://"),
        )
        [report] = house.answer(house.write("api.yaml", block(10)))
        assert server.stats()["total"] == 1
    assert [row["analyzer"] for row in rows_of(report)] == ["me"]


def test_the_log_of_the_job_is_written(house: House) -> None:
    [report] = house.answer(house.write("logged.yaml", placed(block(22), house.folder)))
    assert report.status == "done"
    assert facts((house.folder / "logs/job.log").read_text(encoding="utf-8"))


def test_the_alerts_are_watched_and_none_is_due(house: House) -> None:
    with mail_server() as mail, hook() as slack:
        house.variables.update(
            LLM_JOBS_SMTP_URL=f"smtp://{mail.url}",
            LLM_JOBS_MAIL_FROM="jobs@example.com",
            LLM_JOBS_SLACK_WEBHOOK_URL=slack.url,
        )
        [report] = house.answer(house.write("alerted.yaml", block(23)))
        assert (report.status, mail.tries, slack.taken) == ("done", 0, [])


def test_the_fragment_of_prompts_is_two_steps(house: House) -> None:
    [report] = house.answer(house.write("prompts.yaml", inside_a_job(block(6))))
    assert {"text_cleaner", "sentiment_analyzer"} <= rows_of(report)[0].keys()


def test_the_fragment_of_error_handling_stands_in_a_job(house: House) -> None:
    [report] = house.answer(house.write("errors.yaml", inside_a_job(block(9))))
    assert report.status == "done"
