"""`run` through Dagster: in this process for what it says to people, as a real process for what scripts rely on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs_tests.cli.house import LLM_JOBS, REPOSITORY, ROWS, House, facts, job
from llm_jobs_tests.servers.replay import ReplayServer, replay_server

FACTS = [
    "job_hash",
    "name",
    "status",
    "rows",
    "succeeded",
    "failed",
    "calls_sent",
    "calls_reused",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "spent_usd",
    "result",
    "seconds",
]
POISON: list[dict[str, str | None]] = [{"text": "good"}, {"text": None}]  # the second row cannot be asked


def test_json_is_all_that_standard_output_holds_and_a_second_run_sends_nothing(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    first = house.process("run", "words.yaml", "--model", "simulated", "--model", "simulated/other", "--json")
    assert first.returncode == 0, first.stderr
    lines = facts(first.stdout)
    assert [list(line) for line in lines] == [FACTS, FACTS]
    assert {(line["status"], line["calls_sent"], line["calls_reused"]) for line in lines} == {("done", 3, 0)}
    assert all(Path(line["result"]).is_file() for line in lines)
    assert f"Ledger: sqlite:///{house.home}/ledger.db" in first.stderr

    again = facts(house.process("run-job", "words", "--json").stdout)
    assert [(line["calls_sent"], line["calls_reused"]) for line in again] == [(0, 3)]


def test_people_read_of_jobs_costs_results_and_what_to_type_next(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    first = house.invoke("run", "words.yaml")
    assert first.exit_code == 0, first.output
    output = first.stdout
    assert output.startswith(f"Ledger: sqlite:///{house.home}/ledger.db\n")
    assert "3 calls sent." in output
    assert "home/results/" in output
    assert "Simulated: words. These answers are made up from the request; no model was asked." in output
    assert "As many tokens of openai/gpt-4.1-mini would have cost $0.0" in output
    assert "OPENAI_API_KEY=… llm-jobs run words.yaml --model openai/gpt-4.1-mini" in output
    assert f"DAGSTER_HOME={house.home}/dagster dagster dev -m llm_jobs.definitions" in output
    assert "http://127.0.0.1:3000/runs/" in output
    assert "words: done, 3 of 3 rows answered" in first.stderr

    second = house.invoke("run", "words.yaml")
    assert "No call was sent: every answer was reused." in second.stdout


def test_a_job_of_which_some_rows_failed_ends_with_1_and_its_reason(house: House) -> None:
    house.write("words.yaml", job("words", POISON))
    result = house.invoke("run", "words.yaml")
    assert result.exit_code == 1
    assert "partial" in result.stdout
    assert "words: partial, 1 of 2 rows answered: invalid_input" in result.stderr


def test_where_one_document_is_refused_none_is_submitted(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    house.write("wrong.yaml", {"job": {"name": "wrong"}})
    result = house.process("run", "words.yaml", "wrong.yaml", "--json")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[1].startswith("error: wrong.yaml:1: ")
    assert "Traceback" not in result.stderr
    assert facts(house.invoke("status", "--json").stdout) == []


def test_a_document_that_is_neither_file_nor_job_is_named(house: House) -> None:
    result = house.invoke("run", "nightly")
    assert result.exit_code == 2
    assert "error: there is no file 'nightly', and no job with hash or name 'nightly'" in result.stderr


@pytest.mark.parametrize("option", [("--param", "temperature"), ("--param", "colour=red"), ("--profile", "production")])
def test_options_that_the_document_does_not_know_are_refused(house: House, option: tuple[str, str]) -> None:
    house.write("words.yaml", job("words", ROWS))
    result = house.invoke("run", "words.yaml", *option)
    assert result.exit_code == 2
    assert result.stderr.count("error: ") == 1


def test_options_stand_over_the_document_also_where_it_is_named_by_its_name(house: House) -> None:
    house.answer(house.write("words.yaml", job("words", ROWS, profiles={"short": {"max_tokens": 5}})))
    (house.folder / "words.yaml").unlink()
    house.write("other.csv", "text\nelse\n")
    options = ["--profile", "short", "--param", "temperature=0.5", "--input", "other.csv", "--epoch", "2026-W47"]
    [told] = facts(house.invoke("validate", "words", *options, "--json").stdout)
    assert (told["rows"], told["request"]["max_tokens"], told["request"]["temperature"]) == (1, 5, 0.5)
    assert told["request"]["messages"][0]["content"] == "Say: else"
    [without_epoch] = facts(house.invoke("validate", "words", *options[:-2], "--json").stdout)
    assert told["job_hash"] != without_epoch["job_hash"]


def test_execute_py_is_run(house: House) -> None:
    house.write("job.json", {"configuration": {"LLM_name": "simulated"}, "prompt": "Say something."})
    done = house.process("job.json", program=(sys.executable, str(REPOSITORY / "execute.py")))
    assert done.returncode == 0, done.stderr
    assert "1 call sent." in done.stdout


def test_without_a_key_nothing_is_asked_and_the_variable_is_named(house: House) -> None:
    house.write("words.yaml", job("words", ROWS))
    result = house.process("run", "words.yaml", "--model", "openai/gpt-4.1-mini", "--json")
    assert (result.returncode, result.stdout) == (3, "")
    assert "OPENAI_API_KEY is not set" in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_server_the_address_is_named(house: House) -> None:
    house.variables["OLLAMA_HOST"] = "127.0.0.1:9"  # the discard port, where nobody listens
    house.write("words.yaml", job("words", ROWS))
    result = house.invoke("run", "words.yaml", "--model", "ollama/llama3.2")
    assert result.exit_code == 3
    assert "http://127.0.0.1:9" in result.stderr


@pytest.fixture(scope="module")
def slow_server() -> Iterator[ReplayServer]:
    with replay_server(latency_s=0.4) as server:
        yield server


def test_what_is_answered_needs_neither_key_nor_server_again(house: House, slow_server: ReplayServer) -> None:
    house.variables["OPENAI_BASE_URL"] = slow_server.openai_url
    house.write("words.yaml", job("words", ROWS, model="openai/any"))
    assert house.answer(house.folder / "words.yaml")[0].status == "done"
    house.write("catalogue.yaml", job("same calls", ROWS[:2], model="openai/any"))
    entry = {"provider": "openai", "model": "any", "base_url": "http://127.0.0.1:9/v1"}
    house.write("home/models.yaml", {"gone": {**entry, "identity_url": slow_server.openai_url}})
    result = house.invoke("run", "catalogue.yaml", "--model", "gone", "--json")
    assert result.exit_code == 0, result.stderr
    assert [(line["calls_sent"], line["calls_reused"]) for line in facts(result.stdout)] == [(0, 2)]


def test_ctrl_c_stops_keeps_what_was_answered_and_the_next_run_goes_on(house: House, slow_server: ReplayServer) -> None:
    slow_server.reset()
    house.variables["OPENAI_BASE_URL"] = slow_server.openai_url
    rows = [{"text": f"row {number}"} for number in range(30)]
    house.write("long.yaml", job("long", rows, model="openai/any", execution={"concurrency": 2}))
    process = subprocess.Popen(
        [LLM_JOBS, "run", "long.yaml"],
        cwd=house.folder,
        env=house.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while slow_server.stats()["total"] < 6 and time.monotonic() < deadline:
        time.sleep(0.1)  # a real process is waited for
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Every answer that came is kept" in errors
    assert "Traceback" not in errors

    kept = facts(house.invoke("results", "long", "--so-far", "--json").stdout)
    assert 4 <= len(kept) < 30
    before = slow_server.stats()["total"]
    house.variables["OPENAI_BASE_URL"] = slow_server.openai_url
    [line] = facts(house.process("run", "long.yaml", "--concurrency", "32", "--json").stdout)
    assert (line["status"], line["calls_reused"]) == ("done", len(kept))
    assert slow_server.stats()["total"] - before == 30 - len(kept)


def test_a_reader_that_leaves_is_no_error(house: House) -> None:
    rows = [{"text": f"row {number} " + "x" * 200} for number in range(2000)]
    house.answer(house.write("many.yaml", job("many", rows)))
    read, write = os.pipe()
    process = subprocess.Popen(
        [LLM_JOBS, "results", "many", "--json"],
        cwd=house.folder,
        env=house.environment,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)
    assert os.read(read, 100)
    os.close(read)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")
