"""The other pages: what they list is what there is, each fits one page, and no link leads nowhere."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from llm_jobs.cli.main import cli
from llm_jobs_tests.docs.pages import PAGES, README, ROOT, blocks, codes, links

ONE_PAGE_LINES = 80
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@EACH
def test_links_lead_to_files_that_exist(page: Path) -> None:
    local = [link for link in links(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


@EACH
def test_files_of_the_project_that_a_page_names_exist(page: Path) -> None:
    named = re.findall(
        r"(?:llm_jobs|llm_jobs_tests|docs|deploy|examples|requirements)/[\w./-]*\w\.\w+", page.read_text()
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@EACH
def test_what_a_page_tells_to_make_can_be_made(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
    told = {name for block in blocks(page.read_text()) for name in re.findall(r"^make ([a-z]+)", block.text, re.M)}
    assert told <= targets


@EACH
def test_commands_that_a_page_shows_exist_with_their_options(page: Path) -> None:
    told = [line for code in codes(page.read_text()) for line in re.findall(r"\bllm-jobs ([a-z-]+\b[^#\n;&|)]*)", code)]
    assert [line for line in told if unknown_in(line.split())] == []


def unknown_in(words: list[str]) -> list[str]:
    """The words of a command line that are no command, or no option of it."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            return words[:1]
        command, words = found, words[1:]
    options = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    return [word for word in words if word.startswith("--") and word.partition("=")[0] not in options]


@EACH
def test_modules_that_a_page_tells_to_run_exist(page: Path) -> None:
    told = {
        name
        for code in codes(page.read_text())
        for name in re.findall(r"python -m ((?:benchmarks|llm_jobs)[\w.]*)", code)
    }
    assert [name for name in told if find_spec(name) is None] == []


@EACH
def test_variables_that_a_page_names_are_in_the_readme(page: Path) -> None:
    named = re.compile(r"\bLLM_JOBS_[A-Z_]+\b")
    assert set(named.findall(page.read_text())) <= set(named.findall(README.read_text()))


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_it_is_one_page(name: str) -> None:
    assert len(read(name).splitlines()) <= ONE_PAGE_LINES


def test_the_architecture_lists_every_room_and_no_other() -> None:
    cells = re.findall(r"^\| (`[^|]+) \|", read("docs/architecture.md"), re.MULTILINE)
    rooms = {path.stem for path in (ROOT / "llm_jobs").iterdir() if not path.name.startswith("_")} - {"py"}
    assert set(re.findall(r"`(\w+)`", " ".join(cells))) == rooms


def test_the_changelog_opens_with_this_version() -> None:
    [version] = re.findall(r'^version = "(.+)"$', read("pyproject.toml"), re.MULTILINE)
    assert re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[0] == version


def test_decisions_are_numbered_in_order() -> None:
    paths = sorted((ROOT / "docs/decisions").iterdir())
    numbers = [(int(path.name[:4]), int(path.read_text().split(".")[0].lstrip("# "))) for path in paths]
    assert numbers == [(number, number) for number in range(1, len(paths) + 1)]
