"""The job: a document after validation and resolution, frozen. Plain values; nothing here reads or writes.

Two parts: what is asked (`steps`, `input`, `sample`, `epoch`, `run`: identity) and how (`Policy`: never identity).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from llm_jobs.documents.caching import CachePolicy
from llm_jobs.documents.destinations import FAILS, Output, OutputError
from llm_jobs.documents.failures import ENDS, PromptFailures
from llm_jobs.documents.identity import IDENTITY_VERSION, hash_of
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.launch_rules import NO_RULES, LaunchRules
from llm_jobs.documents.model_refs import Candidate, ModelRef
from llm_jobs.documents.steps import GraphStep, Step
from llm_jobs.documents.table_sources import ApiSource, InputErrors, InputFile, QuerySource
from llm_jobs.documents.watched import Watching

InputKind = Literal["inline", "file", "batch", "query", "api"]
FileFormat = Literal["csv", "tsv", "json", "jsonl", "parquet"]
Mode = Literal["online", "batch"]
AnswerStatus = Literal["truncated", "refused", "filtered", "empty", "invalid"]  # of answers that are no success
NO_SUCCESS: tuple[AnswerStatus, ...] = get_args(AnswerStatus)


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
    cache: CachePolicy | None = None  # None: every recorded answer may be read
    step_caches: Mapping[str, CachePolicy] = field(default_factory=dict)  # by step, in the place of the job's

    @property
    def reads_all(self) -> bool:
        """May every recorded answer be read, whenever it was recorded?"""
        return self.cache is None and not self.step_caches

    def cache_of(self, step: str) -> CachePolicy | None:
        """Which recorded answers the calls of a step may read."""
        return self.step_caches.get(step, self.cache)

    def mode_of(self, step: str) -> Mode:
        """How the calls of a step are asked."""
        return self.step_modes.get(step, self.mode)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageFiles:
    """The image files that a job's messages name. `digest`: of the bytes of those that its table names, in order; what
    an earlier step's answer names is found when it is asked. `folder`: where relative names are looked for first."""

    digest: str
    folder: str  # never identity


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
    run: int = 1  # of a job that may not read every answer: counted up once every row of the run before is answered
    images: ImageFiles | None = None  # of a job whose messages name files of images
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
    """The job's identity: steps, input, `sample`, `epoch` and `run`; 32 lower-case hexadecimal characters."""
    members: dict[str, object] = {
        "version": IDENTITY_VERSION,
        "input": job.input.identity(),
        "steps": [step.identity() for step in job.graph or job.steps],
    }
    if job.sample != 1:
        members["sample"] = job.sample
    if job.epoch is not None:
        members["epoch"] = job.epoch
    if job.run != 1:
        members["run"] = job.run
    if job.images is not None:
        members["images"] = job.images.digest
    return hash_of(members)
