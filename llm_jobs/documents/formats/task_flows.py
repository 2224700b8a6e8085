"""What flows between the tasks of a graph, by their ids: data flows beside the tasks, or dependencies in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.graph_models import DataflowModel, DependencyModel, TaskItemModel
from llm_jobs.documents.graphs import refuse_unknown
from llm_jobs.documents.parsed import Flow
from llm_jobs.documents.text import KeyPath

ALL = "*"

_Flow = tuple[str, str, Flow]  # the id that it flows into, the input, and what it is


def flows_of(
    items: Sequence[TaskItemModel],
    dataflows: Sequence[DataflowModel],
    *,
    at: KeyPath,
    flows_at: KeyPath,
    checks: Checks,
) -> tuple[Mapping[str, Mapping[str, Sequence[Flow]]], Mapping[str, set[str]]]:
    """By id, what flows into each input of the tasks of one level, and the ids that come before. `ALL` in the place of
    an output or an input says only what comes before. `at`, `flows_at`: where tasks and data flows stand."""
    flows: dict[str, dict[str, list[Flow]]] = {item.id: {} for item in items}
    needs: dict[str, set[str]] = {item.id: set() for item in items}
    for target, name, flow in (*_dataflows(dataflows, needs, flows_at, checks), *_dependencies(items, at, checks)):
        needs[target].add(flow.source)
        if ALL not in (name, flow.output):
            flows[target].setdefault(name, []).append(flow)
    return flows, needs


def _dataflows(
    dataflows: Sequence[DataflowModel], ids: Mapping[str, object], at: KeyPath, checks: Checks
) -> Iterator[_Flow]:
    for index, flow in enumerate(dataflows):
        here = (*at, index)
        ends = (("sourceTaskId", flow.source), ("targetTaskId", flow.target))
        unknown = [(key, name) for key, name in ends if name not in ids]
        for key, name in unknown:
            refuse_unknown(name, ids, (*here, key), checks, kind="task")
        if not unknown:
            yield flow.target, flow.name, Flow(source=flow.source, output=flow.output, at=here)


def _dependencies(items: Sequence[TaskItemModel], at: KeyPath, checks: Checks) -> Iterator[_Flow]:
    ids = {item.id: None for item in items}
    for index, item in enumerate(items):
        for name, said in item.dependencies.items():
            for depended in [said] if isinstance(said, DependencyModel) else said:
                here = (*at, index, "dependencies", name)
                if depended.id in ids:
                    yield item.id, name, Flow(source=depended.id, output=depended.output, at=here)
                else:
                    refuse_unknown(depended.id, ids, here, checks, kind="task")


def refuse_flows(step: str, given: Mapping[str, Sequence[Flow]], checks: Checks) -> None:
    """Refuse what flows into a step that is no registered task under another name than its source's: such a step reads
    columns in its own text."""
    for target, flows in given.items():
        for flow in flows:
            if target != flow.source:
                checks.refuse(
                    flow.at,
                    f"{flow.source} flows into {target!r} of {step}, which has no such input",
                    value=target,
                    rule="a step that is no registered task reads columns in its own text",
                    remedy=f"write {{{{ {flow.source} }}}} there, and '*' as the flow's input",
                )
