"""The steps of a YAML job as a task graph's JSON (format 4): tasks and data flows, or tasks with dependencies. Pure.

Invariant: what is written is read back as the same steps. An input that is one column of a step that is needed becomes
a flow; every other need is a flow of everything (`*`), which says only what comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llm_jobs.documents.asked import may_need
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.pipelines.outputs import reference

Step = Mapping[str, JsonValue]
Item = dict[str, JsonValue]
ALL = "*"
OUTPUT = "output"  # what the one output of a step is called

_KINDS = ("filter", "split", "for_each")
_OWN_KEYS = ("name", "needs", "when", "purpose")


@dataclass(frozen=True, slots=True)
class _Edge:
    source: str
    output: str
    target: str
    name: str


def task_graph(steps: Sequence[Step]) -> Item:
    """`{"tasks": […], "dataflows": […]}`."""
    edges = [edge for step in steps for edge in _edges(step)]
    tasks: list[JsonValue] = [_item(step) for step in steps]
    dataflows: list[JsonValue] = [
        {
            "sourceTaskId": edge.source,
            "sourceTaskOutputId": edge.output,
            "targetTaskId": edge.target,
            "targetTaskInputId": edge.name,
        }
        for edge in edges
    ]
    return {"tasks": tasks, "dataflows": dataflows}


def dependencies(steps: Sequence[Step]) -> list[JsonValue]:
    """`[{"id", "type", "input", "dependencies"}]`."""
    listed: list[JsonValue] = []
    for step in steps:
        depended: dict[str, list[JsonValue]] = {}
        for edge in _edges(step):
            depended.setdefault(edge.name, []).append({"id": edge.source, "output": edge.output})
        item = _item(step)
        item.pop("subgraph", None)
        if inner := _inner(step):
            item["subtasks"] = dependencies(inner)
        if depended:
            item["dependencies"] = {name: ends[0] if len(ends) == 1 else list(ends) for name, ends in depended.items()}
        listed.append(item)
    return listed


def _item(step: Step) -> Item:
    item: Item = {"id": step["name"], "type": _type(step), "input": _input(step)}
    for key in ("when", "purpose"):
        if key in step:
            item[key] = step[key]
    if "needs" not in step and may_need(step):
        item["sequential"] = True
    if inner := _inner(step):
        item["subgraph"] = task_graph(inner)
    return item


def _type(step: Step) -> str:
    if "task" in step:
        return str(step["task"])
    if "first_of" in step:
        return "first_of"
    if "steps" in step:
        return "loop" if "loop" in step else "compound"
    return next((kind for kind in _KINDS if kind in step), "prompt" if may_need(step) else "reduce")


def _input(step: Step) -> dict[str, JsonValue]:
    """What a task is given beside its flows."""
    if "task" in step:
        flows = {edge.name for edge in _edges(step)}
        return {name: value for name, value in _inputs(step).items() if name not in flows}
    if "steps" in step or "first_of" in step:
        loop = step.get("loop")
        return dict(loop) if isinstance(loop, dict) else {}
    return {key: value for key, value in step.items() if key not in _OWN_KEYS}


def _inputs(step: Step) -> Mapping[str, JsonValue]:
    inputs = step.get("inputs")
    return inputs if isinstance(inputs, dict) else {}


def _inner(step: Step) -> Sequence[Step]:
    inner = step.get("steps") or step.get("first_of")
    return [each for each in inner if isinstance(each, dict)] if isinstance(inner, list) else []


def _edges(step: Step) -> Iterator[_Edge]:
    """What flows into a step, and then what only comes before it."""
    target, needs = str(step["name"]), step.get("needs")
    names = [str(name) for name in needs] if isinstance(needs, list) else []
    flowing: set[str] = set()
    for name, value in _inputs(step).items() if "task" in step else ():
        source = next((each for each in names if value == reference(each)), None)
        if source is not None:
            flowing.add(source)
            yield _Edge(source, OUTPUT, target, name)
    for name in names:
        if name not in flowing:
            yield _Edge(name, ALL, target, ALL)
