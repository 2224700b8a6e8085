"""The contract of a task: typed inputs in, typed outputs out, for one row at a time.

A task that computes is a `Task`; one that is a prompt in disguise (a summary, a translation) is a `PromptTask` and
becomes one when a document is resolved. Both are described by JSON Schema, so that documents are checked before
anything runs. Who calls a task, and what becomes of its failures, belongs to the engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from llm_jobs.documents.job import JsonValue, Message, Operation

Schema = Mapping[str, JsonValue]
OWN = ""  # the output that has the step's own name


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a task may use beside its inputs."""

    scripts: Path  # the only folder that code is run from
    roots: tuple[Path, ...]  # the only folders that files are read from
    timeout_s: float = 60.0


class Task:
    """A computation over one row. Subclasses state the class attributes and `run`.

    `version` names what it computes: another version computes anew. `recorded`: what it gives is worth keeping (it is
    slow, costs something, or may differ from time to time), so it is asked through the ledger and never twice.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    category: ClassVar[str] = "text"
    description: ClassVar[str]
    inputs: ClassVar[Mapping[str, Schema]]  # JSON Schema each; one with a `default` may be left out
    outputs: ClassVar[Mapping[str, Schema]]
    side_effects: ClassVar[bool] = False
    recorded: ClassVar[bool] = False

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        """The outputs for one row, under the names of `outputs`. Raises RowError for a row that it cannot use."""
        raise NotImplementedError

    def digest(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> str | None:
        """Of the user's code that the inputs as written name (a script), which is part of what is computed."""
        return None


class PromptTask:
    """A prompt under a name of its own."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    category: ClassVar[str] = "text"
    description: ClassVar[str]
    inputs: ClassVar[Mapping[str, Schema]]  # `model` is understood of each, and so are parameters of requests
    outputs: ClassVar[Mapping[str, Schema]] = {OWN: {"type": "string"}}
    side_effects: ClassVar[bool] = False
    operation: ClassVar[Operation] = "chat"

    def asked(self, inputs: Mapping[str, JsonValue]) -> tuple[Message, ...]:
        """The messages, as templates over the row. `inputs` as written: text, in which a template may stand."""
        raise NotImplementedError


AnyTask = Task | PromptTask


def given_inputs(task: AnyTask, inputs: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """`inputs` with the defaults of those that are left out."""
    defaults = {name: schema["default"] for name, schema in task.inputs.items() if "default" in schema}
    return {**defaults, **inputs}


def missing_inputs(task: AnyTask, inputs: Mapping[str, JsonValue]) -> list[str]:
    """The inputs that a task cannot do without."""
    return [name for name, schema in task.inputs.items() if "default" not in schema and name not in inputs]
