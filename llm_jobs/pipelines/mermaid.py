"""The steps of a graph as a Mermaid flowchart. Pure. Steps within a step are a subgraph; what makes other rows is a
hexagon, what asks a model a rounded box, what computes a box, what keeps rows a rhombus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llm_jobs.documents.asked import ASKING
from llm_jobs.documents.json_value import JsonValue

Step = Mapping[str, JsonValue]
_SHAPES = {"task": "[{}]", "filter": "{{{}}}", "rows": "{{{{{}}}}}", "prompt": "({})"}


def mermaid(steps: Sequence[Step]) -> str:
    """The flowchart, from the top down."""
    ids: dict[int, str] = {}
    lines = ["flowchart TD", *_drawn(steps, ids, "  ")]
    return "\n".join(lines) + "\n"


def edges_of(steps: Sequence[Step]) -> Iterator[tuple[int, int]]:
    """Which step comes before which, by their places: those that one needs, or the one before it. What makes other
    rows comes after every end of the table before it, and before every beginning of the next."""
    first, table = 0, -1  # of this table; the step that made it
    names: dict[object, int] = {}
    for index, step in enumerate(steps):
        if is_table(step):
            ends = set(range(first, index)) - {source for source, _ in _within(steps, first, index, table)}
            yield from ((source, index) for source in sorted(ends) or ([table] if table >= 0 else []))
            first, table, names = index, index, {}
            names[step["name"]] = index
            continue
        yield from _into(step, index, first, table, names)
        names[step["name"]] = index


def _within(steps: Sequence[Step], first: int, last: int, table: int) -> Iterator[tuple[int, int]]:
    names: dict[object, int] = {steps[place]["name"]: place for place in range(first, last)}
    for index in range(first, last):
        if index != table:
            yield from _into(steps[index], index, first, table, names)


def _into(step: Step, index: int, first: int, table: int, names: Mapping[object, int]) -> Iterator[tuple[int, int]]:
    needs = step.get("needs")
    if isinstance(needs, list):
        found = [names[name] for name in needs if name in names]
        yield from ((source, index) for source in found or ([table] if table >= 0 else []))
    elif index > first or table >= 0:
        yield index - 1, index


def is_table(step: Step) -> bool:
    """Whether a step makes other rows."""
    return any(key in step for key in ("split", "for_each", "reduce", "for_each_model"))


def _drawn(steps: Sequence[Step], ids: dict[int, str], indent: str, *, in_order: bool = True) -> Iterator[str]:
    """`in_order`: else each is another way to the same, and none comes after another."""
    numbers: list[str] = []
    for step in steps:
        identifier = f"s{len(ids)}"
        ids[len(ids)] = identifier
        numbers.append(identifier)
        inner = step.get("steps") or step.get("first_of")
        if isinstance(inner, list):
            yield f"{indent}subgraph {identifier}[{_label(step)}]"
            within = [each for each in inner if isinstance(each, dict)]
            yield from _drawn(within, ids, indent + "  ", in_order="first_of" not in step)
            yield f"{indent}end"
        else:
            yield f"{indent}{identifier}{_shape(step).format(_label(step))}"
    if in_order:
        for source, target in edges_of(steps):
            when = steps[target].get("when")
            arrow = "-->" if when is None else f"-->|{_quoted(str(when))}|"
            yield f"{indent}{numbers[source]} {arrow} {numbers[target]}"


def _shape(step: Step) -> str:
    if "task" in step:
        return _SHAPES["task"]
    if "filter" in step:
        return _SHAPES["filter"]
    return _SHAPES["rows" if is_table(step) and not set(ASKING) & step.keys() else "prompt"]


def _label(step: Step) -> str:
    kind = step.get("task") or step.get("filter") or step.get("model")
    if "first_of" in step:
        kind = "first of"
    loop = step.get("loop")
    if isinstance(loop, dict):
        kind = f"at most {loop.get('at_most')} times"
    name = str(step["name"])
    return _quoted(name if kind in (None, name) else f"{name}: {kind}")


def _quoted(text: str) -> str:
    escaped = text.replace("&", "#amp;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;")
    return f'"{" ".join(escaped.split())}"'
