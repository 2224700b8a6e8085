"""What `--help` says, and that saying it is quick."""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from llm_jobs.cli.main import ALIASES, COMMANDS, cli
from llm_jobs_tests.cli.house import House

HEAVY = {"dagster", "pandas", "pyarrow", "sqlalchemy", "aiohttp", "openai", "pydantic", "rich"}


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_shows_an_example_of_it(house: House, name: str) -> None:
    result = house.invoke(name, "--help")
    assert result.exit_code == 0
    assert "Example" in result.output
    assert re.search(rf"\n +llm-jobs {name}\b", result.output)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    assert COMMANDS[name].help == command(name).get_short_help_str(limit=200)
    assert command(name).name == name


def test_the_list_of_commands_has_each_once_and_no_alias(house: House) -> None:
    output = house.invoke("--help").output
    for name in COMMANDS:
        assert output.count(f"\n  {name} ") == 1
    assert "run-job" not in output


def test_run_job_is_run() -> None:
    assert ALIASES == {"run-job": "run"}
    assert command("run-job") is command("run")


def test_every_command_that_prints_facts_offers_json() -> None:
    without = [name for name in COMMANDS if not any("--json" in each.opts for each in command(name).params)]
    assert without == []


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stderr.split())


def test_help_imports_nothing_heavy() -> None:
    code = "from llm_jobs.cli.main import cli\ncli.main(['--help'], standalone_mode=False)"
    assert HEAVY & modules_after(code) == set()


@pytest.mark.parametrize("name", ["find", "status", "submit", "validate"])
def test_commands_that_run_nothing_do_not_import_dagster(name: str) -> None:
    assert {"dagster", "pandas", "openai"} & modules_after(f"import llm_jobs.cli.{name}") == set()


def test_an_unknown_command_and_a_missing_argument_are_bad_usage(house: House) -> None:
    for arguments in (["runn"], ["run"], ["show", "reviews"], ["results", "x", "--format", "xml"]):
        result = house.invoke(*arguments)
        assert result.exit_code == 2
        assert "Error" in result.stderr
