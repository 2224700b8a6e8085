"""What the steps of a YAML job may need: steps beside them, of the same table, in no circle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_jobs.documents.checks import Checks
from llm_jobs.documents.graphs import cycle_of
from llm_jobs.documents.step_models import StepModel
from llm_jobs.documents.text import KeyPath
from llm_jobs.documents.validation import did_you_mean

_MAKES_ROWS = frozenset({"split", "for_each", "for_each_model", "reduce"})


def check_needs(steps: Sequence[StepModel], at: KeyPath, checks: Checks) -> None:
    """Refuse what the steps of one level, which stand at `at`, cannot need."""
    tables = _tables(steps)
    for index, step in enumerate(steps):
        _check_step(step, tables, (*at, index), checks)
    _check_cycle(steps, at, checks)


def _tables(steps: Sequence[StepModel]) -> dict[str, int]:
    """The number of the table that each step is of. A step that makes other rows is of the table that it makes."""
    tables: dict[str, int] = {}
    number = 0
    for step in steps:
        number += not _MAKES_ROWS.isdisjoint(step.model_fields_set)
        tables[step.name] = number
    return tables


def _check_step(step: StepModel, tables: Mapping[str, int], at: KeyPath, checks: Checks) -> None:
    others = [name for name in tables if name != step.name]
    for index, name in enumerate(step.needs or ()):
        here = (*at, "needs", index)
        if name not in others:
            checks.refuse(
                here,
                f"step {step.name} needs {name!r}, which is no step beside it",
                value=name,
                rule=f"there are: {', '.join(others) or 'no others'}",
                remedy=did_you_mean(name, others, otherwise="name one of these, or leave it out"),
            )
        elif tables[name] != tables[step.name]:
            is_earlier = tables[name] < tables[step.name]
            checks.refuse(
                here,
                f"step {step.name} needs {name!r}, a step of {'an earlier' if is_earlier else 'a later'} table",
                value=name,
                rule="a step that makes other rows comes after everything before it, and before all that follows",
                remedy="leave it out" if is_earlier else f"write {name} before the step that makes other rows",
            )


def _check_cycle(steps: Sequence[StepModel], at: KeyPath, checks: Checks) -> None:
    """Only of what is written: that a step comes after the one before it gives way to `needs`."""
    needs = {step.name: [name for name in step.needs or () if name != step.name] for step in steps}
    if cycle := cycle_of(needs):
        index = next(index for index, step in enumerate(steps) if step.name in cycle)
        checks.refuse(
            (*at, index, "needs"),
            f"steps wait for each other: {' -> '.join(cycle)}",
            rule="a step comes after those that it needs",
            remedy="leave one of these needs out",
        )
