"""What a user may write, key by key: the models of format 1 (the pair) and format 2 (the YAML job).

Validation is strict (no text where a number belongs, no unknown key) and happens once, here. What the values mean
together is decided in `formats`; nothing here looks at files or at the environment. `Any` stands for a JSON value: the
text was read by `text`, which makes nothing else. A model is built when it first validates something: building all of
them would take a tenth of the start of every process.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.cache_models import CacheModel
from llm_jobs.documents.failure_models import FailureThreshold, PromptFailureModel
from llm_jobs.documents.inputs import InputErrorModel, InputModel
from llm_jobs.documents.job import Mode
from llm_jobs.documents.launch_rules import OnPartial
from llm_jobs.documents.outputs import OutputErrorModel, Outputs
from llm_jobs.documents.schedules import check_cron, check_timezone
from llm_jobs.documents.step_models import Fallback, Models, Native, OnStatus, PhaseModel, PromptModel, StepModel
from llm_jobs.documents.steps import Operation
from llm_jobs.documents.strict import Model
from llm_jobs.documents.triggers import Conditions, Names, Triggers
from llm_jobs.documents.watching import AlertModel, LoggingModel, MonitoringModel

_Positive = Annotated[int, Field(ge=1)]
_Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
_Cron = Annotated[str, AfterValidator(check_cron)]
_Zone = Annotated[str, AfterValidator(check_timezone)]


def _as_member(key: str) -> BeforeValidator:
    """Text stands for a mapping with one member."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


class BudgetModel(Model):
    max_cost_usd: Annotated[float, Field(gt=0)] | None = None
    max_tokens: _Positive | None = None

    @model_validator(mode="after")
    def _states_something(self) -> Self:
        if self.max_cost_usd is None and self.max_tokens is None:
            raise PydanticCustomError("budget", "states no limit; write max_cost_usd, max_tokens or both")
        return self


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
    cache: CacheModel | None = None
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
