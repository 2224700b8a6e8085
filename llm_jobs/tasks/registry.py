"""The tasks by name. A task is known here, or was registered by somebody's own code (`register`)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator

from llm_jobs.errors import NotFound
from llm_jobs.tasks.base import AnyTask
from llm_jobs.tasks.paragraphs import SplitParagraphs

_BUILT_IN: tuple[AnyTask, ...] = (SplitParagraphs(),)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


class Tasks:
    """Tasks by name, under which they are found however it is written: `SplitParagraphsTask` is `split_paragraphs`."""

    def __init__(self, tasks: Iterable[AnyTask] = _BUILT_IN) -> None:
        self._tasks: dict[str, AnyTask] = {}
        for task in tasks:
            self.register(task)

    def register(self, task: AnyTask) -> None:
        """Add a task. Raises ValueError for a second one of the same name."""
        key = plain_name(task.name)
        if key in self._tasks:
            raise ValueError(f"there is a task {task.name} already")
        self._tasks[key] = task

    def get(self, name: str) -> AnyTask:
        """Raises NotFound, with the nearest name."""
        task = self._tasks.get(plain_name(name))
        if task is None:
            near = difflib.get_close_matches(plain_name(name), self._tasks, n=1)
            hint = f"did you mean {self._tasks[near[0]].name}?" if near else f"known are {', '.join(self.names())}"
            raise NotFound(f"no task {name!r}; {hint}")
        return task

    def names(self) -> list[str]:
        return sorted(task.name for task in self._tasks.values())

    def __iter__(self) -> Iterator[AnyTask]:
        return iter(sorted(self._tasks.values(), key=lambda task: task.name))


def plain_name(name: str) -> str:
    """`TextSummaryTask` and `text-summary` as `text_summary`."""
    words = [word.lower() for part in re.split(r"[^A-Za-z0-9]+", name) for word in _WORDS.findall(part)]
    return "_".join(words[:-1] if len(words) > 1 and words[-1] == "task" else words)
