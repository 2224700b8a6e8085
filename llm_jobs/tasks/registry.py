"""The tasks by name. A task is known here, or was brought by somebody's own package.

Others' tasks are looked for when a name is not known here, or all are listed: those of the entry points
`llm_jobs.tasks` of installed packages, and those that LLM_JOBS_TASKS names (`module:attribute`, separated by commas).
Either is a task, its class, or a list of these.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points

from llm_jobs.errors import NotFound, SetupError
from llm_jobs.importing import imported
from llm_jobs.tasks.base import AnyTask, PromptTask, Task

ENTRY_POINTS = "llm_jobs.tasks"
VARIABLE = "LLM_JOBS_TASKS"
BUILT_IN = "llm_jobs.tasks.built_in:BUILT_IN"  # by name: a tenth of a second to import, and most commands need none
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")


class Tasks:
    """Tasks by name, under which they are found however it is written: `SplitParagraphsTask` is `split_paragraphs`."""

    def __init__(self, tasks: Iterable[AnyTask] = (), *, named: Sequence[str] = ()) -> None:
        """`tasks`: known beside those that this project brings. `named`: others' as `module:attribute`, imported when
        they are asked for."""
        self._tasks: dict[str, AnyTask] = {}
        self._aliases: dict[str, str] = {}
        self._named = tuple(named)
        self._has_own = False
        self._has_others = False
        for task in tasks:
            self.register(task)

    def register(self, task: AnyTask) -> None:
        """Add a task. Raises ValueError for a second one of the same name."""
        key = plain_name(task.name)
        if key in self._tasks:
            raise ValueError(f"there is a task {task.name} already")
        self._tasks[key] = task
        for alias in task.aliases:
            self._aliases.setdefault(plain_name(alias), key)

    def get(self, name: str) -> AnyTask:
        """Raises NotFound, with the nearest name, and SetupError where others' tasks cannot be loaded."""
        self._load_own()
        found = self._found(name)
        if found is None:
            self._load_others()
            found = self._found(name)
        if found is None:
            near = difflib.get_close_matches(plain_name(name), [*self._tasks, *self._aliases], n=1)
            raise NotFound(
                f"no task {name!r}",
                name=name,
                rule=f"known are {', '.join(self.names())}",
                remedy=f"did you mean {self.get(near[0]).name}?" if near else "write one of these",
            )
        return found

    def names(self) -> list[str]:
        """Of all tasks, in order."""
        return [task.name for task in self]

    def __iter__(self) -> Iterator[AnyTask]:
        self._load_others()
        return iter(sorted(self._tasks.values(), key=lambda task: task.name))

    def _found(self, name: str) -> AnyTask | None:
        key = plain_name(name)
        return self._tasks.get(key) or self._tasks.get(self._aliases.get(key, ""))

    def _load_own(self) -> None:
        if not self._has_own:
            self._has_own = True
            self._register_all(BUILT_IN, "this project")

    def _load_others(self) -> None:
        self._load_own()
        if self._has_others:
            return
        self._has_others = True
        for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
            self._register_all(point.value, f"the entry point {point.name} of {ENTRY_POINTS}")
        for reference in self._named:
            self._register_all(reference, VARIABLE)

    def _register_all(self, reference: str, where: str) -> None:
        for task in _tasks_of(_loaded(reference, where), reference, where):
            try:
                self.register(task)
            except ValueError as error:
                raise SetupError(f"{where}: {reference}: {error}; give it another name") from None


def plain_name(name: str) -> str:
    """`TextSummaryTask` and `text-summary` as `text_summary`."""
    words = [word.lower() for part in re.split(r"[^A-Za-z0-9]+", name) for word in _WORDS.findall(part)]
    return "_".join(words[:-1] if len(words) > 1 and words[-1] == "task" else words)


def _loaded(reference: str, where: str) -> object:
    module, separator, attribute = reference.partition(":")
    if not separator or not module or not attribute:
        raise SetupError(f"{where}: {reference!r} names no task; write module:attribute")
    try:
        return getattr(imported(module.strip()), attribute.strip())
    except (ImportError, AttributeError) as error:
        raise SetupError(f"{where}: {reference} cannot be loaded: {error}; install it, or mend the name") from None


def _tasks_of(value: object, reference: str, where: str) -> Iterator[AnyTask]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _tasks_of(each, reference, where)
    elif isinstance(value, Task | PromptTask):
        yield value
    elif inspect.isclass(value) and issubclass(value, Task | PromptTask):
        yield value()
    else:
        raise SetupError(f"{where}: {reference} is {type(value).__name__}, and no task; see docs/tasks.md")
