"""The registered tasks as facts: what each takes and gives, as JSON Schema."""

from __future__ import annotations

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.operations.services import Services
from llm_jobs.tasks.base import AnyTask, PromptTask, Task

ABOUT_PROMPTS: dict[str, JsonValue] = {
    "model": {"type": "string", "description": "of the catalogue; else the job's"},
    "temperature": {"type": "number"},
    "max_tokens": {"type": "integer", "minimum": 1},
    "parameters": {"type": "object"},
}


def task_facts(services: Services, *, category: str | None = None) -> list[dict[str, JsonValue]]:
    """Every task, or those of one category, by name. Raises SetupError where others' tasks cannot be loaded."""
    return [facts_of(task) for task in services.tasks if category in (None, task.category)]


def facts_of(task: AnyTask) -> dict[str, JsonValue]:
    """What is known of a task. The output that has the step's own name is `""`."""
    return {
        "name": task.name,
        "version": task.version,
        "category": task.category,
        "description": task.description,
        "asks_a_model": isinstance(task, PromptTask),
        "side_effects": task.side_effects,
        "recorded": isinstance(task, Task) and task.recorded,
        "inputs": {name: dict(schema) for name, schema in task.inputs.items()},
        "outputs": {name: dict(schema) for name, schema in task.outputs.items()},
        "example": dict(task.example),
        "also_called": [*task.aliases],
    }


def task_schema(task: AnyTask) -> dict[str, JsonValue]:
    """The JSON Schema of a step's `inputs`. A text may be a template, so each input may be a text too. None is
    required: the column of its name stands in."""
    properties: dict[str, JsonValue] = {name: dict(schema) for name, schema in task.inputs.items()}
    if isinstance(task, PromptTask):
        properties |= ABOUT_PROMPTS
    fixed = task.fixed if isinstance(task, Task) else frozenset()
    for name, schema in properties.items():
        if name not in fixed and isinstance(schema, dict) and schema and schema.get("type") != "string":
            properties[name] = {"anyOf": [schema, {"type": "string"}]}
    required: list[JsonValue] = [name for name in sorted(fixed) if "default" not in task.inputs[name]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": task.name,
        "description": task.description,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": task.category == "code",
    }
