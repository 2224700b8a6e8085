"""Does the table have what the prompts need, and do the names fit together: found before the first call."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from llm_jobs.documents.expressions import compile_expression
from llm_jobs.documents.job import Input, Job
from llm_jobs.documents.steps import (
    CompoundStep,
    FilterStep,
    GraphStep,
    GroupStep,
    PromptStep,
    SplitStep,
    Step,
    SweepStep,
    TaskStep,
)
from llm_jobs.errors import Problem
from llm_jobs.pipelines.aggregates import aggregation
from llm_jobs.pipelines.naming import check_graph_names
from llm_jobs.pipelines.reshaping import ROWS
from llm_jobs.prompts.rendering import names_in_value, undefined_names
from llm_jobs.results.columns import check_columns
from llm_jobs.results.outputs import Outputs
from llm_jobs.results.row_columns import row_fields
from llm_jobs.sources.reading import Reading
from llm_jobs.sources.rows import parquet_columns
from llm_jobs.sources.tables import inline_schema


def known_columns(source: Input) -> list[str] | None:
    """The table's columns as far as they can be told at once; None where the whole table must be read for them."""
    if source.kind == "inline":
        return list(inline_schema(source).names)
    if source.format in ("csv", "tsv"):
        with Reading(source) as reading:
            return reading.header()
    if source.format == "parquet" and source.kind == "file":
        return parquet_columns(source)
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A name that a step uses and its table lacks. `problem` is without its place."""

    step: str
    name: str
    problem: Problem


def missing_columns(job: Job, columns: Collection[str]) -> list[Missing]:
    """Every name that a step's templates use and neither the table nor an earlier step has."""
    known = list(columns)
    problems: list[Missing] = []
    for step in job.graph or job.steps:
        problems += _missing_of(job, step, known)
    return problems


def _missing_of(job: Job, step: GraphStep, known: list[str]) -> list[Missing]:
    """Of one step, after which `known` has what it adds, or what its table has."""
    if isinstance(step, CompoundStep):
        inner = [problem for each in step.steps for problem in _missing_of(job, each, known)]
        known.append(step.name)
        until = compile_expression(step.until, where=step.name).names if step.until else ()
        return inner + [_missing(job, step.name, name, known) for name in sorted(set(until) - set(known))]
    problems = [_missing(job, step.name, name, known) for name in sorted(needed_names(step) - {*known, "row"})]
    if isinstance(step, GroupStep):
        known[:] = [*step.by, *step.aggregate, ROWS]
        unknown = undefined_names(step.combine) - {*known, "row"}
        problems += [_missing(job, step.name, name, known) for name in sorted(unknown)]
    elif isinstance(step, SplitStep):
        known[:] = [name for name in known if name != step.column] + [step.name]
    elif isinstance(step, SweepStep):
        known.append(step.column)
    else:
        known += [step.name, *(field.name for field in row_fields([step]))]
    return problems


def check_names(job: Job, columns: Collection[str]) -> None:
    """Raise DocumentError where an output has the name of an input column, of another output or of a fact."""
    if job.graph:
        check_graph_names(job.graph, columns)
    else:
        check_columns(columns, [name for step in job.steps for name in output_columns(step)])


def output_columns(step: Step) -> list[str]:
    """The columns that the answers of `step` become."""
    return [field.name for field in Outputs(step, operation=step.operation).fields]


def needed_names(step: GraphStep) -> set[str]:
    """The columns that a step reads."""
    if isinstance(step, TaskStep):
        return names_in_value(dict(step.inputs)) | _names(step.when)
    if isinstance(step, FilterStep):
        return _names(step.where)
    if isinstance(step, GroupStep):
        return set(step.by) | {column for text in step.aggregate.values() if (column := aggregation(text)[1])}
    if isinstance(step, SplitStep):
        return {step.column}
    if isinstance(step, SweepStep | CompoundStep):
        return set()
    if not step.templated:
        return set()
    if isinstance(step, PromptStep):
        return undefined_names(step.messages) | _names(step.when)
    return names_in_value(dict(step.body or {}))


def _names(text: str | None) -> set[str]:
    return set() if text is None else set(compile_expression(text, where="the condition").names)


def _missing(job: Job, step: str, name: str, known: Sequence[str]) -> Missing:
    near = difflib.get_close_matches(name, known, n=1)
    problem = Problem(
        what=f"step {step} of job {job.name} uses a column that the table does not have",
        value=name,
        rule=f"there are: {', '.join(dict.fromkeys(known)) or 'no columns'}",
        remedy=f"did you mean {near[0]}?" if near else "add the column to the input, or mend the prompt",
    )
    return Missing(step=step, name=name, problem=problem)
