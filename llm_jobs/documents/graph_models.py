"""What a user may write in the formats that are graphs of nodes, key by key. What it means is `formats`'."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from llm_jobs.documents.strict import Model


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
