"""The job: a document after validation and resolution, frozen. Plain values; nothing here reads or writes.

Two parts: what is asked (`steps`, `input`, `sample`, `epoch`: identity) and how (`Policy`: never identity).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from llm_jobs.documents.destinations import FAILS, Output, OutputError
from llm_jobs.documents.failures import ENDS, PromptFailures
from llm_jobs.documents.identity import IDENTITY_VERSION, canonical_json, hash_of
from llm_jobs.documents.launch_rules import NO_RULES, LaunchRules
from llm_jobs.documents.table_sources import ApiSource, InputErrors, InputFile, QuerySource
from llm_jobs.documents.watched import Watching

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
Operation = Literal["chat", "responses", "embeddings"]
InputKind = Literal["inline", "file", "batch", "query", "api"]
FileFormat = Literal["csv", "tsv", "json", "jsonl", "parquet"]
Mode = Literal["online", "batch"]
AnswerStatus = Literal["truncated", "refused", "filtered", "empty", "invalid"]  # of answers that are no success


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where a request goes, as far as it is identity: no key, no query with secrets."""

    provider: str  # the provider's kind
    base_url: str  # normalised; empty for providers without one
    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)  # only those that change behaviour
    identity_url: str | None = None  # stands in for base_url in the identity, pinned by the catalogue
    digest: str | None = None  # of the model's weights, where the provider tells one
    # Header name, or `?` and a query name -> text with `${NAME}`, filled in at the call; never identity.
    credentials: Mapping[str, str] = field(default_factory=dict)

    def identity(self) -> dict[str, object]:
        """The members of the call hash that the endpoint contributes."""
        members: dict[str, object] = {
            "provider": self.provider,
            "method": self.method,
            "base_url": self.identity_url or self.base_url,
            "path": self.path,
        }
        if self.headers:
            members["headers"] = dict(self.headers)
        if self.digest is not None:
            members["digest"] = self.digest
        return members


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRef:
    """A model as the catalogue resolved it when the job was frozen."""

    name: str  # as asked: a catalogue name or `provider/upstream`
    provider: str
    upstream: str  # the name that the provider receives
    base_url: str
    identity_url: str | None = None
    digest: str | None = None
    key: str | None = None  # NAME of the key's variable where the document names one; never identity


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    role: str
    content: str  # a Jinja2 template where the step is templated, else the text itself


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One of several models that may answer a prompt, with the parameters that it receives, its defaults included."""

    model: ModelRef
    parameters: Mapping[str, JsonValue] = field(default_factory=dict)
    weight: float | None = None  # its share of a weighted set; None: the catalogue's, as it stands at each call


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelChoice:
    """Which model answers. weighted: one of the set, by its weight, whatever their order; fallback: the first that
    answers; each: the one that the row's column `column` names."""

    kind: Literal["weighted", "fallback", "each"]
    candidates: tuple[Candidate, ...]
    column: str | None = None

    def identity(self) -> dict[str, object]:
        members = [self._candidate(candidate) for candidate in self.candidates]
        if self.kind == "weighted":
            members.sort(key=canonical_json)
        named = {} if self.column is None else {"column": self.column}
        return {"kind": self.kind, "candidates": members, **named}

    def _candidate(self, candidate: Candidate) -> dict[str, object]:
        members: dict[str, object] = {
            "model": _model_identity(candidate.model),
            "parameters": dict(candidate.parameters),
        }
        if self.kind == "weighted":
            members["weight"] = candidate.weight
        return members


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
            "messages": [{"role": message.role, "content": message.content} for message in self.messages],
        }
        if self.choice is None:
            members |= {"model": _model_identity(self.model), "parameters": dict(self.parameters)}
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
            members["model"] = _model_identity(self.model)
        else:
            members["endpoint"] = self.endpoint.identity()
            members["body"] = dict(self.body or {})
        if self.answer_pointer is not None:
            members["answer_pointer"] = self.answer_pointer
        if self.templated:
            members["templated"] = True
        return members


def _model_identity(model: ModelRef) -> dict[str, object]:
    members: dict[str, object] = {
        "provider": model.provider,
        "upstream": model.upstream,
        "base_url": model.identity_url or model.base_url,
    }
    if model.digest is not None:
        members["digest"] = model.digest
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
            members["combine"] = [{"role": message.role, "content": message.content} for message in self.combine]
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """The job's table.

    inline: `rows` holds it and `digest` is `identity.rows_digest(rows)`. A prompt without a table has one empty row.
    file:   `url` is an absolute path or an fsspec URL; `digest` is the SHA-256 of its bytes.
    batch:  the rows are the lines of the document itself, read from `url`; `digest` is `identity.rows_digest` of them.
    query:  `query` says what is read from where, as of `as_of_ns`; `digest` is that of the question.
    api:    the same, of `api`.

    Several files are one table: `url` is their pattern, `files` are they, and `digest` is that of their digests.
    """

    kind: InputKind
    digest: str
    rows: tuple[Mapping[str, JsonValue], ...] = ()
    url: str | None = None
    format: FileFormat | None = None
    types: Mapping[str, str] = field(default_factory=dict)  # declared column types (CSV columns are text otherwise)
    files: tuple[InputFile, ...] = ()
    query: QuerySource | None = None
    api: ApiSource | None = None
    as_of_ns: int | None = None  # which reading of a query or an API: the submission's time, or the tick's
    batch_size: int | None = None  # rows that are fetched at once; never identity

    def identity(self) -> dict[str, object]:
        members: dict[str, object] = {"rows": self.digest}
        if self.kind == "file":
            members = {"file": self.digest, "format": self.format}
        asked = self.query or self.api
        if asked is not None:
            members = {**asked.identity(), "as_of": None if self.as_of_ns is None else str(self.as_of_ns)}
        if self.types:
            members["types"] = dict(self.types)
        return members


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    cron: str
    timezone: str = "UTC"
    enabled: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What a job may use at most; at least one of the two is stated."""

    max_cost_usd: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FollowUp:
    """What is asked after an answer that is no success. Each is a call of its own.

    ask_again: after a truncation the same question with a larger limit (`max_tokens`, or `factor` times the last one,
    at most `up_to`); after any other answer another sample of it.  repair: the conversation goes on with the answer and
    what is wrong with it.  model: another model is asked.  fallback: the next model of the prompt's list.
    """

    action: Literal["ask_again", "repair", "model", "fallback"]
    times: int = 1
    max_tokens: int | None = None
    factor: float | None = None
    up_to: int | None = None
    model: str | None = None  # as written
    candidate: Candidate | None = None  # the same, resolved


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """How a job is carried out. None of it is identity."""

    version: str | None = None
    description: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    priority: Literal["hot", "cold"] = "cold"
    concurrency: int | None = None  # calls in flight; None: the engine finds what the model bears
    group: int = 1  # at most so many texts in one request, where the provider takes several (embeddings)
    max_retries: int = 8  # attempts after the first, of calls that failed transiently
    timeout_s: float = 300.0  # one attempt
    job_timeout_s: float | None = None
    on_input_error: Literal["skip", "fail"] = "skip"
    input_errors: InputErrors | None = None  # as the document states; None: it says nothing
    outputs: tuple[Output, ...] = ()
    on_output_error: OutputError = FAILS
    schedule: Schedule | None = None
    budget: Budget | None = None
    mode: Mode = "online"
    step_modes: Mapping[str, Mode] = field(default_factory=dict)  # by step, where it differs from the job's
    # By step and status; followed in order, each as often as it says. A status that is not there ends the row.
    on_status: Mapping[str, Mapping[AnswerStatus, tuple[FollowUp, ...]]] = field(default_factory=dict)
    watching: Watching | None = None  # metrics, log and alerts that the document asks for
    launch: LaunchRules = NO_RULES
    failures: PromptFailures = ENDS

    def mode_of(self, step: str) -> Mode:
        """How the calls of a step are asked."""
        return self.step_modes.get(step, self.mode)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to ask, of which model, about which rows, plus policy. `hash` is its identity and partition key."""

    name: str
    steps: tuple[Step, ...]  # all that ask a model, in order
    input: Input
    graph: tuple[GraphStep, ...] = ()  # the whole of a job that is more than its `steps` one after the other
    policy: Policy = field(default_factory=Policy)
    sample: int = 1  # answers asked for per row and step
    epoch: str | None = None
    hash: str = ""

    def __post_init__(self) -> None:
        if not self.hash:
            object.__setattr__(self, "hash", job_hash(self))

    @property
    def models(self) -> tuple[ModelRef, ...]:
        """Every model that may be asked, each once: those of the steps first, then those that rules name."""
        asked = [model for step in self.steps for model in step.models]
        rules = [
            rule for by_status in self.policy.on_status.values() for listed in by_status.values() for rule in listed
        ]
        asked += [rule.candidate.model for rule in rules if rule.candidate is not None]
        by_name: dict[str, ModelRef] = {}
        for model in asked:
            by_name.setdefault(model.name, model)
        return tuple(by_name.values())


def job_hash(job: Job) -> str:
    """The job's identity: steps, input, `sample` and `epoch`; 32 lower-case hexadecimal characters."""
    members: dict[str, object] = {
        "version": IDENTITY_VERSION,
        "input": job.input.identity(),
        "steps": [step.identity() for step in job.graph or job.steps],
    }
    if job.sample != 1:
        members["sample"] = job.sample
    if job.epoch is not None:
        members["epoch"] = job.epoch
    return hash_of(members)
