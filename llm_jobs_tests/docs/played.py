"""Pages that show a whole example: the files are written, the commands run in order, as the page says.

A block whose first line is `# name.suffix` is that file; `data/` is the home folder. JSON has no room for a name: its
block is the file that the next `llm-jobs run` names. What follows a block of commands as a block of `text` is what the
last of them prints. `llm-jobs run` is done in this process and without Dagster, whose start would take most of the time
of these tests.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_jobs.operations.records import JobReport
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import Block, blocks

_FILE = re.compile(r"\A(?:#|//) (\S+\.\w+)\n")


@dataclass(frozen=True, slots=True)
class Played:
    """What a page came to. `printed`: what it shows beside what its command printed; `reports`: of the jobs it ran."""

    house: House
    printed: list[tuple[str, str]]
    reports: list[JobReport]


def play(text: str, house: House) -> Played:
    """Do what the page `text` says in `house`. Fails where a command does."""
    played = Played(house, [], [])
    told, nameless = "", ""
    for block in blocks(text):
        if block.language == "sh":
            _name_file(nameless, block.text, house)
            told = [_run(line, played) for line in block.text.splitlines()][-1]
        elif block.language == "text":
            played.printed.append((plain(block.text), plain(told)))
        elif write_file(block, house) is None:
            nameless = block.text
    return played


def write_file(block: Block, house: House) -> Path | None:
    """Write a block that names its file; None for one that names none."""
    named = _FILE.match(block.text)
    if named is None:
        return None
    path = house.folder / named[1].replace("data/", "home/", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(block.text[named.end() :], encoding="utf-8")
    return path


def _name_file(text: str, commands: str, house: House) -> None:
    """Write a block without a name as the one that the commands run, where that is not there."""
    for name in re.findall(r"^llm-jobs run (\S+)", commands, re.MULTILINE):
        if not (house.folder / name).exists():
            (house.folder / name).write_text(text, encoding="utf-8")


def plain(text: str) -> str:
    """Without the spaces that a terminal does not show."""
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _run(line: str, played: Played) -> str:
    _, command, *arguments = shlex.split(line)
    if command == "run":
        played.reports.extend(_answers(arguments, played.house))
        return ""
    done = played.house.invoke(command, *arguments)
    assert done.exit_code == 0, f"{line}\n{done.output}"
    return done.stdout


def _answers(names: list[str], house: House) -> Iterator[JobReport]:
    for name in names:
        yield from house.answer(house.folder / name)
