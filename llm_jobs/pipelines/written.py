"""A frozen job as a person would write it: the keys of a YAML job, every step with what it needs. Pure.

Invariant: what is written is the same job, hash and all. Prompts stand in line; whole requests (batch files, command
scripts) and texts that are no templates have no such form and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llm_jobs.documents.job import Input, Job
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import ModelChoice
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
MODEL_COLUMN = "model"


def written_job(job: Job) -> dict[str, JsonValue]:
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
        return {**members, "steps": list(_written(job.graph))}
    return {**members, "prompts": list(_written(job.steps))}


def _table(source: Input) -> dict[str, JsonValue] | None:
    if source.kind == "inline":
        rows: list[JsonValue] = [dict(row) for row in source.rows]
        return {"rows": rows} if rows != [{}] else None
    if source.kind != "file":
        raise DocumentError([_unwritten(f"a table read from {source.kind}", "a table in line, or one file")])
    table: dict[str, JsonValue] = {"source": "file", "path": source.url, "format": source.format}
    return {**table, "types": dict(source.types)} if source.types else table


def _written(steps: Sequence[GraphStep]) -> Iterator[Step]:
    for index, step in enumerate(steps):
        after = steps[index + 1] if index + 1 < len(steps) else None
        before = steps[index - 1] if index else None
        if (isinstance(step, SweepStep) and _is_of_models(step, after)) or _is_of_prompt(step, after):
            continue
        if isinstance(before, GroupStep) and _is_of_prompt(before, step):
            yield {**_step(step), "reduce": _reduce(before)}
        else:
            yield _step(step)


def _is_of_prompt(step: GraphStep, after: GraphStep | None) -> bool:
    """Whether a group is half of a prompt with `reduce`, which says it whole."""
    is_half = isinstance(step, GroupStep) and isinstance(after, PromptStep) and step.name == f"{after.name}.rows"
    return is_half and not (isinstance(after, PromptStep) and after.choice is not None and after.choice.kind == "each")


def _is_of_models(step: SweepStep, after: GraphStep | None) -> bool:
    """Whether a sweep is half of `for_each_model`, which the prompt after it says whole."""
    choice = after.choice if isinstance(after, PromptStep) else None
    return choice is not None and choice.kind == "each" and step.column == choice.column


def _step(step: GraphStep) -> Step:
    if isinstance(step, PromptStep):
        return _prompt(step)
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
        made |= _compound(step)
    return made | _place(step)


def _place(step: GraphStep) -> Step:
    needs, when = getattr(step, "needs", None), getattr(step, "when", None)
    return {**({} if needs is None else {"needs": list(needs)}), **({} if when is None else {"when": when})}


def _compound(step: CompoundStep) -> Step:
    inner: list[JsonValue] = list(_written(step.steps))
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
        made["combine"] = {"messages": [{"role": each.role, "content": each.content} for each in step.combine]}
    return made


def _aggregate(text: str) -> JsonValue:
    function, _, column = text.removesuffix(")").partition("(")
    return {function: column} if column else function


def _prompt(step: PromptStep) -> Step:
    if not step.templated:
        raise DocumentError([_unwritten(f"the literal text of prompt {step.name}", "prompts that are templates")])
    made: Step = {"name": step.name}
    if [message.role for message in step.messages] == ["user"] and step.messages[0].content:
        made["text"] = step.messages[0].content
    else:
        made["messages"] = [{"role": message.role, "content": message.content} for message in step.messages]
    made |= {"model": step.model.name} if step.choice is None else _choice(step.choice)
    if step.parameters:
        made["parameters"] = dict(step.parameters)
    if step.schema is not None:
        made["schema"] = dict(step.schema)
    if not step.native:
        made["native"] = False
    if step.operation != "chat":
        made["operation"] = step.operation
    return made | _place(step)


def _choice(choice: ModelChoice) -> Step:
    names: list[JsonValue] = [candidate.model.name for candidate in choice.candidates]
    if choice.kind == "each":
        return {"for_each_model": names}
    if choice.kind == "fallback":
        return {"fallback": names}
    weights: Mapping[str, float | None] = {each.model.name: each.weight for each in choice.candidates}
    return {"models": {name: weight for name, weight in weights.items() if weight is not None}}


def _unwritten(what: str, rule: str) -> Problem:
    return Problem(
        what=f"{what} cannot be written as a graph",
        rule=f"a graph holds {rule}",
        remedy="look at it with `llm-jobs explain` or `llm-jobs show`",
    )
