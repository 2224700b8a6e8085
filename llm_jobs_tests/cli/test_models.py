"""`llm-jobs models set` and `history`: what they record, refuse, and change in a process that runs already."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from llm_jobs_tests.cli.house import House, facts

# Prints the time of every change of the limit that it sees, on the clock that all processes share; ends by itself.
WATCHER = """
import sys, time
from pathlib import Path
from llm_jobs.operations.services import open_services
from llm_jobs.settings import Settings

folder = Path.cwd()
environment = {"LLM_JOBS_HOME": str(folder / "home")}
settings = Settings.from_environment(environment, working_directory=folder)
with open_services(settings, environment=environment, working_directory=folder) as services:
    seen, end_s = None, time.monotonic() + 30
    print("ready", flush=True)
    while seen != 12 and time.monotonic() < end_s:
        limit = services.catalogue.resolve("simulated").quota.requests_per_minute
        if limit != seen:
            seen = limit
            print(seen, time.monotonic(), flush=True)
        time.sleep(0.005)
"""


def test_a_change_by_one_process_is_seen_by_another_within_a_second(house: House) -> None:
    command = [sys.executable, "-c", WATCHER]
    with subprocess.Popen(command, cwd=house.folder, env=house.environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for limit in (11, 12):
            done = house.process("models", "set", "simulated", "--rpm", str(limit))
            recorded_s = time.monotonic()
            assert done.returncode == 0, done.stderr
            seen, seen_s = other.stdout.readline().split()
            assert int(seen) == limit
            assert float(seen_s) - recorded_s < 1.0


def test_what_is_set_is_in_force_and_in_the_history(house: House) -> None:
    assert "Nothing was ever set" in house.invoke("models", "history", "simulated").stdout
    arguments = ("--rpm", "3000", "--tpm", "200000", "--concurrency", "8", "--weight", "2.5", "--price-in", "1")
    [row] = facts(house.invoke("models", "set", "simulated", *arguments, "--why", "more room", "--json").stdout)
    assert (row["requests_per_minute"], row["tokens_per_minute"], row["concurrency"]) == (3000, 200_000, 8)
    assert (row["weight"], row["input_per_million_usd"], row["output_per_million_usd"]) == (2.5, 1, 0.0)
    assert house.invoke("models", "set", "simulated", "--concurrency", "none").exit_code == 0

    [listed] = facts(house.invoke("models", "--json").stdout)
    assert (listed["requests_per_minute"], listed["concurrency"]) == (3000, None)
    assert listed["set_by"]
    first, second = facts(house.invoke("models", "history", "simulated", "--json").stdout)
    assert (first["set"]["tokens_per_minute"], first["why"]) == (200_000, "more room")
    assert (second["set"], second["why"]) == ({"concurrency": None}, None)
    assert listed["set_at"] == second["set_at"] > first["set_at"]
    assert "more room" in house.invoke("models", "history", "simulated").stdout
    assert "3000" in house.invoke("models").stdout


def test_default_goes_back_to_what_the_file_says(house: House) -> None:
    house.home.mkdir()
    house.write("home/models.yaml", "mini: {provider: openai, model: gpt-4.1-mini, quota: {requests_per_minute: 60}}\n")

    def limit_after(value: str) -> object:
        [row] = facts(house.invoke("models", "set", "mini", "--rpm", value, "--json").stdout)
        return row["requests_per_minute"]

    assert [limit_after(value) for value in ("5", "none", "default")] == [5, None, 60]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["simulatd", "--rpm", "5"], "did you mean 'simulated'"),
        (["openai/gpt-4.1-mni", "--rpm", "5"], "did you mean 'openai/gpt-4.1-mini'"),
        (["simulated", "--rpm", "0"], "requests_per_minute cannot be 0"),
        (["simulated", "--tpm", "-5"], "tokens_per_minute cannot be -5"),
        (["simulated", "--concurrency", "1.5"], "whole number"),
        (["simulated", "--weight", "0"], "weight cannot be 0"),
        (["simulated", "--weight", "inf"], "weight cannot be inf"),
        (["simulated", "--rpm", "many"], "neither a number"),
        (["simulated"], "nothing to set"),
        (["openai/gpt-4.1-mini", "--price-in", "1"], "half a price"),
    ],
)
def test_what_cannot_be_set_is_refused_and_recorded_nowhere(house: House, arguments: list[str], said: str) -> None:
    result = house.invoke("models", "set", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert facts(house.invoke("models", "history", "simulated", "--json").stdout) == []


@pytest.mark.parametrize("name", ["set", "history"])
def test_the_help_shows_an_example(house: House, name: str) -> None:
    result = house.invoke("models", name, "--help")
    assert result.exit_code == 0
    assert f"llm-jobs models {name} simulated" in result.stdout


def test_a_name_of_nobody_has_no_history(house: House) -> None:
    result = house.invoke("models", "history", "simulatd")
    assert (result.exit_code, "did you mean 'simulated'" in result.stderr) == (2, True)
