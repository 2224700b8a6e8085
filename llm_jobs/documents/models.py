"""What a user may write, key by key: the models of format 1 (the pair) and format 2 (the YAML job).

Validation is strict (no text where a number belongs, no unknown key) and happens once, here. What the values mean
together is decided in `formats`; nothing here looks at files or at the environment. `Any` stands for a JSON value: the
text was read by `text`, which makes nothing else. A model is built when it first validates something: building all of
them would take a tenth of the start of every process.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.failure_models import FailureThreshold, PromptFailureModel
from llm_jobs.documents.inputs import InputErrorModel, InputModel
from llm_jobs.documents.job import AnswerStatus, Mode, Operation
from llm_jobs.documents.launch_rules import OnPartial
from llm_jobs.documents.outputs import OutputErrorModel, Outputs
from llm_jobs.documents.schedules import check_cron, check_timezone
from llm_jobs.documents.strict import Model
from llm_jobs.documents.triggers import Conditions, Names, Triggers
from llm_jobs.documents.watching import AlertModel, LoggingModel, MonitoringModel

LATER_KEYS: dict[str, str] = {}

_Positive = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
_Cron = Annotated[str, AfterValidator(check_cron)]
_BARE_RULES = ("give_up", "ask_again", "repair", "fallback")
_FACTOR = re.compile(r"[0-9]+(\.[0-9]+)?x")
_Zone = Annotated[str, AfterValidator(check_timezone)]


def _later(name: str, known: tuple[str, ...]) -> BeforeValidator:
    """Refuse values that another version will read, by name."""
    later = {"database", "postgresql", "sqlite", "api", "http", "kafka"}

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in later:
            raise PydanticCustomError(
                "later_value",
                "{name} {value} is not read by this version",
                {"name": name, "value": value, "known": ", ".join(known)},
            )
        return value

    return BeforeValidator(check)


def _as_member(key: str) -> BeforeValidator:
    """Text stands for a mapping with one member."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def _listed(value: Any) -> Any:
    """`{name: weight}` and `[name, …]` as a list of mappings."""
    if isinstance(value, dict):
        return [{"name": name, "weight": weight} for name, weight in value.items()]
    if isinstance(value, list):
        return [{"name": item} if isinstance(item, str) else item for item in value]
    return value


def _rules(value: Any) -> Any:
    """One rule, or several in order; a rule without particulars may be written as its name."""
    rules = value if isinstance(value, list) else [value]
    for rule in rules:
        if isinstance(rule, str) and rule not in _BARE_RULES:
            names = {"rule": rule, "names": ", ".join(_BARE_RULES)}
            raise PydanticCustomError("rule", "{rule} is no rule; write one of {names}, or `model: NAME`", names)
    return [{rule: {}} if isinstance(rule, str) else rule for rule in rules]


class BudgetModel(Model):
    max_cost_usd: Annotated[float, Field(gt=0)] | None = None
    max_tokens: _Positive | None = None

    @model_validator(mode="after")
    def _states_something(self) -> Self:
        if self.max_cost_usd is None and self.max_tokens is None:
            raise PydanticCustomError("budget", "states no limit; write max_cost_usd, max_tokens or both")
        return self


class WeightedModel(Model):
    name: str = Field(min_length=1)
    weight: Annotated[float, Field(gt=0)] | None = None


class NothingModel(Model):
    """A rule that has no particulars."""


class AskAgainModel(Model):
    max_tokens: Annotated[Any, BeforeValidator(_check_limit)] = "2x"
    up_to: _Positive | None = None
    times: Annotated[int, Field(ge=1, le=10)] | None = None


class RepairModel(Model):
    times: Annotated[int, Field(ge=1, le=10)] = 1


class RuleModel(Model):
    """What to do about an answer that is no success; one of these."""

    give_up: NothingModel | None = None
    ask_again: AskAgainModel | None = None
    repair: RepairModel | None = None
    model: str | None = None
    fallback: NothingModel | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            names = ", ".join(type(self).model_fields)
            raise PydanticCustomError("rule", "is not one rule; write one of {names}", {"names": names})
        return self


def _switch(value: Any) -> Any:
    """`off` is text in YAML 1.2, and a person who writes it means false."""
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


def _check_limit(value: Any) -> Any:
    """A number of tokens, or a factor such as `2x`."""
    if isinstance(value, str) and _FACTOR.fullmatch(value) and float(value[:-1]) > 1:
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise PydanticCustomError("limit", "is neither a number of tokens nor a factor such as 2x")


Native = Annotated[bool, BeforeValidator(_switch)]
Models = Annotated[list[WeightedModel], BeforeValidator(_listed), Field(min_length=1)]
Fallback = Annotated[list[str], Field(min_length=1)]
Aggregation = Literal["count", "distinct", "first", "last", "list", "max", "mean", "min", "stddev", "sum"]
OnStatus = dict[AnswerStatus, Annotated[list[RuleModel], BeforeValidator(_rules), Field(min_length=1)]]


class MessageModel(Model):
    role: Literal["system", "developer", "user", "assistant"]
    content: str


class PromptModel(Model):
    """One prompt: from the library by name and version, or in line by text or messages."""

    name: str
    version: str | None = None
    text: str | None = Field(default=None, min_length=1)
    messages: list[MessageModel] | None = Field(default=None, min_length=1)
    model: str | None = None
    models: Models | None = None
    fallback: Fallback | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: _Positive | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    purpose: str | None = None
    answer_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    native: Native = True
    on_status: OnStatus = Field(default_factory=dict)
    mode: Mode | None = None
    operation: Operation = "chat"
    endpoint: str | None = None
    api_key: str | None = None


_Named = Annotated[str, Field(min_length=1)]
_OneAggregate = Annotated[dict[Aggregation, _Named], Field(min_length=1, max_length=1)]


class CombineModel(Model):
    """What is asked about the answers to parts of a group; one of the two."""

    text: str | None = Field(default=None, min_length=1)
    messages: list[MessageModel] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.text is None) == (self.messages is None):
            raise PydanticCustomError("combine", "says not one of text and messages")
        return self


class ReduceModel(Model):
    """One row per group: columns that the rows of a group share, and what is computed over its rows. The last two say
    how a prompt asks about more rows than fit into one question."""

    by: list[_Named] = Field(default_factory=list)
    aggregate: dict[str, Literal["count"] | _OneAggregate] = Field(default_factory=dict)
    max_input_tokens: _Positive | None = None
    combine: CombineModel | None = None


class LoopModel(Model):
    until: str | None = None
    at_most: Annotated[int, Field(ge=1, le=1000)]


class StepModel(PromptModel):
    """One step of a graph. What it is is told by one key (`documents.formats.steps.KINDS`); a prompt has none."""

    prompt: str | None = None  # of the library, where the step has another name
    needs: list[_Named] | None = None
    when: str | None = None
    for_each_model: list[_Named] | None = Field(default=None, min_length=1)
    task: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    filter: str | None = None
    reduce: ReduceModel | None = None
    split: str | None = None
    for_each: dict[_Named, Annotated[list[Any], Field(min_length=1)]] | None = Field(
        default=None, min_length=1, max_length=1
    )
    steps: list[StepModel] | None = Field(default=None, min_length=1)
    loop: LoopModel | None = None
    first_of: list[StepModel] | None = Field(default=None, min_length=1)


class PhaseModel(Model):
    """`parallel: true` asks about each row that the phase before left; a phase without it asks once about all."""

    name: str
    prompt: str | None = None
    version: str | None = None
    model: str | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: _Positive | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    parallel: bool = False
    split_by: _Named | list[_Named] | None = None


class ExecutionModel(Model):
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    group: Annotated[int, Field(ge=1, le=2048)] = 1
    retry_on_failure: Annotated[int, Field(ge=0, le=100)] | None = None
    timeout: _Seconds | None = None
    job_timeout: _Seconds | None = None


class ErrorHandlingModel(Model):
    on_prompt_failure: PromptFailureModel | None = None
    failure_threshold: FailureThreshold = None
    on_input_error: InputErrorModel | None = None
    on_output_error: OutputErrorModel | None = None


class ScheduleModel(Model):
    cron: _Cron
    timezone: _Zone = "UTC"
    enabled: bool = True


class JobModel(Model):
    name: str = Field(min_length=1, max_length=200)
    version: str | None = None
    description: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    priority: Literal["hot", "cold"] = "cold"
    budget: BudgetModel | None = None
    mode: Mode = "online"
    on_status: OnStatus = Field(default_factory=dict)
    model: str | None = None
    models: Models | None = None
    fallback: Fallback | None = None
    input: InputModel | None = None
    prompts: list[PromptModel] = Field(default_factory=list)
    steps: list[StepModel] = Field(default_factory=list)
    phases: list[PhaseModel] = Field(default_factory=list)
    output: Outputs | None = None
    execution: ExecutionModel = Field(default_factory=ExecutionModel)
    error_handling: ErrorHandlingModel = Field(default_factory=ErrorHandlingModel)
    schedule: ScheduleModel | None = None
    monitoring: MonitoringModel | None = None
    logging: LoggingModel | None = None
    alerts: list[AlertModel] = Field(default_factory=list)
    stack: str | None = None
    stack_version: str | None = None
    stack_parameters: dict[str, Any] = Field(default_factory=dict)
    profiles: dict[str, dict[str, Any]] = Field(default_factory=dict)  # what they may hold: `documents.profiles`
    epoch: str | None = None
    sample: Annotated[int, Field(ge=1, le=1000)] = 1
    triggers: Triggers | None = None
    conditions: Conditions | None = None
    depends_on: Names | None = None
    on_partial: OnPartial | None = None


class JobDocument(Model):
    job: JobModel


class ScriptModel(Model):
    """A script in the allowed folder and its arguments."""

    script: str
    arguments: list[str] = Field(default_factory=list)


class DataModel(Model):
    description: str | None = None
    input: InputModel | None = None


class PairPromptModel(Model):
    """Texts that make one prompt, or the script that prints it."""

    base: str | None = None
    prepend: str | None = None
    append: str | None = None
    data: Annotated[DataModel | None, _as_member("description")] = None
    script: str | None = None
    arguments: list[str] = Field(default_factory=list)


class ConfigurationModel(Model):
    """Any further key is a parameter of the request, whether this project knows it or not."""

    model_config = ConfigDict(extra="allow")

    llm_name: str | None = Field(default=None, alias="LLM_name")
    model: str | None = None
    temperature: Annotated[float, Field(ge=0)] | None = None
    command: Annotated[ScriptModel | None, _as_member("script")] = None
    operation: Operation = "chat"
    answer_schema: dict[str, Any] | None = Field(default=None, alias="schema")
    endpoint: str | None = None
    api_key: str | None = None
    native: Native = True
    # Policy: none of these reaches the model. A number is the `priority` that vLLM takes, and stays a parameter.
    timeout: _Seconds | None = None  # of one attempt
    budget: BudgetModel | None = None
    mode: Mode = "online"
    priority: Literal["hot", "cold"] | int | None = None
    on_status: OnStatus = Field(default_factory=dict)


class PairDocument(Model):
    configuration: ConfigurationModel
    prompt: Annotated[PairPromptModel, _as_member("base")]
