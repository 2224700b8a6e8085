"""The page about templates: its documents and commands run in order as they stand, and what it shows is told."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import Result

from llm_jobs.documents.parameters import ParameterModel
from llm_jobs.documents.profiles import STACK_KEYS
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks, section

TEXT = (ROOT / "docs/templates.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """What each command of the page came to, by its line."""
    house = House(tmp_path_factory.mktemp("page"))
    results: dict[str, Result] = {}
    for block in blocks(TEXT):
        if block.language in ("yaml", "csv"):
            write(house, block.text)
        elif block.language == "sh":
            for line in block.text.splitlines():
                program, *arguments = shlex.split(line)
                assert program == "llm-jobs"
                results[line] = house.invoke(*(homely(each) for each in arguments))
    return results


def homely(path: str) -> str:
    return re.sub(r"^data/", "home/", path)


def write(house: House, text: str) -> None:
    """A file of the page: its first line is a comment that names it."""
    name, rest = text.split("\n", 1)
    path: Path = house.folder / homely(name.removeprefix("# "))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if path.suffix == ".yaml" else rest, encoding="utf-8")


def test_every_command_of_the_page_ends_well(told: dict[str, Result]) -> None:
    assert {line: result.output for line, result in told.items() if result.exit_code} == {}
    assert len(told) == 14


def test_what_explain_is_shown_to_print_is_what_it_prints(told: dict[str, Result]) -> None:
    [shown] = [block.text for block in blocks(TEXT) if block.language == "text"]
    printed = next(result.stdout for line, result in told.items() if "explain sentiment" in line)
    lines = printed.splitlines()
    for line in shown.splitlines():
        assert line in lines


def test_the_page_names_every_key_of_a_parameter_and_of_a_stack() -> None:
    named = set(re.findall(r"`(\w+)`", section(TEXT, "Templates")))
    assert set(ParameterModel.model_fields) <= named
    assert {key for key in STACK_KEYS if f"`{key}`" in TEXT} == set(STACK_KEYS)
