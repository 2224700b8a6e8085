"""Do the names of a graph's columns fit together, table by table? Their types are known when a table is made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from llm_jobs.documents.steps import GraphStep
from llm_jobs.pipelines.aggregates import UNKNOWN
from llm_jobs.pipelines.reshaping import reshaped_schema
from llm_jobs.pipelines.stages import stages_of
from llm_jobs.results.columns import check_columns
from llm_jobs.results.row_columns import row_fields


def check_graph_names(graph: Sequence[GraphStep], columns: Iterable[str]) -> None:
    """Raise DocumentError where an output has the name of a column of its table, of another output or of a fact."""
    fields = [pa.field(name, UNKNOWN) for name in columns]
    for stage in stages_of(graph):
        if stage.made_by is not None:
            fields = reshaped_schema(stage.made_by, fields)
        outputs = row_fields(stage.steps)
        check_columns([field.name for field in fields], [field.name for field in outputs])
        fields = [*fields, *outputs]


def last_table(graph: Sequence[GraphStep], columns: Iterable[Any]) -> tuple[list[pa.Field], list[pa.Field]]:
    """The last table of a graph over an input with `columns`: the columns it is made with, and those its steps add."""
    fields: list[pa.Field] = list(columns)
    outputs: list[pa.Field] = []
    for stage in stages_of(graph):
        fields = [*fields, *outputs]
        if stage.made_by is not None:
            fields = reshaped_schema(stage.made_by, fields)
        outputs = row_fields(stage.steps)
    return fields, outputs
