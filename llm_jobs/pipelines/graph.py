"""A graph of steps that can be changed: what it holds, in what order it stands, and what comes from which step.

What is held is what a YAML job holds under `steps`. Invariant: names are unique, and a step that was appended needs
steps of its own table alone. The methods that make steps, and the forms of a graph, are `builder`'s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, Self

from llm_jobs.documents.asked import ASKING, may_need
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.pipelines.outputs import output_of
from llm_jobs.tasks.base import OWN
from llm_jobs.tasks.registry import Tasks

Step = dict[str, JsonValue]
Needs = Sequence[str] | Literal["auto"] | None  # None: not said, which is after the step before it
AUTO: Literal["auto"] = "auto"


class Graph:
    """A graph under construction. Every method that changes it returns it."""

    def __init__(self, *, tasks: Tasks | None = None, **members: JsonValue) -> None:
        """`members`: the keys of a YAML job beside its steps: name, model, input, output, ..."""
        self.members: dict[str, JsonValue] = {"name": "graph", **members}
        self.steps: list[Step] = []
        self._tasks = tasks or Tasks()
        self._ends: list[str] = []  # what the next step comes after
        self._renamed: dict[str, str] = {}  # input of the next step -> column
        self._listeners: dict[str, list[Callable[..., object]]] = {}

    def names(self) -> list[str]:
        """The names of all steps, those within others too."""
        return [str(step["name"]) for step in every_step(self.steps)]

    def pop(self) -> Self:
        """Without the last step."""
        return self.remove(str(self.steps[-1]["name"])) if self.steps else self

    def remove(self, name: str) -> Self:
        """Without a step; what needed it needs what it needed. Raises NotFound."""
        step = self._named(name)
        needed = step.get("needs")
        stood = [str(each) for each in needed] if isinstance(needed, list) else []
        self.steps.remove(step)
        for other in self.steps:
            needs = other.get("needs")
            if isinstance(needs, list) and name in needs:
                other["needs"] = list(dict.fromkeys([*(each for each in needs if each != name), *stood]))
        if name in self._ends:
            self._ends = list(dict.fromkeys([*(each for each in self._ends if each != name), *stood]))
        return self._changed()

    def replace(self, name: str, **changes: JsonValue) -> Self:
        """With other keys, or other inputs, of one step; None takes a key away. Raises NotFound."""
        step = self._named(name)
        inputs = step.get("inputs")
        for key, value in changes.items():
            if isinstance(inputs, dict) and key not in ("needs", "when", "purpose", "task"):
                inputs[key] = value
            elif value is None:
                step.pop(key, None)
            else:
                step[key] = value
        return self._changed()

    def rename(self, source: str, target: str, index: int = -1) -> Self:
        """Have the output `source` of the step at `index` taken for the input `target` of the next step."""
        column = self._column(self.steps[index], source) if self.steps else None
        if column is None:
            raise DocumentError([unknown("there is no output", source, self.names())])
        self._renamed[target] = column
        return self

    def reset(self) -> Self:
        """Without any step."""
        self.steps, self._ends, self._renamed = [], [], {}
        return self._changed()

    def on(self, event: str, listener: Callable[..., object]) -> Self:
        """Have `listener` called with the graph at `change`; what a run tells, see `GraphBuilder.run`."""
        self._listeners.setdefault(event, []).append(listener)
        return self

    def _connected(
        self, wanted: Mapping[str, Mapping[str, JsonValue]], given: Mapping[str, JsonValue]
    ) -> dict[str, str]:
        """The columns that inputs are taken from, by name."""
        for name in self._renamed:
            if name not in wanted:
                raise DocumentError([unknown("the step has no input", name, wanted)])
        open_inputs = [name for name in wanted if name not in given]
        found = {name: self._renamed[name] for name in open_inputs if name in self._renamed}
        for name in open_inputs:
            column = None if name in found or "default" in wanted[name] else self._latest(name)
            if column is not None:
                found[name] = column
        return found

    def _latest(self, output: str) -> str | None:
        """The column of the latest step that has an output of this name."""
        columns = (self._column(step, output) for step in reversed(self.steps))
        return next((column for column in columns if column is not None), None)

    def _column(self, step: Step, output: str) -> str | None:
        name = str(step["name"])
        if "task" not in step:
            is_text = "split" in step or any(key in step for key in ASKING)
            return name if output == name or (is_text and output in ("text", "answer")) else None
        task = self._tasks.get(str(step["task"]))
        found = output_of(task, output)
        if found is None:
            return name if output == name else None
        return name if found == OWN else f"{name}.{found}"

    def _append(self, step: Step, needs: Needs, *, also: Sequence[str] = ()) -> Self:
        if may_need(step):
            if needs == AUTO:
                listed = [name for name in dict.fromkeys([*self._ends, *also]) if name in self._in_table()]
                step["needs"] = list(listed)
            elif needs is not None:
                step["needs"] = list(needs)
        self.steps.append(step)
        self._ends = [str(step["name"])]
        return self._changed()

    def _in_table(self) -> set[str]:
        """The steps of the table that is being made: needs reach no further back."""
        names: set[str] = set()
        for step in reversed(self.steps):
            if not may_need(step):
                break
            names.add(str(step["name"]))
            if "reduce" in step or "for_each_model" in step:
                break
        return names

    def _free(self, name: str) -> str:
        """`name`, or with a number where it is taken."""
        taken, number, free = set(self.names()), 1, name
        while free in taken:
            number += 1
            free = f"{name}_{number}"
        return free

    def _named(self, name: str) -> Step:
        found = next((step for step in self.steps if step["name"] == name), None)
        if found is None:
            raise NotFound(f"no step {name!r}; {did_you_mean(name, self.names(), otherwise='it has other names')}")
        return found

    def _changed(self) -> Self:
        for listener in self._listeners.get("change", ()):
            listener(self)
        return self


def every_step(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, and those within them."""
    for step in steps:
        yield step
        for key in ("steps", "first_of"):
            inner = step.get(key)
            if isinstance(inner, list):
                yield from every_step([each for each in inner if isinstance(each, dict)])


def copied(steps: Sequence[Any]) -> list[Any]:
    """A copy all the way down: a graph is nobody else's."""
    return list(json.loads(json.dumps(list(steps))))


def unknown(what: str, name: str, known: Any) -> Problem:
    """A name that is not among `known`, or should not be; `what` says what it was looked for as."""
    return Problem(
        what=f"{what} {name!r}",
        value=name,
        rule=f"there are: {', '.join(known) or 'none'}",
        remedy=did_you_mean(name, list(known), otherwise="name one of these"),
    )
