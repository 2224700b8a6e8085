"""The page about reports: its commands are run as they stand, and it says what the code does."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from llm_jobs.observability.rendered import MOST_CHARACTERS
from llm_jobs.operations.report import LIMIT, LINKED_LIMIT
from llm_jobs.orchestration.assets import MOST_PAGES
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks

TEXT = (ROOT / "docs/reports.md").read_text(encoding="utf-8")
COMMANDS = [line for block in blocks(TEXT) for line in block.text.splitlines()]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A house in which two models answered the example: the document's and another, under the same name."""
    house = House(tmp_path_factory.mktemp("reports"))
    shutil.copytree(ROOT / "examples", house.folder / "examples")
    example = (house.folder / "examples/reviews.yaml").read_text(encoding="utf-8")
    house.answer(house.folder / "examples/reviews.yaml")
    house.answer(house.write("examples/other.yaml", example.replace("You label", "You judge")))
    return house


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_page_works(house: House, line: str) -> None:
    program, *arguments = shlex.split(line, comments=True)
    assert program == "llm-jobs"
    result = house.invoke(*arguments)
    assert result.exit_code == 0, result.output
    if "--out" in arguments:
        assert Path(house.folder / arguments[arguments.index("--out") + 1]).stat().st_size > 0


def test_the_page_tells_the_limits_as_they_are() -> None:
    assert f"`--limit N` ({LIMIT})" in TEXT
    assert f"more than {MOST_CHARACTERS:,} characters" in TEXT
    assert f"with {LINKED_LIMIT} rows\nof each status" in TEXT
    assert f"A run of more than {MOST_PAGES} jobs makes none" in TEXT
