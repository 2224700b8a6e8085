"""Does the table have what the prompts need, and do the names fit together: found before the first call."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

from llm_jobs.documents.job import Input, Job, PromptStep, Step
from llm_jobs.errors import Problem
from llm_jobs.prompts.rendering import names_in_value, undefined_names
from llm_jobs.results.columns import check_columns
from llm_jobs.results.outputs import Outputs
from llm_jobs.sources.reading import Reading
from llm_jobs.sources.tables import inline_schema


def known_columns(source: Input) -> list[str] | None:
    """The table's columns as far as they can be told at once; None where the whole table must be read for them."""
    if source.kind == "inline":
        return list(inline_schema(source).names)
    if source.format == "csv":
        with Reading(source) as reading:
            return reading.header()
    return None


def missing_columns(job: Job, columns: Collection[str]) -> list[Problem]:
    """A problem for every name that a step's templates use and neither the table nor an earlier step has."""
    known = list(columns)
    problems = []
    for step in job.steps:
        problems += [_missing(job, step, name, known) for name in sorted(_needed(step) - set(known))]
        known += [step.name, *output_columns(step)]
    return problems


def check_names(job: Job, columns: Collection[str]) -> None:
    """Raise DocumentError where an output has the name of an input column, of another output or of a fact."""
    check_columns(columns, [name for step in job.steps for name in output_columns(step)])


def output_columns(step: Step) -> list[str]:
    """The columns that the answers of `step` become."""
    return [field.name for field in Outputs(step, operation=step.operation).fields]


def _needed(step: Step) -> set[str]:
    if not step.templated:
        return set()
    if isinstance(step, PromptStep):
        return undefined_names(step.messages)
    return names_in_value(dict(step.body or {}))


def _missing(job: Job, step: Step, name: str, known: Sequence[str]) -> Problem:
    near = difflib.get_close_matches(name, known, n=1)
    return Problem(
        what=f"prompt {step.name} of job {job.name} uses a column that the table does not have",
        value=name,
        rule=f"there are: {', '.join(known) or 'no columns'}",
        remedy=f"did you mean {near[0]}?" if near else "add the column to the input, or mend the prompt",
    )
