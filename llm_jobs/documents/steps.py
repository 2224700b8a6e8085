"""The steps of a job: the nodes of its graph, frozen, and what each contributes to the job's identity.

A step turns a table into a table. Plain values; nothing here reads, asks or computes: `engine` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from llm_jobs.documents.content import Content, content_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.model_refs import Endpoint, ModelChoice, ModelRef
from llm_jobs.values import value

Operation = Literal["chat", "responses", "embeddings"]


@value
class Message:
    role: str
    content: Content  # its texts are Jinja2 templates where the step is templated, else the texts themselves

    def identity(self) -> dict[str, JsonValue]:
        return {"role": self.role, "content": content_json(self.content)}


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptStep:
    """Asks `model` once per row; the answer becomes the column `name`. Where there is a `choice`, `model` and
    `parameters` are those of its first candidate."""

    name: str
    model: ModelRef
    messages: tuple[Message, ...]
    operation: Operation = "chat"
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)  # members of the request body, as written
    schema: Mapping[str, JsonValue] | None = None  # the JSON Schema that the answer is declared to have
    templated: bool = True
    choice: ModelChoice | None = None
    native: bool = True  # False: the schema is not sent; answers are checked against it here all the same
    needs: tuple[str, ...] | None = None  # steps that come before it; None: the one before it
    when: str | None = None  # asked only of rows of which this holds

    @property
    def models(self) -> tuple[ModelRef, ...]:
        if self.choice is None:
            return (self.model,)
        return tuple(candidate.model for candidate in self.choice.candidates)

    def identity(self) -> dict[str, object]:
        members: dict[str, object] = {
            "kind": "prompt",
            "name": self.name,
            "operation": self.operation,
            "messages": [message.identity() for message in self.messages],
        }
        if self.choice is None:
            members |= {"model": self.model.identity(), "parameters": dict(self.parameters)}
        else:
            members["choice"] = self.choice.identity()
        if self.schema is not None:
            members["schema"] = dict(self.schema)
        if not self.templated:
            members["templated"] = False
        if not self.native:
            members["native"] = False
        return members | _place(self.needs, self.when)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestStep:
    """Sends whole requests: one made by a command script (`body` given), or one per row of a batch file.

    In a batch file each row holds `custom_id`, `method`, `url` and `body`, and `endpoint` and `body` are None; the
    model is named in each body.
    """

    name: str
    model: ModelRef
    operation: Operation = "chat"  # of a batch file's lines, whose `url` is the identity
    endpoint: Endpoint | None = None
    body: Mapping[str, JsonValue] | None = None  # strings in it are templates where `templated`
    answer_pointer: str | None = None  # RFC 6901 pointer to the text in the answer; None: the provider's own rule
    templated: bool = False

    @property
    def models(self) -> tuple[ModelRef, ...]:
        return (self.model,)

    def identity(self) -> dict[str, object]:
        members: dict[str, object] = {"kind": "request", "name": self.name}
        if self.endpoint is None:
            members["model"] = self.model.identity()
        else:
            members["endpoint"] = self.endpoint.identity()
            members["body"] = dict(self.body or {})
        if self.answer_pointer is not None:
            members["answer_pointer"] = self.answer_pointer
        if self.templated:
            members["templated"] = True
        return members


def _place(needs: tuple[str, ...] | None, when: str | None) -> dict[str, object]:
    """Where a step stands in its graph, as far as that is not where a step stands anyway: after the one before it."""
    members: dict[str, object] = {}
    if needs is not None:
        members["needs"] = sorted(needs)
    if when is not None:
        members["when"] = when
    return members


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskStep:
    """Computes columns from each row by a registered task.

    One output without a name of its own is the column `name`; each other is the column `name.output`. A recorded task
    is asked through the ledger as a call is: once for the same inputs, whatever job asks.
    """

    name: str
    task: str  # as the registry names it
    version: str  # of what it computes: another version computes anew
    inputs: Mapping[str, JsonValue]  # texts in it are templates
    outputs: Mapping[str, Mapping[str, JsonValue]]  # JSON Schema of each, as the task declares it; "" is the step's own
    fixed: Mapping[str, JsonValue] = field(default_factory=dict)  # inputs that are the same for all rows, no templates
    digest: str | None = None  # of the code that a user wrote
    recorded: bool = False
    needs: tuple[str, ...] | None = None
    when: str | None = None

    def identity(self) -> dict[str, object]:
        members: dict[str, object] = {
            "kind": "task",
            "name": self.name,
            "task": self.task,
            "version": self.version,
            "inputs": dict(self.inputs),
        }
        if self.fixed:
            members["fixed"] = dict(self.fixed)
        if self.digest is not None:
            members["digest"] = self.digest
        return members | _place(self.needs, self.when)


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterStep:
    """Keeps the rows of which `where` holds; the others are no rows of the result."""

    name: str
    where: str
    needs: tuple[str, ...] | None = None

    def identity(self) -> dict[str, object]:
        return {"kind": "filter", "name": self.name, "where": self.where} | _place(self.needs, None)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompoundStep:
    """Steps as one. all: each of them.  first: one after the other until one succeeds, whose answer becomes the column
    `name`.  loop: all of them again until `until` holds, at most `at_most` times."""

    name: str
    kind: Literal["all", "first", "loop"]
    steps: tuple[RowStep, ...]
    until: str | None = None
    at_most: int = 1
    needs: tuple[str, ...] | None = None
    when: str | None = None

    def identity(self) -> dict[str, object]:
        members: dict[str, object] = {
            "kind": self.kind,
            "name": self.name,
            "steps": [step.identity() for step in self.steps],
        }
        if self.kind == "loop":
            members |= {"until": self.until, "at_most": self.at_most}
        return members | _place(self.needs, self.when)


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupStep:
    """One row per group of the rows so far: the columns `by`, and `rows`, the rows of the group, for templates. No
    column in `by`: one group of all rows. `aggregate`: column -> expression over `rows`.

    Rows that do not fit into one question are asked about in parts, and then the answers, by `combine` where it is
    given: a question fits that has at most `max_input_tokens`, or as many as the model reads."""

    name: str
    by: tuple[str, ...] = ()
    aggregate: Mapping[str, str] = field(default_factory=dict)
    max_input_tokens: int | None = None
    combine: tuple[Message, ...] = ()

    def identity(self) -> dict[str, object]:
        members: dict[str, object] = {"kind": "group", "name": self.name, "by": list(self.by)}
        if self.aggregate:
            members["aggregate"] = dict(self.aggregate)
        if self.max_input_tokens is not None:
            members["max_input_tokens"] = self.max_input_tokens
        if self.combine:
            members["combine"] = [message.identity() for message in self.combine]
        return members


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitStep:
    """One row per item of the list in `column`: the row's columns without it, and the item as the column `name`."""

    name: str
    column: str

    def identity(self) -> dict[str, object]:
        return {"kind": "split", "name": self.name, "column": self.column}


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepStep:
    """Each row once per value: `values` in the column `column`."""

    name: str
    column: str
    values: tuple[JsonValue, ...]

    def identity(self) -> dict[str, object]:
        return {"kind": "sweep", "name": self.name, "column": self.column, "values": list(self.values)}


Step = PromptStep | RequestStep  # asks a model
RowStep = Step | TaskStep | FilterStep | CompoundStep  # row by row: the rows stay
TableStep = GroupStep | SplitStep | SweepStep  # makes other rows
GraphStep = RowStep | TableStep


def asking_steps(graph: Iterable[GraphStep]) -> tuple[Step, ...]:
    """The steps of a graph that ask a model, those within others too, in order."""
    found: list[Step] = []
    for step in graph:
        if isinstance(step, CompoundStep):
            found += asking_steps(step.steps)
        elif isinstance(step, PromptStep | RequestStep):
            found.append(step)
    return tuple(found)
