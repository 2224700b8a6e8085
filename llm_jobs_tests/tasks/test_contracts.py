"""Every task that is shipped keeps the contract."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from llm_jobs.tasks.base import Surroundings
from llm_jobs.tasks.built_in import BUILT_IN
from llm_jobs.tasks.contract import TaskContract

GRADE = "def grade(text, words=2):\n    return len(text.split()) == words\n"


class Shipped(TaskContract):
    """What the examples of the shipped tasks need."""

    def prepare(self, folder: Path) -> None:
        (folder / "grade.py").write_text(GRADE)
        (folder / "note.md").write_text("# A note\n")

    def surroundings(self, folder: Path) -> Surroundings:
        return replace(super().surroundings(folder), pull=pulled)


async def pulled(model: str) -> None:
    """It is there already."""


for _task in BUILT_IN:
    _name = "Test" + _task.name.title().replace("_", "")
    globals()[_name] = type(_name, (Shipped,), {"task": _task})
del _task, _name
