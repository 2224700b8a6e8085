"""What a user may write about one prompt or one step of a graph, key by key, as strict as `documents.models`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from llm_jobs.documents.cache_models import CacheModel
from llm_jobs.documents.job import AnswerStatus, Mode
from llm_jobs.documents.message_models import MessageModel
from llm_jobs.documents.steps import Operation
from llm_jobs.documents.strict import Model

_Positive = Annotated[int, Field(ge=1)]
_BARE_RULES = ("give_up", "ask_again", "repair", "fallback")
_FACTOR = re.compile(r"[0-9]+(\.[0-9]+)?x")


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
    cache: CacheModel | None = None
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
        if any(message.text is None for message in self.messages or ()):
            raise PydanticCustomError("combine", "is about answers, which are texts: write each content as one text")
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
