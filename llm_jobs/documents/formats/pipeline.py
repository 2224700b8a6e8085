"""Format 3: the pipeline of nodes and edges, `{"pipeline_id", "name", "global_inputs", "nodes", "edges"}`.

A pipeline is a job of one row, which is its global inputs. Each node is a task step of the node's id. An input of a
node is, in this order: what `inputs` says, the output that `input_mappings` maps to it (`"node.output": "input"`), the
global input of its name, the output of that name of a node before it. A mapping is an edge as well; `edges` alone say
what comes first. What no edge orders runs side by side.

Comments (`//`, `#`), commas before a closing bracket and `name =`
before the first brace are read in this format and in no other, for pipelines are found written so in Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from llm_jobs.documents.checks import NO_TABLE, Checks
from llm_jobs.documents.choices import Choices, not_for, per_model
from llm_jobs.documents.formats.job import override_table
from llm_jobs.documents.graph_models import NodeModel, PipelineModel
from llm_jobs.documents.graphs import ordered_or_refused, refuse_unknown, step_names
from llm_jobs.documents.json_text import read_json
from llm_jobs.documents.parsed import Flow, ParsedDocument, ParsedInput, ParsedTask
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.documents.validation import raise_if_any, validate
from llm_jobs.documents.variables import Variables
from llm_jobs.errors import DocumentError

KEYS = ("pipeline_id", "nodes")

_BEGINNING = re.compile(r"\A\s*[A-Za-z_]\w*\s*=\s*(?=\{)")
# A text, a comment, or a comma with nothing but space and comments before the bracket that closes.
_RELAXED = re.compile(
    r'(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<comment>(?://|\#)[^\n]*)'
    r"|(?P<comma>,)(?=(?:\s|(?://|\#)[^\n]*(?:\n|\Z))*[\]}])"
)


def is_pipeline(value: object) -> bool:
    """Whether a document's value is of this format."""
    return isinstance(value, dict) and any(key in value for key in KEYS)


def read_relaxed(file: str, text: str) -> Source | None:
    """A pipeline that is written with comments; None where the text is no such pipeline. Its lines are the text's."""
    if '"nodes"' not in text:
        return None
    plain = _RELAXED.sub(lambda found: found["text"] or " " * len(found[0]), _BEGINNING.sub(_blank, text))
    if plain == text:
        return None
    try:
        source = read_json(file, plain)
    except DocumentError:
        return None
    return source if is_pipeline(source.value) else None


def _blank(found: re.Match[str]) -> str:
    return "".join(character if character == "\n" else " " for character in found[0])


def parse(source: Source, choices: Choices) -> list[ParsedDocument]:
    """The pipeline once per chosen model. Raises DocumentError with every problem found."""
    variables = Variables(choices.variables, choices.environment)
    pipeline, problems = validate(PipelineModel, source, variables.fill(source))
    problems += not_for(source.file, "pipeline", choices, ["profile", "parameters"])
    if pipeline is None or variables.problems or problems:
        raise_if_any([*variables.problems, *problems])
    assert pipeline is not None
    parser = _Parser(source, pipeline)
    steps = parser.steps()
    table = parser.table(choices.input_override)
    raise_if_any(parser.checks.problems)
    parsed = ParsedDocument(
        format="pipeline",
        name=pipeline.name or pipeline.pipeline_id or PurePath(source.file).stem,
        steps=steps,
        input=table,
        epoch=choices.epoch,
        variables=dict(variables.used),
        source=source,
    )
    return per_model(parsed, choices.models)


class _Parser:
    def __init__(self, source: Source, pipeline: PipelineModel) -> None:
        self.checks = Checks(source)
        self._pipeline = pipeline
        self._ids = [node.node_id for node in pipeline.nodes]
        self._names = step_names(self._ids, pipeline.global_inputs)

    def table(self, override: str | None) -> ParsedInput:
        if override is not None:
            return override_table(override, self.checks)
        if not self._pipeline.global_inputs:
            return NO_TABLE
        table = ParsedInput(kind="inline", rows=(self._pipeline.global_inputs,), at=("global_inputs",))
        self.checks.columns(table, ())
        return table

    def steps(self) -> tuple[ParsedTask, ...]:
        self._check_ids()
        flows = {node.node_id: self._flows(node, index) for index, node in enumerate(self._pipeline.nodes)}
        needs = {name: {flow.source for mapped in flows[name].values() for flow in mapped} for name in self._ids}
        for source, target in self._edges():
            needs[target].add(source)
        nodes = {node.node_id: (index, node) for index, node in enumerate(self._pipeline.nodes)}
        ordered = ordered_or_refused(needs, ("edges",) if self._pipeline.edges else ("nodes",), self.checks)
        return tuple(self._step(*nodes[name], flows[name], needs[name]) for name in ordered)

    def _check_ids(self) -> None:
        for index, name in enumerate(self._ids):
            if name in self._ids[:index]:
                self.checks.refuse(
                    ("nodes", index, "node_id"),
                    f"a second node has the id {name!r}",
                    rule="each node has an id of its own",
                    remedy="rename one of the two",
                )

    def _edges(self) -> Iterator[tuple[str, str]]:
        for index, edge in enumerate(self._pipeline.edges):
            for key, name in (("from", edge.source), ("to", edge.target)):
                if name not in self._ids:
                    refuse_unknown(name, self._ids, ("edges", index, key), self.checks, kind="node")
            if edge.source in self._ids and edge.target in self._ids:
                yield edge.source, edge.target

    def _flows(self, node: NodeModel, index: int) -> Mapping[str, tuple[Flow, ...]]:
        flows: dict[str, tuple[Flow, ...]] = {}
        for mapped, name in node.input_mappings.items():
            at: KeyPath = ("nodes", index, "input_mappings", mapped)
            flow = self._flow(mapped, at)
            if name in node.inputs or name in flows:
                self.checks.refuse(
                    at,
                    f"the input {name!r} of node {node.node_id} is said twice",
                    rule="an input is said once, under inputs or by one mapping",
                    remedy="remove one of the two",
                )
            if flow is not None:
                flows[name] = (flow,)
        return flows

    def _flow(self, mapped: str, at: KeyPath) -> Flow | None:
        """`node.output`; the id of a node may hold dots itself."""
        found = [name for name in self._ids if mapped.startswith(f"{name}.")]
        if not found:
            source, dot, _ = mapped.rpartition(".")
            if not dot:
                self.checks.refuse(
                    at,
                    f"the mapping {mapped!r} names no output",
                    rule='a mapping is "node.output": "input"',
                    remedy="write the node's id, a dot, and the output's name",
                )
            else:
                refuse_unknown(source, self._ids, at, self.checks, kind="node")
            return None
        source = max(found, key=len)
        return Flow(source=source, output=mapped[len(source) + 1 :], at=at)

    def _step(self, index: int, node: NodeModel, flows: Mapping[str, tuple[Flow, ...]], needs: set[str]) -> ParsedTask:
        named = {
            name: tuple(Flow(source=self._names[flow.source], output=flow.output, at=flow.at) for flow in mapped)
            for name, mapped in flows.items()
        }
        return ParsedTask(
            name=self._names[node.node_id],
            task=node.task_name,
            inputs=node.inputs,
            flows=named,
            by_name=True,
            needs=tuple(self._names[name] for name in self._ids if name in needs),
            at=("nodes", index),
        )
