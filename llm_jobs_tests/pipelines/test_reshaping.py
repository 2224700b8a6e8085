"""Other rows made of rows: groups, splits and sweeps, and the rows that failed before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.documents.steps import GroupStep, SplitStep, SweepStep
from llm_jobs.engine.stream import CARRIED, MISSING
from llm_jobs.errors import DocumentError
from llm_jobs.pipelines.reshaping import reshaped, reshaped_schema

FIELDS = [pa.field("id", pa.int64()), pa.field("kind", pa.string()), pa.field("score", pa.float64())]
ROWS: Sequence[dict[str, Any]] = (
    {"id": 1, "kind": "b", "score": 1.0, "llm_status": "succeeded"},
    {"id": 2, "kind": "a", "score": 4.0, "llm_status": "succeeded"},
    {"id": 3, "kind": "b", "score": 2.0, "llm_status": "succeeded"},
    {"id": 4, "kind": None, "score": None, "llm_status": "succeeded"},
)
FAILED: dict[str, Any] = {"id": 5, "kind": "a", "score": None, "llm_status": "failed", "llm_error": "no"}


def grouped(step: GroupStep, rows: Sequence[Mapping[str, Any]] = ROWS, *, whole: bool = False) -> list[dict[str, Any]]:
    return list(reshaped(step, FIELDS, [dict(row) for row in rows], whole=whole))


def test_groups_come_in_the_order_of_their_first_rows_and_null_is_a_group_too() -> None:
    assert grouped(GroupStep(name="g", by=("kind",))) == [{"kind": "b"}, {"kind": "a"}, {"kind": None}]


def test_the_rows_of_a_group_are_in_their_order_and_without_facts() -> None:
    made = grouped(GroupStep(name="g", by=("kind",)), whole=True)
    assert [[row["id"] for row in group["rows"]] for group in made] == [[1, 3], [2], [4]]
    assert set(made[0]["rows"][0]) == {"id", "kind", "score"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("count", [2, 1, 1]),
        ("count(score)", [2, 1, 0]),
        ("distinct(kind)", [1, 1, 0]),
        ("sum(score)", [3.0, 4.0, None]),
        ("mean(score)", [1.5, 4.0, None]),
        ("min(score)", [1.0, 4.0, None]),
        ("max(id)", [3, 2, 4]),
        ("first(id)", [1, 2, 4]),
        ("last(id)", [3, 2, 4]),
        ("list(id)", [[1, 3], [2], [4]]),
    ],
)
@pytest.mark.parametrize("whole", [True, False])
def test_aggregates_are_of_each_group(said: str, expected: list[object], whole: bool) -> None:
    step = GroupStep(name="g", by=("kind",), aggregate={"value": said, "n": "count"})
    made = grouped(step, whole=whole)
    assert [group["value"] for group in made] == expected
    [*_, field, _] = reshaped_schema(step, FIELDS)
    pa.array(expected, field.type)  # the values are of the type that the schema says


def test_without_columns_there_is_one_group_also_of_no_rows() -> None:
    step = GroupStep(name="g", aggregate={"n": "count", "mean": "mean(score)"})
    assert grouped(step) == [{"n": 4, "mean": pytest.approx(7 / 3)}]
    assert grouped(step, []) == [{"n": 0, "mean": None}]


def test_rows_that_failed_are_not_in_their_group_which_says_how_many_are_missing() -> None:
    made = grouped(GroupStep(name="g", by=("kind",), aggregate={"n": "count"}), [*ROWS, FAILED])
    assert [group.get(MISSING) for group in made] == [None, 1, None]
    assert [group["n"] for group in made] == [2, 1, 1]


def test_a_group_of_nothing_but_failed_rows_is_there_all_the_same() -> None:
    step = GroupStep(name="g", by=("kind",), aggregate={"n": "count", "mean": "mean(score)"})
    assert grouped(step, [FAILED]) == [{"kind": "a", "n": 0, "mean": None, MISSING: 1}]


def test_a_split_makes_a_row_of_each_item_and_none_of_an_empty_list() -> None:
    fields = [pa.field("id", pa.int64()), pa.field("parts", pa.list_(pa.string()))]
    step = SplitStep(name="part", column="parts")
    rows: list[dict[str, Any]] = [{"id": 1, "parts": ["a", "b"]}, {"id": 2, "parts": []}, {"id": 3, "parts": None}]
    assert list(reshaped(step, fields, rows)) == [{"id": 1, "part": "a"}, {"id": 1, "part": "b"}]
    assert reshaped_schema(step, fields) == [pa.field("id", pa.int64()), pa.field("part", pa.string())]


def test_a_sweep_asks_each_row_once_per_value() -> None:
    step = SweepStep(name="s", column="model", values=("m1", "m2"))
    made = list(reshaped(step, FIELDS, [dict(ROWS[0])]))
    assert [(row["id"], row["model"]) for row in made] == [(1, "m1"), (1, "m2")]
    assert "llm_status" not in made[0]


@pytest.mark.parametrize(
    "step", [SplitStep(name="part", column="kind"), SweepStep(name="s", column="m", values=("a",))]
)
def test_a_row_that_failed_before_is_passed_on_once_and_not_lost(step: SplitStep | SweepStep) -> None:
    [made] = reshaped(step, FIELDS, [dict(FAILED)])
    assert made[CARRIED] == ["failed", "no"]
    assert made["id"] == 5
    assert list(reshaped(step, FIELDS, [made])) == [made]


@pytest.mark.parametrize(
    "step",
    [
        GroupStep(name="g", by=("kin",)),
        GroupStep(name="g", aggregate={"n": "mean(scor)"}),
        SplitStep(name="part", column="parts"),
    ],
)
def test_a_column_that_is_not_there_is_refused_with_those_that_are(step: GroupStep | SplitStep) -> None:
    with pytest.raises(DocumentError, match="there are: id, kind, score"):
        reshaped_schema(step, FIELDS)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("sum(x)", pa.string()), ("mean(x)", pa.bool_()), ("max(x)", pa.list_(pa.string())), ("list(x)", pa.struct([]))],
)
def test_an_aggregate_is_refused_exactly_where_it_cannot_be_computed(text: str, kind: pa.DataType) -> None:
    step, fields = GroupStep(name="g", aggregate={"n": text}), [pa.field("x", kind)]
    rows: list[dict[str, Any]] = [{"x": None, "llm_status": "succeeded"}]
    try:
        list(reshaped(step, fields, rows))
    except pa.ArrowNotImplementedError:
        with pytest.raises(DocumentError, match="of the type"):
            reshaped_schema(step, fields)
    else:
        assert reshaped_schema(step, fields)


def test_a_column_that_is_there_already_is_not_made_again() -> None:
    with pytest.raises(DocumentError, match="which its table has already"):
        reshaped_schema(SweepStep(name="s", column="kind", values=("a",)), FIELDS)
    with pytest.raises(DocumentError, match="which its table has already"):
        reshaped_schema(SplitStep(name="kind", column="parts"), [*FIELDS, pa.field("parts", pa.list_(pa.string()))])


@pytest.mark.parametrize("values", [("a", 1), (1, True), (1.5, True)])
def test_values_of_several_types_are_no_column(values: tuple[JsonValue, ...]) -> None:
    with pytest.raises(DocumentError, match="one type"):
        reshaped_schema(SweepStep(name="s", column="v", values=values), FIELDS)
