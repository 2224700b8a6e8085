"""A document as it was understood and not yet resolved: models, prompts, scripts and files are names here.

Every format ends in this one value; `operations` turns it into a frozen `Job`. Two documents that mean the same are
equal, whatever their order, syntax or layout: where things stand in the text (`source`, `at`) does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from llm_jobs.documents.job import FileFormat, InputKind, Policy
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import FilterStep, Message, Operation, TableStep
from llm_jobs.documents.table_sources import ApiSource, QuerySource
from llm_jobs.documents.text import KeyPath, Source
from llm_jobs.errors import Problem

FormatName = Literal["pair", "job", "batch", "pipeline", "task_graph", "task_message"]

# The column that holds the answers of a pair or a batch file, which name none.
ANSWER_COLUMN = "answer"


@dataclass(frozen=True, kw_only=True, slots=True)
class LibraryRef:
    """A prompt of the library. `version`: exact, `^…`, `~…`; None: the latest."""

    name: str
    version: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptRef:
    """A script of the allowed folder (relative, without `..`) and its arguments."""

    script: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedChoice:
    """Several models by name, each with its weight (None: the catalogue's): a weighted set, sorted by name, or a list
    in the order in which they are asked."""

    kind: Literal["weighted", "fallback", "each"]
    models: tuple[tuple[str, float | None], ...]
    column: str | None = None  # each: the one that names the row's model


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedPrompt:
    """One question per row. Exactly one of `messages`, `library` and `script` says what is asked.

    `parameters` are the document's, in their final precedence; those that a template names fill it, the others are
    members of the request body (`prompts.rendering.bind_parameters`). A library prompt's own parameters stand below
    them, and its model below `model`.
    """

    name: str  # the column that the answer becomes
    model: str | None = None  # None: the library prompt's own
    choice: ParsedChoice | None = None  # `model` is its first, then
    messages: tuple[Message, ...] | None = None
    library: LibraryRef | None = None
    script: ScriptRef | None = None
    command: ScriptRef | None = None  # builds the whole request (J12)
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    schema: Mapping[str, JsonValue] | None = None
    native: bool = True
    operation: Operation = "chat"
    templated: bool = True
    endpoint: str | None = None  # a base URL in place of the model's
    api_key: str | None = None  # the NAME of the environment variable that holds the key
    purpose: str | None = None  # for people; never identity
    needs: tuple[str, ...] | None = None
    when: str | None = None
    at: KeyPath = field(default=(), compare=False)  # where it stands in the document


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedRequests:
    """The whole requests of a batch file. `model` stands for every `body.model`."""

    model: str
    operation: Operation
    name: str = ANSWER_COLUMN
    at: KeyPath = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flow:
    """One output of another step, as a document names it."""

    source: str
    output: str
    at: KeyPath = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedTask:
    """A registered task and its inputs, in which texts are templates.

    `flows`: inputs that are outputs of other steps, several as a list. `offered`: the same, taken by a task that has
    such an input and is given none. `by_name`: an input that is left out is the
    row's column of its name, or else an output of that name, and a list where one value is taken makes the task one
    step per value. `operations.flows` makes templates and steps of all this.
    """

    name: str
    task: str
    inputs: Mapping[str, JsonValue] = field(default_factory=dict)
    flows: Mapping[str, tuple[Flow, ...]] = field(default_factory=dict)
    offered: Mapping[str, tuple[Flow, ...]] = field(default_factory=dict)
    by_name: bool = False
    model: str | None = None  # of a task that asks one and whose inputs name none: the job's
    choice: ParsedChoice | None = None  # `model` is its first, then
    needs: tuple[str, ...] | None = None
    when: str | None = None
    at: KeyPath = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedCompound:
    """Steps as one: see `documents.steps.CompoundStep`."""

    name: str
    kind: Literal["all", "first", "loop"]
    steps: tuple[ParsedStep, ...]
    until: str | None = None
    at_most: int = 1
    needs: tuple[str, ...] | None = None
    when: str | None = None
    at: KeyPath = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedTableStep:
    """A step in which nothing is left to be resolved."""

    step: FilterStep | TableStep
    at: KeyPath = field(default=(), compare=False)

    @property
    def name(self) -> str:
        return self.step.name


ParsedStep = ParsedPrompt | ParsedRequests | ParsedTask | ParsedCompound | ParsedTableStep


def every_step(steps: Iterable[ParsedStep]) -> Iterator[ParsedStep]:
    """The steps, and those within them."""
    for step in steps:
        yield step
        if isinstance(step, ParsedCompound):
            yield from every_step(step.steps)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedInput:
    """The table. inline: `rows`; file: `path` and `format`; batch: the lines of the document, digested; query and api:
    what is asked of a server.

    A relative `path` of a document is relative to `beside`: the document's folder, or, for a file given beside the
    document (`--input`), the working directory.
    """

    kind: InputKind
    rows: tuple[Mapping[str, JsonValue], ...] = ()
    path: str | None = None
    format: FileFormat | None = None
    types: Mapping[str, str] = field(default_factory=dict)
    beside: Literal["document", "working_directory"] = "document"
    digest: str | None = None  # of a batch file: identity.rows_digest of its lines
    row_count: int | None = None  # of a batch file
    query: QuerySource | None = None
    api: ApiSource | None = None
    result_of: str | None = None  # the name of a job whose newest result is the table
    batch_size: int | None = None  # rows that are fetched at once
    at: KeyPath = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedDocument:
    """What one document asks of one choice of models."""

    format: FormatName
    name: str
    steps: tuple[ParsedStep, ...]
    input: ParsedInput
    policy: Policy = field(default_factory=Policy)
    sample: int = 1
    epoch: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)  # the `${NAME}` that were filled in, for the record
    notes: tuple[str, ...] = ()  # what is accepted and changes nothing in this version
    source: Source = field(compare=False, repr=False)

    def problem(
        self,
        at: KeyPath,
        what: str,
        *,
        value: JsonValue = None,
        rule: str | None = None,
        remedy: str | None = None,
        text_line: int | None = None,
    ) -> Problem:
        """A Problem of this document at a key path (see `at` of its parts), with file and line."""
        return self.source.problem(at, what, value=value, rule=rule, remedy=remedy, text_line=text_line)
