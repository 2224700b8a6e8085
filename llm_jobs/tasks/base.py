"""The contract of a task: typed inputs in, typed outputs out, for one row at a time.

A task that computes is a `Task`; one that is a prompt in disguise (a summary, a translation) is a `PromptTask` and
becomes one when a document is resolved. Both are described by JSON Schema, so that documents are checked before
anything runs. Who calls a task, and what becomes of its failures, belongs to the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import Message, Operation
from llm_jobs.isolation.workers import Workers

Schema = Mapping[str, JsonValue]
Values = Mapping[str, JsonValue]
OWN = ""  # the output that has the step's own name
OPTIONAL = "x-optional"  # in a schema: may be left out, and then is not given at all


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """What a task may use beside its inputs."""

    scripts: Path  # the only folder that code is run from
    roots: tuple[Path, ...]  # the only folders that files are read from
    timeout_s: float = 60.0  # for one row
    memory_mb: int = 4096  # for a worker
    workers: Workers | None = None  # only while a job runs
    digest: str | None = None  # of the user's code, as it was when the job was submitted
    rehearsal: bool = False  # the outputs are wanted, and nothing is to happen
    pull: Callable[[str], Awaitable[None]] | None = None  # has a server download a model


class Task:
    """A computation over one row. Subclasses state the class attributes and `run` (`answer`, where they wait).

    `version` names what it computes: another version computes anew. `recorded`: what it gives is worth keeping (it is
    slow, costs something, or may differ from time to time), so it is asked through the ledger and never twice.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()  # other names that it is known by
    version: ClassVar[str] = "1"
    category: ClassVar[str] = "text"
    description: ClassVar[str]
    inputs: ClassVar[Mapping[str, Schema]]  # JSON Schema each; one with a `default` may be left out
    outputs: ClassVar[Mapping[str, Schema]]  # either one, `OWN`, or several with names
    example: ClassVar[Values]  # the inputs of one row, filled
    fixed: ClassVar[frozenset[str]] = frozenset()  # inputs that are the same for all rows, and no templates
    shaping: ClassVar[frozenset[str]] = frozenset()  # fixed inputs that only `declared` and `shaped` read
    side_effects: ClassVar[bool] = False
    recorded: ClassVar[bool] = False
    slow: ClassVar[bool] = False  # it waits, or takes more than a millisecond: other rows go on meanwhile

    def run(self, inputs: Values, surroundings: Surroundings) -> Values:
        """The outputs for one row, under the names of `outputs`. Raises RowError for a row that it cannot use."""
        raise NotImplementedError

    async def answer(self, inputs: Values, surroundings: Surroundings) -> Values:
        """As `run`, of a slow task. Raises RowError, and CallTimeout or TransientError for what may go well again."""
        return await asyncio.to_thread(self.run, inputs, surroundings)

    def written(self, inputs: Values) -> Values:
        """The inputs as the step keeps them, made of those that a document wrote. Raises ValueError."""
        return inputs

    def declared(self, fixed: Values) -> Mapping[str, Schema]:
        """The outputs where the fixed inputs are these. Raises ValueError."""
        return self.outputs

    def more_inputs(self, fixed: Values, surroundings: Surroundings) -> Mapping[str, Schema] | None:
        """Inputs beside `inputs` that the fixed ones bring; None: any. Raises DocumentError or SetupError for fixed
        inputs that cannot be used, before anything is spent."""
        return {}

    def shaped(self, outputs: Values, fixed: Values) -> Values:
        """What was computed, as the step's outputs. Raises ValueError. Never recorded: it is done for each job anew."""
        return outputs

    def digest(self, fixed: Values, surroundings: Surroundings) -> str | None:
        """Of the user's code that the fixed inputs name (a script), which is part of what is computed."""
        return None


class PromptTask:
    """A prompt under a name of its own."""

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[str] = "1"
    category: ClassVar[str] = "text"
    description: ClassVar[str]
    inputs: ClassVar[Mapping[str, Schema]]  # `model` is understood of each, and so are parameters of requests
    outputs: ClassVar[Mapping[str, Schema]] = {OWN: {"type": "string"}}
    example: ClassVar[Values]
    side_effects: ClassVar[bool] = False
    operation: ClassVar[Operation] = "chat"

    def asked(self, inputs: Values) -> tuple[Message, ...]:
        """The messages, as templates over the row. `inputs` as written: text, in which a template may stand."""
        raise NotImplementedError


AnyTask = Task | PromptTask


def given_inputs(task: AnyTask, inputs: Values, more: Mapping[str, Schema] | None = None) -> dict[str, JsonValue]:
    """`inputs` with those that are left out: their default, or else the column of their name.

    `more`: inputs that the fixed ones brought. A fixed input is no column.
    """
    fixed = task.fixed if isinstance(task, Task) else frozenset()
    left_out: dict[str, JsonValue] = {}
    for name, schema in {**task.inputs, **(more or {})}.items():
        if "default" in schema:
            left_out[name] = schema["default"]
        elif name not in fixed and not schema.get(OPTIONAL):
            left_out[name] = f"{{{{ {name} }}}}"
    return {**left_out, **inputs}


def missing_inputs(task: AnyTask, inputs: Values) -> list[str]:
    """The fixed inputs that a task cannot do without: no column stands in for them."""
    fixed = task.fixed if isinstance(task, Task) else frozenset()
    return [name for name in task.inputs if name in fixed and "default" not in task.inputs[name] and name not in inputs]
