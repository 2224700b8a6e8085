"""Task steps made ready for the engine: inputs filled, the task run, its outputs checked against what it declares."""

from __future__ import annotations

from collections.abc import Mapping

from llm_jobs.documents.job import JsonValue, TaskStep
from llm_jobs.engine.graph import ComputedStep
from llm_jobs.errors import RowError
from llm_jobs.operations.graph_steps import surroundings
from llm_jobs.operations.services import Services
from llm_jobs.results.row_columns import TaskColumns
from llm_jobs.tasks.base import Task
from llm_jobs.tasks.filling import compile_inputs


def computed_step(services: Services, step: TaskStep) -> ComputedStep:
    """A step that computes at once. Raises NotFound for a task that is no longer registered."""
    task = services.tasks.get(step.task)
    assert isinstance(task, Task)
    fill = compile_inputs(step.inputs, where=f"step {step.name}")
    columns = TaskColumns(step)
    around = surroundings(services)

    def compute(row: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        try:
            return columns.values(task.run(fill(row), around))
        except ValueError as error:
            raise RowError(f"step {step.name}: {error}") from None

    return ComputedStep(compute=compute)
