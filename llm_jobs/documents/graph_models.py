"""What a user may write in the formats that are graphs of nodes, key by key. What it means is `formats`'."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field

from llm_jobs.documents.message_models import MessageModel
from llm_jobs.documents.step_models import Fallback, Models
from llm_jobs.documents.strict import Model


def _text(value: Any) -> Any:
    """Ids are texts; some write numbers."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class NodeModel(Model):
    """A node of a pipeline."""

    node_id: str = Field(min_length=1)
    task_name: str = Field(min_length=1)
    inputs: dict[str, Any] = Field(default_factory=dict)
    input_mappings: dict[str, str] = Field(default_factory=dict)  # "node.output" -> input


class EdgeModel(Model):
    source: str = Field(alias="from")
    target: str = Field(alias="to")


class PipelineModel(Model):
    pipeline_id: str | None = None
    name: str | None = Field(default=None, min_length=1, max_length=200)
    global_inputs: dict[str, Any] = Field(default_factory=dict)
    nodes: list[NodeModel] = Field(min_length=1)
    edges: list[EdgeModel] = Field(default_factory=list)


class DataflowModel(Model):
    """What flows from one task to another, by ids."""

    id: str | None = None
    source: Annotated[str, BeforeValidator(_text)] = Field(alias="sourceTaskId")
    output: str = Field(default="*", alias="sourceTaskOutputId")
    target: Annotated[str, BeforeValidator(_text)] = Field(alias="targetTaskId")
    name: str = Field(default="*", alias="targetTaskInputId")


class DependencyModel(Model):
    """Where an input of a task comes from."""

    id: Annotated[str, BeforeValidator(_text)]
    output: str = "*"


class TaskItemModel(Model):
    id: Annotated[str, BeforeValidator(_text), Field(min_length=1)]
    type: str = Field(min_length=1)
    name: str | None = None  # for people
    input: dict[str, Any] = Field(default_factory=dict)
    defaults: dict[str, Any] = Field(default_factory=dict)  # another word for input
    dependencies: dict[str, DependencyModel | list[DependencyModel]] = Field(default_factory=dict)
    subgraph: SubgraphModel | None = None
    subtasks: list[TaskItemModel] = Field(default_factory=list)
    when: str | None = None
    purpose: str | None = None
    sequential: bool = False  # comes after the one before it, whatever flows


class SubgraphModel(Model):
    tasks: list[TaskItemModel] = Field(default_factory=list)
    nodes: list[TaskItemModel] = Field(default_factory=list)
    dataflows: list[DataflowModel] = Field(default_factory=list)
    edges: list[DataflowModel] = Field(default_factory=list)


class TaskGraphModel(SubgraphModel):
    """What else may stand here is a YAML job's, and checked with it."""

    model_config = ConfigDict(extra="allow")


class TaskMessageModel(Model):
    """A task of a queue. `status` and `answer` are a queue's own, and hold nothing yet."""

    id: str | int | None = None
    task_type: str | None = Field(default=None, validation_alias=AliasChoices("task_type", "type"), min_length=1)
    priority: Literal["hot", "cold"] = "cold"
    model: str | None = None
    models: Models | None = None
    fallback: Fallback | None = None
    prompt: str | None = Field(default=None, min_length=1)
    messages: list[MessageModel] | None = Field(default=None, min_length=1)
    payload: dict[str, Any] = Field(default_factory=dict, validation_alias=AliasChoices("payload", "inputs"))
    parameters: dict[str, Any] = Field(default_factory=dict)
    temperature: Annotated[float, Field(ge=0)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    status: Literal["received", "pending", "queued", "unsolved"] | None = None
    answer: None = None
