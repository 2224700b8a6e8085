"""`llm-jobs batches` and `move`, and what `run` and `status` say of a job that waits."""

from __future__ import annotations

import pytest

from llm_jobs_tests.cli.house import ROWS, House, facts, job


@pytest.fixture
def waiting(house: House) -> str:
    """A job whose batch is under way at the simulated endpoint; its hash."""
    [report] = house.answer(house.write("words.yaml", job("words", ROWS, mode="batch")))
    assert report.status == "waiting"
    return report.job_hash


def test_run_ends_well_and_says_what_to_do_next(house: House) -> None:
    house.write("words.yaml", job("words", ROWS, mode="batch"))
    first = house.invoke("run", "words.yaml")
    assert first.exit_code == 0
    assert "waiting" in first.stdout
    assert "3 calls were submitted in 1 batch" in first.stderr
    assert "llm-jobs batches --poll" in first.stdout
    again = house.invoke("run", "words")
    assert again.exit_code == 0
    assert "done" in again.stdout


def test_batches_of_a_provider_that_has_none_are_refused_before_anything_runs(house: House) -> None:
    document = job("words", ROWS, mode="batch")
    document["job"]["model"] = "command/echo"
    house.write("words.yaml", document)
    result = house.invoke("run", "words.yaml")
    assert result.exit_code == 2
    assert "batch endpoints are those of openai, anthropic, simulated" in result.stderr


def test_run_tells_programs_that_a_job_waits(house: House) -> None:
    house.write("words.yaml", job("words", ROWS, mode="batch"))
    result = house.invoke("run", "words.yaml", "--json")
    assert (result.exit_code, facts(result.stdout)[0]["status"]) == (0, "waiting")


def test_status_tells_on_what_a_job_waits(house: House, waiting: str) -> None:
    assert "waiting" in house.invoke("status").stdout
    told = house.invoke("status", "words").stdout
    assert "3 calls were submitted in 1 batch" in told


def test_batches_are_listed_polled_and_ready(house: House, waiting: str) -> None:
    [line] = facts(house.invoke("batches", "--json").stdout)
    assert (line["batch"], line["job_hash"], line["phase"], line["calls"], line["live"]) == (
        1,
        waiting,
        "submitted",
        3,
        True,
    )
    assert "submitted" in house.invoke("batches").stdout
    polled = house.invoke("batches", "--poll")
    assert polled.exit_code == 0
    assert f"Ready: llm-jobs run {waiting[:8]}" in polled.stdout
    assert "No batch is under way." in house.invoke("batches").stdout
    [line] = facts(house.invoke("batches", "--all", "--json").stdout)
    assert (line["phase"], line["done"], line["live"]) == ("collected", 3, False)


def test_a_batch_is_forgotten(house: House, waiting: str) -> None:
    assert "Batch 1 (3 calls" in house.invoke("batches", "forget", "1", "--why", "a test").stdout
    again = house.invoke("batches", "forget", "1")
    assert again.exit_code == 2
    assert "there is no batch 1 under way" in again.stderr


def test_a_job_is_moved(house: House) -> None:
    house.accept(house.write("words.yaml", job("words", ROWS)))
    assert "is asked in batches" in house.invoke("move", "words", "--to", "batch").stdout
    [moved] = facts(house.invoke("move", "words", "--to", "online", "--json").stdout)
    assert (moved["name"], moved["mode"]) == ("words", "online")
    assert house.invoke("move", "words", "--to", "elsewhere").exit_code == 2
    assert house.invoke("move", "nobody", "--to", "batch").exit_code == 2
