"""The flows of a document that is a graph made templates: which column each input of a task is read from.

What flows is checked here, before anything is spent: an output that a task does not have, a type that an input does
not take. A list that flows into an input for one of its items makes one row of each item, as a split does. A list that
is written there, of models or of texts, makes the task one step per item; what follows takes them one to one where it
has as many steps, or else all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeVar

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.parsed import (
    Flow,
    ParsedCompound,
    ParsedDocument,
    ParsedPrompt,
    ParsedStep,
    ParsedTableStep,
    ParsedTask,
    every_step,
)
from llm_jobs.documents.steps import FilterStep, SplitStep
from llm_jobs.documents.text import KeyPath
from llm_jobs.errors import DocumentError, NotFound, Problem
from llm_jobs.operations.flow_columns import Given, Produced, items_of
from llm_jobs.operations.placing import not_found
from llm_jobs.operations.services import Services
from llm_jobs.pipelines.outputs import fits, is_split, kind_of, reference
from llm_jobs.tasks.base import AnyTask, PromptTask, Schema

Placed = TypeVar("Placed", ParsedTask, ParsedPrompt, ParsedCompound, FilterStep)

STATED = ("model", "temperature", "max_tokens")  # how a task that is a prompt is asked: never templates


def wired(services: Services, document: ParsedDocument) -> ParsedDocument:
    """The document with nothing left but templates. Raises DocumentError."""
    tasks = [step for step in every_step(document.steps) if isinstance(step, ParsedTask)]
    if not any(step.flows or step.offered or step.by_name for step in tasks):
        return document
    wiring = _Wiring(services, document)
    steps = tuple(wiring.level(document.steps, within=()))
    if wiring.problems:
        raise DocumentError(wiring.problems)
    return replace(document, steps=steps)


class _Wiring:
    def __init__(self, services: Services, document: ParsedDocument) -> None:
        self.problems: list[Problem] = []
        self._registry = services.tasks
        self._document = document
        rows = document.input.rows if document.input.kind == "inline" else ()
        self._row: Mapping[str, JsonValue] = rows[0] if len(rows) == 1 else {name: None for row in rows for name in row}
        self._one_row = len(rows) == 1
        self._made = Produced(document, self.problems)
        self._written: dict[str, Mapping[str, JsonValue]] = {}  # the inputs of each step so far
        self._in_table: dict[str, None] = {}  # steps of the table that is being made

    def level(self, steps: Sequence[ParsedStep], *, within: tuple[str, ...]) -> Iterator[ParsedStep]:
        """The steps of one level; a split that they need comes before them, or before the compound that they are of."""
        for step in steps:
            if isinstance(step, ParsedTask):
                yield from self._task(step, within)
            elif isinstance(step, ParsedCompound):
                yield from self._compound(step, within)
            elif isinstance(step, ParsedPrompt):
                self._made.tasks[step.name] = None
                yield self._placed(step)
            elif isinstance(step, ParsedTableStep) and isinstance(step.step, FilterStep):
                yield replace(step, step=self._placed(step.step))
            else:
                self._in_table.clear()
                yield step

    def _compound(self, step: ParsedCompound, within: tuple[str, ...]) -> Iterator[ParsedStep]:
        names = tuple(inner.name for inner in step.steps)
        made = list(self.level(step.steps, within=(*within, *names)))
        yield from (each for each in made if _is_split(each))
        self._made.inner[step.name] = names
        self._made.tasks[step.name] = None
        yield self._placed(replace(step, steps=tuple(each for each in made if not _is_split(each))))

    def _placed(self, step: Placed) -> Placed:
        """The step with those of its needs that are steps of the same table."""
        needs = step.needs and tuple(name for name in step.needs if name in self._in_table)
        self._in_table[step.name] = None
        return replace(step, needs=needs)

    def _task(self, step: ParsedTask, within: tuple[str, ...]) -> Iterator[ParsedStep]:
        try:
            task = self._registry.get(step.task)
        except NotFound as error:
            self.problems.append(not_found(self._document, step, error))
            self._made.tasks[step.name] = None
            return
        self._made.tasks[step.name] = task
        flows = self._flows_of(step, task)
        step = replace(step, inputs={**step.inputs, **self._models_of(step, task, flows)})
        self._written[step.name] = step.inputs
        given = {name: self._made.given(flows[name]) for name in flows if name not in step.inputs}
        yield from self._splits(step, task, given, within)
        inputs = {**self._by_name(step, task, given), **step.inputs}
        bare = replace(step, flows={}, offered={}, by_name=False)
        turns = _turns(step, task)
        if not turns:
            filled = {name: self._filled(task, name, columns) for name, columns in given.items()}
            yield self._placed(replace(bare, inputs={**inputs, **filled}))
            return
        names = tuple(f"{step.name}_{number}" for number in range(1, len(turns) + 1))
        self._made.turns[step.name] = names
        self._made.tasks |= dict.fromkeys(names, task)
        steps: list[ParsedStep] = []
        for number, name in enumerate(names):
            own = {**inputs, **self._turn(task, given, number, len(turns)), **turns[number]}
            steps.append(replace(bare, name=name, needs=(), when=None, inputs=own))
        yield self._placed(
            ParsedCompound(name=step.name, kind="all", steps=tuple(steps), needs=step.needs, when=step.when, at=step.at)
        )

    def _models_of(self, step: ParsedTask, task: AnyTask, flows: Mapping[str, Sequence[Flow]]) -> dict[str, JsonValue]:
        """The models that flow into a prompt: those that the step before was given, for they must be known now."""
        if not isinstance(task, PromptTask):
            return {}
        stated: dict[str, JsonValue] = {}
        for name in STATED:
            for flow in flows.get(name, ()):
                if name in self._written.get(flow.source, {}):
                    stated[name] = self._written[flow.source][name]
                else:
                    self._refuse_stated(step, name, flow)
        return stated

    def _refuse_stated(self, step: ParsedTask, name: str, flow: Flow) -> None:
        self.problems.append(
            self._document.problem(
                flow.at,
                f"the {name} of step {step.name} is an output of {flow.source}, which is not known before it runs",
                rule=f"the {name} of a prompt is known before anything is asked",
                remedy=f"write `{name}` among the inputs of {flow.source} or of {step.name}",
            )
        )

    def _flows_of(self, step: ParsedTask, task: AnyTask) -> dict[str, tuple[Flow, ...]]:
        """What flows into each input. What is only offered is taken where the task has such an input, and no value."""
        offered = {
            name: flows for name, flows in step.offered.items() if name in task.inputs and name not in step.inputs
        }
        return {**offered, **step.flows}

    def _splits(
        self, step: ParsedTask, task: AnyTask, given: dict[str, list[list[Given]]], within: tuple[str, ...]
    ) -> Iterator[ParsedTableStep]:
        """A split for each list that flows into an input for one of its items, and a problem for what does not fit."""
        for name, flows in given.items():
            taken = task.inputs.get(name, {})
            for columns in flows:
                for place, (column, schema) in enumerate(columns):
                    at = (*step.at, "inputs", name)
                    if column in self._made.renamed:
                        columns[place] = (self._made.renamed[column], {})
                    elif is_split(schema, taken) and len(flows) == 1:
                        yield from self._split(step, column, within, at)
                        columns[place] = (self._made.renamed.get(column, column), items_of(schema))
                    elif len(flows) == 1 and not fits(schema, taken, as_text=isinstance(task, PromptTask)):
                        self._refuse_type(step, name, column, schema, taken, at)

    def _split(self, step: ParsedTask, column: str, within: tuple[str, ...], at: KeyPath) -> Iterator[ParsedTableStep]:
        source = column.partition(".")[0]
        if source in within:
            self.problems.append(
                self._document.problem(
                    at,
                    f"step {step.name} takes the items of {source}, a list, one by one",
                    rule="steps within a step keep its rows",
                    remedy=f"put {source} before the step that holds both",
                )
            )
            return
        name = f"{column.replace('.', '_')}_item"
        self._made.renamed[column] = name
        self._in_table = {name: None for name in self._in_table if name in within}
        yield ParsedTableStep(step=SplitStep(name=name, column=column), at=at)

    def _refuse_type(self, step: ParsedTask, name: str, column: str, given: Schema, taken: Schema, at: KeyPath) -> None:
        self.problems.append(
            self._document.problem(
                at,
                f"{column} -> {step.name}.{name}: {kind_of(given)} flows where {kind_of(taken)} is taken",
                rule="an output flows into inputs of its own type",
                remedy="connect another output, or put a step between that makes one of the other",
            )
        )

    def _turn(
        self, task: AnyTask, given: Mapping[str, list[list[Given]]], number: int, turns: int
    ) -> dict[str, JsonValue]:
        """The inputs of one turn of several: of as many columns the one in its place."""
        return {
            name: self._filled(
                task, name, [[columns[number]] if len(columns) == turns else columns for columns in flows]
            )
            for name, flows in given.items()
        }

    def _filled(self, task: AnyTask, name: str, flows: Sequence[Sequence[Given]]) -> JsonValue:
        """One column as it is; several as a list, or as texts one after the other where the input is printed."""
        references = [reference(column) for columns in flows for column, _ in columns]
        if len(references) == 1:
            return references[0]
        if isinstance(task, PromptTask) or kind_of(task.inputs.get(name, {})) == "string":
            return "\n\n".join(references)
        return list(references)

    def _by_name(self, step: ParsedTask, task: AnyTask, given: Mapping[str, object]) -> dict[str, JsonValue]:
        """The inputs that are left out: columns of the row, or else outputs of that name, the last first."""
        if not step.by_name:
            return {}
        named: dict[str, JsonValue] = {}
        for name in (*task.inputs, *(STATED if isinstance(task, PromptTask) else ())):
            if name in step.inputs or name in given:
                continue
            if name in self._row:
                is_stated = name in STATED and isinstance(task, PromptTask)
                if self._one_row or not is_stated:
                    named[name] = self._row[name] if is_stated else reference(name)
            elif name in task.inputs and "default" not in task.inputs[name]:
                if found := self._made.latest(step, name):
                    named[name] = self._filled(task, name, [found])
                elif self._document.input.kind == "inline":
                    self._refuse_missing(step, task, name)
        return named

    def _refuse_missing(self, step: ParsedTask, task: AnyTask, name: str) -> None:
        self.problems.append(
            self._document.problem(
                step.at,
                f"task {task.name} lacks the input {name!r}",
                rule="an input is given, flows from another step, or is a column of the row",
                remedy=f"write `{name}` among the inputs of {step.name}, or connect an output to it",
            )
        )


def _is_split(step: ParsedStep) -> bool:
    return isinstance(step, ParsedTableStep) and isinstance(step.step, SplitStep)


def _turns(step: ParsedTask, task: AnyTask) -> list[dict[str, JsonValue]]:
    """What each step of a task with lists of inputs has for itself; none where no input is a list of such."""
    if not step.by_name:
        return []
    lists = {
        name: value
        for name, value in step.inputs.items()
        if isinstance(value, list) and value and kind_of(_taken(task, name)) not in (None, "array")
    }
    return [dict(zip(lists, values, strict=True)) for values in product(*lists.values())] if lists else []


def _taken(task: AnyTask, name: str) -> Schema:
    """The schema of an input."""
    return {"type": "string"} if name in STATED and isinstance(task, PromptTask) else task.inputs.get(name, {})
