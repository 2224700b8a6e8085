"""The page about tasks: its files are written and its commands run, in order, as they stand."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import Result

from llm_jobs.tasks.built_in import BUILT_IN
from llm_jobs_tests.cli.house import House, facts
from llm_jobs_tests.docs.pages import ROOT, blocks

TEXT = (ROOT / "docs/tasks.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    house = House(tmp_path_factory.mktemp("page"))
    for block in blocks(TEXT):
        if block.language in ("yaml", "python", "md"):
            name, rest = block.text.split("\n", 1)
            path = house.folder / name.removeprefix("# ").replace("data/", "home/", 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rest, encoding="utf-8")
    return house


@pytest.fixture(scope="module")
def told(house: House) -> Mapping[str, Result]:
    """What each command of the page came to, by its line."""
    lines = [line for block in blocks(TEXT) if block.language == "sh" for line in block.text.splitlines()]
    return {line: house.invoke(*shlex.split(line)[1:]) for line in lines}


@pytest.fixture
def installed(house: House) -> Iterator[Path]:
    sys.path.insert(0, str(house.folder))
    yield house.folder / "names"
    sys.path.remove(str(house.folder))


def column(house: House, told: Mapping[str, Result], job: str, name: str) -> list[object]:
    """A column of the newest result of a job that the page runs."""
    assert told
    return [row[name] for row in facts(house.invoke("results", job, "--json").stdout)]


def test_every_command_of_the_page_ends_well(told: Mapping[str, Result]) -> None:
    assert {line: result.output for line, result in told.items() if result.exit_code} == {}
    assert len(told) == 7


def test_every_task_that_is_shipped_is_told() -> None:
    assert [task.name for task in BUILT_IN if f"`{task.name}`" not in TEXT] == []


def test_the_code_of_the_page_grades(house: House, told: Mapping[str, Result]) -> None:
    assert column(house, told, "graded", "grade.length") == [6]
    assert column(house, told, "graded", "doubled") == [6]
    assert column(house, told, "parsed", "share") == [0.75]
    assert column(house, told, "pieces", "text") == [
        "The first paragraph.",
        "paragraph.The second, which is longer than the first.",
    ]


def test_the_model_of_the_page_is_one_that_may_be_fetched(house: House) -> None:
    validated = house.invoke("validate", "fetched.yaml")
    assert validated.exit_code == 0, validated.output


def test_the_task_of_the_page_keeps_its_contract_and_runs(installed: Path) -> None:
    ran = House(installed.parent, {"LLM_JOBS_TASKS": "names.tasks:Initials"}).invoke("tasks", "initials", "--json")
    assert ran.exit_code == 0, ran.output
    assert pytest.main(["-q", "-p", "no:cacheprovider", "--rootdir", str(installed), str(installed)]) == 0
