"""Format 4: the task graph, as a graph of tasks and data flows, or as a list of tasks with their dependencies.

    {"tasks": [{"id", "type", "input"}], "dataflows": [{"sourceTaskId", "sourceTaskOutputId", "targetTaskId",
     "targetTaskInputId"}]}                                       (`nodes` and `edges` are other words for the two)
    [{"id", "type", "input", "dependencies": {"input": {"id", "output"}}}]          (several in a list: all of them)

It is read as the YAML job that says the same: a task is a step, a flow is a need and an input, a task with a `subgraph`
or `subtasks` is a step of steps. The keys of a YAML job (`name`, `model`, `input`, `output`, …) may stand beside
`tasks`. `type` is a registered task, or one of `KINDS`, whose `input` are the keys of such a step in a YAML job; one of
`SAVING` says where the result goes. `*` in the place of an output or an input says only what comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from llm_jobs.documents.asked import may_need
from llm_jobs.documents.checks import Checks
from llm_jobs.documents.choices import Choices
from llm_jobs.documents.formats import job
from llm_jobs.documents.formats.task_flows import flows_of, refuse_flows
from llm_jobs.documents.graph_models import (
    DataflowModel,
    TaskGraphModel,
    TaskItemModel,
)
from llm_jobs.documents.graphs import ordered_or_refused, step_names
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.origins import Origin
from llm_jobs.documents.parsed import Flow, ParsedCompound, ParsedDocument, ParsedStep, ParsedTask
from llm_jobs.documents.parts import Part, part_of
from llm_jobs.documents.text import NO_CHILDREN, KeyPath, Lines, Source
from llm_jobs.documents.validation import raise_if_any, validate

KINDS = ("prompt", "filter", "split", "for_each", "reduce", "compound", "loop", "first_of")
SAVING: Mapping[str, str] = {"save_to_database": "database", "save_to_file": "file", "save_to_api": "api"}
TABLES = frozenset({"split", "for_each", "reduce", "for_each_model"})  # keys of steps that make other rows

_GRAPH_KEYS = ("tasks", "nodes", "dataflows", "edges")
_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_WORDS = (("tasks", "nodes"), ("dataflows", "edges"))
_STEPS = {"compound": "steps", "loop": "steps", "first_of": "first_of"}


def is_task_graph(value: JsonValue) -> bool:
    """Whether a document's value is of this format."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) and "id" in item and "type" in item for item in value)
    if not isinstance(value, dict):
        return False
    nodes = value.get("nodes")
    is_ours = isinstance(nodes, list) and any(isinstance(node, dict) and "id" in node for node in nodes)
    return is_ours or "tasks" in value or "dataflows" in value


def parse(source: Source, choices: Choices) -> list[ParsedDocument]:
    """The graph once per chosen model. Raises DocumentError with every problem found."""
    translated = translate(source)
    return [
        replace(parsed, format="task_graph", steps=tuple(_flowing(step, translated) for step in parsed.steps))
        for parsed in job.parse(translated.source, choices)
    ]


@dataclass(frozen=True, slots=True)
class Translated:
    """A task graph as a YAML job, and by step what flows into its inputs, and what is offered to it."""

    source: Source
    flows: Mapping[str, Mapping[str, tuple[Flow, ...]]]
    offered: Mapping[str, Mapping[str, tuple[Flow, ...]]]


def translate(source: Source) -> Translated:
    """The YAML job that says the same. Raises DocumentError for what is no task graph."""
    value: JsonValue = {"tasks": source.value} if isinstance(source.value, list) else source.value
    model, problems = validate(TaskGraphModel, source, value)
    raise_if_any(problems)
    assert model is not None
    translation = _Translation(source, model)
    translation.check_words()
    written = translation.job()
    raise_if_any(translation.checks.problems)
    return Translated(written, translation.flows, translation.offered)


def _flowing(step: ParsedStep, translated: Translated) -> ParsedStep:
    """The step with what flows into it."""
    if isinstance(step, ParsedCompound):
        return replace(step, steps=tuple(_flowing(inner, translated) for inner in step.steps))
    if isinstance(step, ParsedTask):
        flows, offered = translated.flows.get(step.name, {}), translated.offered.get(step.name, {})
        return replace(step, flows=flows, offered=offered, by_name=True)
    return step


class _Translation:
    """A task graph as a YAML job: its steps, and beside them what flows into each."""

    def __init__(self, source: Source, graph: TaskGraphModel) -> None:
        self.checks = Checks(source)
        self._graph = graph
        self._whole = part_of(source)
        self._names: dict[KeyPath, str] = {}
        self.flows: dict[str, Mapping[str, tuple[Flow, ...]]] = {}
        self.offered: dict[str, Mapping[str, tuple[Flow, ...]]] = {}
        self._outputs: list[Part] = []

    def check_words(self) -> None:
        """One word of two that mean the same; steps are tasks here."""
        graph = self._graph
        twice = [pair for pair in _WORDS if getattr(graph, pair[0]) and getattr(graph, pair[1])]
        for word, other in twice:
            self._refuse_word(other, f"the graph has {word} and {other}, which are two words for one")
        if "steps" in (graph.model_extra or {}):
            self._refuse_word("steps", "the graph has steps beside its tasks, which become its steps")

    def _refuse_word(self, key: str, what: str) -> None:
        rule = "a graph is told once: tasks (or nodes), and dataflows (or edges)"
        self.checks.refuse((key,), what, rule=rule, remedy=f"remove `{key}`, or what stands beside it")

    def job(self) -> Source:
        """The job that says the same."""
        graph, whole = self._graph, self._whole
        at: KeyPath = () if isinstance(whole.value, list) else ("tasks" if graph.tasks else "nodes",)
        flows_at = "dataflows" if graph.dataflows else "edges"
        self._name_all([(graph.tasks or graph.nodes, at)])
        steps = self._level(graph.tasks or graph.nodes, graph.dataflows or graph.edges, at, (flows_at,), {})
        root = Part(
            {}, Lines(whole.lines.line, NO_CHILDREN, Origin(kind="document", file=self.checks.source.file, path=()))
        )
        stated = self._own(whole, ()).without(*_GRAPH_KEYS) if at else root
        named = root.holding(PurePath(self.checks.source.file).stem)
        job_part = stated if stated.get("name") else stated.replaced({"name": named})
        job_part = job_part.replaced({"steps": _listed(steps, root)})
        if self._outputs:
            job_part = job_part.replaced({"output": _listed([*_stated(job_part.get("output")), *self._outputs], root)})
        made = root.replaced({"job": job_part})
        return Source(self.checks.source.file, made.value, made.lines)

    def _name_all(self, levels: list[tuple[Sequence[TaskItemModel], KeyPath]]) -> None:
        """A name for every task, those of inner graphs too: a step's column has a name that no other has."""
        for items, at in levels:
            ids = [item.id for item in items]
            for index, identifier in enumerate(ids):
                if identifier in ids[:index]:
                    self._refuse_twice(identifier, (*at, index, "id"))
            names = step_names(ids, self._names.values())
            self._names |= {(*at, identifier): names[identifier] for identifier in ids}
            levels += [
                (inner, (*at, index, *below)) for index, item in enumerate(items) for inner, below in _inner(item)
            ]

    def _refuse_twice(self, identifier: str, at: KeyPath) -> None:
        self.checks.refuse(
            at,
            f"a second task has the id {identifier!r}",
            rule="each task of a graph has an id of its own",
            remedy="rename one of the two",
        )

    def _level(
        self,
        items: Sequence[TaskItemModel],
        dataflows: Sequence[DataflowModel],
        at: KeyPath,
        flows_at: KeyPath,
        offered: Mapping[str, tuple[Flow, ...]],
    ) -> list[Part]:
        """The steps of one graph, in order. `offered`: what flows into the step that holds it."""
        ids = [item.id for item in items]
        flows, needs = flows_of(items, dataflows, at=at, flows_at=flows_at, checks=self.checks)
        places = {identifier: index for index, identifier in enumerate(ids)}
        parts: list[Part] = []
        in_table: set[str] = set()
        for identifier in ordered_or_refused(needs, flows_at if dataflows else at, self.checks):
            item, here = items[places[identifier]], (*at, places[identifier])
            given = {
                name: tuple(replace(flow, source=self._names[*at, flow.source]) for flow in listed)
                for name, listed in flows[identifier].items()
            }
            if (destination := SAVING.get(plain(item.type))) is not None:
                self._save(item, here, destination, needs, identifier)
                continue
            step = self._step(item, here, given, offered)
            keys = step.value if isinstance(step.value, dict) else {}
            if TABLES & keys.keys():
                in_table.clear()
            if may_need(keys) and not item.sequential:
                needed = [self._names[*at, other] for other in ids if other in needs[identifier] & in_table]
                step = step.replaced({"needs": step.holding(list(needed))})
            in_table.add(identifier)
            parts.append(step)
        return parts

    def _step(
        self,
        item: TaskItemModel,
        at: KeyPath,
        given: Mapping[str, tuple[Flow, ...]],
        offered: Mapping[str, tuple[Flow, ...]],
    ) -> Part:
        """A task as a step, without its needs."""
        name = self._names[*at[:-1], item.id]
        whole = self._own(self._whole, at)
        said = self._own(self._whole, (*at, "input" if "input" in item.model_fields_set else "defaults"))
        said = said if isinstance(said.value, dict) else whole.holding({})
        head = whole.holding({}).replaced({"name": self._own(self._whole, (*at, "id")).holding(name)})
        for key in ("when", "purpose"):
            if (part := whole.get(key)) is not None:
                head = head.replaced({key: part})
        kind = plain(item.type)
        graphs = list(_inner(item))
        if graphs:
            [(inner, below)] = graphs[:1]
            flows_at = (*at, "subgraph", "dataflows")
            dataflows = (item.subgraph.dataflows or item.subgraph.edges) if item.subgraph else []
            steps = self._level(inner, dataflows, (*at, *below), flows_at, {**offered, **given})
            made = head.replaced({_STEPS.get(kind, "steps"): _listed(steps, whole)})
            return made.put(("loop",), said) if kind == "loop" else made
        if kind in KINDS:
            refuse_flows(name, given, self.checks)
            return head.merged(said.without("name"))
        self.flows[name], self.offered[name] = given, offered
        task = whole.holding(re.sub(r"Compound(Task)?$", "", item.type))
        return head.replaced({"task": task, "inputs": said})

    def _save(
        self, item: TaskItemModel, at: KeyPath, destination: str, needs: Mapping[str, set[str]], identifier: str
    ) -> None:
        if after := [other for other, needed in needs.items() if identifier in needed]:
            self.checks.refuse(
                at,
                f"{identifier} saves the result, and {after[0]} takes something from it",
                rule="what saves a result is an end of the graph",
                remedy="connect the step after it to the one before it",
            )
        said = self._own(self._whole, (*at, "input"))
        stated = said if isinstance(said.value, dict) else said.holding({})
        self._outputs.append(stated.put(("destination",), said.holding(destination)))

    def _own(self, whole: Part, at: KeyPath) -> Part:
        """A part of the document that knows where it was written."""
        found = whole.at(at) or Part(None, whole.lines)
        return found.from_(Origin(kind="document", file=self.checks.source.file, path=at))


def plain(kind: str) -> str:
    """`SaveToDatabaseTask` as `save_to_database`."""
    words = [word.lower() for part in re.split(r"[^A-Za-z0-9]+", kind) for word in _WORD.findall(part)]
    return "_".join(words[:-1] if len(words) > 1 and words[-1] == "task" else words)


def _inner(item: TaskItemModel) -> Iterator[tuple[Sequence[TaskItemModel], KeyPath]]:
    """The tasks within a task, and where they stand below it."""
    if item.subgraph is not None:
        yield item.subgraph.tasks or item.subgraph.nodes, ("subgraph", "tasks" if item.subgraph.tasks else "nodes")
    elif item.subtasks:
        yield item.subtasks, ("subtasks",)


def _stated(outputs: Part | None) -> list[Part]:
    """The destinations that stand beside the tasks: none, one, or a list."""
    if outputs is None or outputs.value is None:
        return []
    return [each for _, each in outputs.members()] if isinstance(outputs.value, list) else [outputs]


def _listed(parts: Sequence[Part], at: Part) -> Part:
    members: dict[str | int, Part] = dict(enumerate(parts))
    return at.holding([None] * len(parts)).replaced(members)
