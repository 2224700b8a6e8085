"""A frozen job as a person would write it: the keys of a YAML job, every step with what it needs. Pure.

Invariant: what is written is the same job, hash and all, and asks the same servers. Prompts stand in line; whole
requests (batch files, command scripts) and texts that are no templates have no such form and are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from llm_jobs.documents.job import Input, Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import ModelChoice, ModelRef
from llm_jobs.documents.steps import (
    CompoundStep,
    FilterStep,
    GraphStep,
    GroupStep,
    PromptStep,
    RequestStep,
    SplitStep,
    SweepStep,
    TaskStep,
)
from llm_jobs.errors import DocumentError, Problem

Step = dict[str, JsonValue]
# The model that a name means where nothing else is said of it; None where the catalogue does not know it.
Usual = Callable[[str], ModelRef | None]


def written_job(job: Job, *, usual: Usual) -> dict[str, JsonValue]:
    """The members of `job:`. Raises DocumentError for a job that cannot be written so."""
    members: dict[str, JsonValue] = {"name": job.name}
    table = _table(job.input)
    if table:
        members["input"] = table
    if job.sample != 1:
        members["sample"] = job.sample
    if job.epoch is not None:
        members["epoch"] = job.epoch
    if job.graph:
        return {**members, "steps": list(_written(job.graph, usual))}
    return {**members, "prompts": list(_written(job.steps, usual))}


def _table(source: Input) -> dict[str, JsonValue] | None:
    if source.kind == "inline":
        rows: list[JsonValue] = [dict(row) for row in source.rows]
        return {"rows": rows} if rows != [{}] else None
    if source.kind != "file":
        raise DocumentError([_unwritten(f"a table read from {source.kind}", "a table in line, or one file")])
    table: dict[str, JsonValue] = {"source": "file", "path": source.url, "format": source.format}
    return {**table, "types": dict(source.types)} if source.types else table


def _written(steps: Sequence[GraphStep], usual: Usual) -> Iterator[Step]:
    halves = [_halves(steps, index) for index in range(len(steps))]
    said = {id(half) for pair in halves for half in pair if half is not None}
    for step, (_, group) in zip(steps, halves, strict=True):
        if id(step) not in said:
            yield {**_step(step, usual), "reduce": _reduce(group)} if group is not None else _step(step, usual)


def _halves(steps: Sequence[GraphStep], index: int) -> tuple[SweepStep | None, GroupStep | None]:
    """The steps before a prompt that it says itself: by `for_each_model` and by `reduce`."""
    prompt = steps[index]
    if not isinstance(prompt, PromptStep):
        return None, None
    column = prompt.choice.column if prompt.choice is not None and prompt.choice.kind == "each" else None
    group = steps[index - 1] if index else None
    if not isinstance(group, GroupStep) or group.name != f"{prompt.name}.rows" or column not in (None, *group.by):
        group = None
    place = index - 1 - (group is not None)
    sweep = steps[place] if place >= 0 else None
    return (sweep if isinstance(sweep, SweepStep) and sweep.column == column else None), group


def _step(step: GraphStep, usual: Usual) -> Step:
    if isinstance(step, PromptStep):
        return _prompt(step, usual)
    if isinstance(step, RequestStep):
        raise DocumentError([_unwritten(f"step {step.name}, which sends whole requests", "prompts and tasks")])
    made: Step = {"name": step.name}
    if isinstance(step, TaskStep):
        made |= {"task": step.task, "inputs": dict(step.inputs)}
    elif isinstance(step, FilterStep):
        made["filter"] = step.where
    elif isinstance(step, SplitStep):
        made["split"] = step.column
    elif isinstance(step, SweepStep):
        made["for_each"] = {step.column: list(step.values)}
    elif isinstance(step, GroupStep):
        made["reduce"] = _reduce(step)
    else:
        made |= _compound(step, usual)
    return made | _place(step)


def _place(step: GraphStep) -> Step:
    needs, when = getattr(step, "needs", None), getattr(step, "when", None)
    return {**({} if needs is None else {"needs": list(needs)}), **({} if when is None else {"when": when})}


def _compound(step: CompoundStep, usual: Usual) -> Step:
    inner: list[JsonValue] = list(_written(step.steps, usual))
    if step.kind == "first":
        return {"first_of": inner}
    if step.kind == "all":
        return {"steps": inner}
    until = {} if step.until is None else {"until": step.until}
    return {"loop": {**until, "at_most": step.at_most}, "steps": inner}


def _reduce(step: GroupStep) -> dict[str, JsonValue]:
    made: dict[str, JsonValue] = {"by": list(step.by)}
    if step.aggregate:
        made["aggregate"] = {name: _aggregate(text) for name, text in step.aggregate.items()}
    if step.max_input_tokens is not None:
        made["max_input_tokens"] = step.max_input_tokens
    if step.combine:
        made["combine"] = {"messages": [each.identity() for each in step.combine]}
    return made


def _aggregate(text: str) -> JsonValue:
    function, _, column = text.removesuffix(")").partition("(")
    return {function: column} if column else function


def _prompt(step: PromptStep, usual: Usual) -> Step:
    if not step.templated:
        raise DocumentError([_unwritten(f"the literal text of prompt {step.name}", "prompts that are templates")])
    made: Step = {"name": step.name}
    text = step.messages[0].content if [message.role for message in step.messages] == ["user"] else ""
    if isinstance(text, str) and text:
        made["text"] = text
    else:
        made["messages"] = [message.identity() for message in step.messages]
    made |= _model(step.model, usual) if step.choice is None else _choice(step.choice)
    if step.parameters:
        made["parameters"] = dict(step.parameters)
    if step.schema is not None:
        made["schema"] = dict(step.schema)
    if not step.native:
        made["native"] = False
    if step.operation != "chat":
        made["operation"] = step.operation
    return made | _place(step)


def _model(model: ModelRef, usual: Usual) -> Step:
    """The model, and the address and the variable of its key where a document said them."""
    made: Step = {"model": model.name}
    known = usual(model.name)
    if known is None or _address(known) != _address(model):
        made["endpoint"] = model.base_url
    if model.key is not None:
        made["api_key"] = f"${{{model.key}}}"
    return made


def _address(model: ModelRef) -> str:
    return model.identity_url or model.base_url


def _choice(choice: ModelChoice) -> Step:
    names: list[JsonValue] = [candidate.model.name for candidate in choice.candidates]
    if choice.kind == "each":
        return {"for_each_model": names}
    if choice.kind == "fallback":
        return {"fallback": names}
    return {"models": [_weighted(each.model.name, each.weight) for each in choice.candidates]}


def _weighted(name: str, weight: float | None) -> JsonValue:
    return name if weight is None else {"name": name, "weight": weight}


def _unwritten(what: str, rule: str) -> Problem:
    return Problem(
        what=f"{what} cannot be written as a graph",
        rule=f"a graph holds {rule}",
        remedy="look at it with `llm-jobs explain` or `llm-jobs show`",
    )
