"""Which columns the outputs of the steps so far are: what flows from a step, looked up by its name."""

from __future__ import annotations

from collections.abc import Sequence

from llm_jobs.documents.parsed import Flow, ParsedDocument, ParsedTask
from llm_jobs.documents.text import KeyPath
from llm_jobs.documents.validation import did_you_mean
from llm_jobs.errors import Problem
from llm_jobs.pipelines.outputs import output_names, output_of
from llm_jobs.tasks.base import OWN, AnyTask, Schema

Given = tuple[str, Schema]  # a column, and what is known of its values


class Produced:
    """The steps that come before the one that is looked at. What flows from none of them is among the `problems`."""

    def __init__(self, document: ParsedDocument, problems: list[Problem]) -> None:
        self._document = document
        self._problems = problems
        self.tasks: dict[str, AnyTask | None] = {}  # None: another kind of step, or not known
        self.inner: dict[str, tuple[str, ...]] = {}  # the steps of compounds
        self.turns: dict[str, tuple[str, ...]] = {}  # the steps of tasks that are asked of several models
        self.renamed: dict[str, str] = {}  # columns that a split gave another name

    def given(self, flows: Sequence[Flow]) -> list[list[Given]]:
        """By flow, the columns that it is: several where its source is asked of several models."""
        return [found for flow in flows if (found := self._columns(flow.source, flow.output, flow.at))]

    def latest(self, step: ParsedTask, output: str) -> list[Given]:
        """The columns of an output of that name, of the last step that `step` needs and that has one."""
        for name in reversed(step.needs or ()):
            if found := self._found(name, output):
                return found
        return []

    def _columns(self, source: str, output: str, at: KeyPath) -> list[Given]:
        if source in self.turns:
            return [given for name in self.turns[source] for given in self._columns(name, output, at)]
        if source in self.inner:
            for name in reversed(self.inner[source]):
                if found := self._found(name, output):
                    return found
            self._refuse_output(source, output, [], at)
            return []
        found = self._found(source, output)
        task = self.tasks.get(source)
        if not found and task is not None:
            self._refuse_output(source, output, output_names(task), at)
        return found

    def _found(self, source: str, output: str) -> list[Given]:
        """The columns of an output; none where the step has no such output."""
        if source in self.turns or source in self.inner:
            inner = self.turns.get(source) or self.inner[source][-1:]
            return [given for name in inner for given in self._found(name, output)]
        task = self.tasks.get(source)
        if task is None:
            return [(source, {})] if source in self.tasks else []
        name = output_of(task, output)
        if name is None:
            return []
        column = source if name == OWN else f"{source}.{name}"
        if column in self.renamed:
            return [(self.renamed[column], items_of(task.outputs[name]))]
        return [(column, task.outputs[name])]

    def _refuse_output(self, source: str, output: str, known: list[str], at: KeyPath) -> None:
        self._problems.append(
            self._document.problem(
                at,
                f"step {source} has no output {output!r}",
                value=output,
                rule=f"its outputs: {', '.join(known) or 'those of its steps'}",
                remedy=did_you_mean(output, known, otherwise="name one of these"),
            )
        )


def items_of(schema: Schema) -> Schema:
    """What a list's schema says of its items."""
    items = schema.get("items")
    return items if isinstance(items, dict) else {}
