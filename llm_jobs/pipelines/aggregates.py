"""What a group computes over its rows: the column that each aggregate becomes, and its values, by Arrow."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import pyarrow as pa

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import GroupStep
from llm_jobs.errors import DocumentError, Problem

Row = dict[str, JsonValue]
GROUP = "\0group"  # the column that holds the number of a row's group
UNKNOWN = pa.list_(pa.null())  # stands for the type of a column that nobody knows yet
# YAML name -> pyarrow's aggregation (https://arrow.apache.org/docs/cpp/compute.html#grouped-aggregations)
AGGREGATIONS: Mapping[str, str] = {
    "count": "count",
    "distinct": "count_distinct",
    "first": "first",
    "last": "last",
    "list": "list",
    "max": "max",
    "mean": "mean",
    "min": "min",
    "stddev": "stddev",
    "sum": "sum",
}


def aggregates_of(step: GroupStep, table: pa.Table) -> dict[int, Row]:
    """What is computed over the rows of each group, by its number in the column `GROUP`."""
    if not step.aggregate:
        return {}
    wanted = []
    for text in step.aggregate.values():
        function, column = aggregation(text)
        wanted.append(([], "count_all") if column is None else (column, AGGREGATIONS[function]))
    found = table.group_by(GROUP, use_threads=False).aggregate(wanted)
    numbers, *columns = (column.to_pylist() for column in found.columns)
    names = list(step.aggregate)
    return {
        number: dict(zip(names, values, strict=True))
        for number, values in zip(numbers, zip(*columns, strict=True), strict=True)
    }


def of_no_rows(step: GroupStep) -> Row:
    """The aggregates of a group without rows."""
    return {name: 0 if text.startswith(("count", "distinct")) else None for name, text in step.aggregate.items()}


def aggregation(text: str) -> tuple[str, str | None]:
    """`mean(correct)` as its function and column; `count` counts rows."""
    function, _, column = text.removesuffix(")").partition("(")
    return function, column or None


def aggregated_field(step: GroupStep, name: str, text: str, by_name: Mapping[str, pa.Field]) -> pa.Field:
    """The column that an aggregate becomes. Raises DocumentError for one that cannot be computed."""
    function, column = aggregation(text)
    if column is None:
        return pa.field(name, pa.int64())
    kind = known_column(step.name, column, by_name).type
    _check_kind(step.name, function, column, kind)
    if function in ("count", "distinct"):
        return pa.field(name, pa.int64())
    if function in ("mean", "stddev"):
        return pa.field(name, pa.float64())
    if function == "list":
        return pa.field(name, pa.list_(kind))
    if function == "sum":
        return pa.field(name, pa.float64() if pa.types.is_floating(kind) else pa.int64())
    return pa.field(name, kind)


def _check_kind(step: str, function: str, column: str, kind: pa.DataType) -> None:
    """Refuse what cannot be computed of a column, before its values have been paid for."""
    if kind != UNKNOWN and not _can_be(function, kind):
        problem = Problem(
            what=f"step {step} takes the {function} of {column}, which is of the type {kind}",
            value=column,
            rule="sum, mean and stddev are of numbers; min, max, first, last and list of numbers, texts and times",
            remedy="count it, or have the step before give such values: declare a `schema`, or its `type`",
        )
        raise DocumentError([problem])


@functools.lru_cache(maxsize=256)
def _can_be(function: str, kind: pa.DataType) -> bool:
    """Whether Arrow computes an aggregate of a type: asked of a table without rows."""
    empty = pa.schema([pa.field(GROUP, pa.int64()), pa.field("x", kind)]).empty_table()
    try:
        empty.group_by(GROUP, use_threads=False).aggregate([("x", AGGREGATIONS[function])])
    except pa.ArrowNotImplementedError:
        return False
    return True


def known_column(step: str, column: str, by_name: Mapping[str, pa.Field]) -> pa.Field:
    """The column of that name. Raises DocumentError where there is none."""
    if column in by_name:
        return by_name[column]
    problem = Problem(
        what=f"step {step} reads a column that its table does not have",
        value=column,
        rule=f"there are: {', '.join(by_name) or 'no columns'}",
        remedy="name one of these",
    )
    raise DocumentError([problem])
