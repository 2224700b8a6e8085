"""Freezing: what is read back is what was there, it is written once, and a changed input is refused."""

from __future__ import annotations

import datetime as dt
import json
import stat
from decimal import Decimal
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_jobs.documents.job import FileFormat, Input
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError, InputChanged
from llm_jobs.sources.freeze import freeze
from llm_jobs.sources.tables import open_table
from llm_jobs_tests.sources.inputs import (
    Row,
    batch_input,
    file_input,
    frozen,
    frozen_rows,
    json_lines,
    rows_of,
    written,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
# One strategy per column: the values of a column have one type, and may be null or missing.
COLUMNS = {
    "text": TEXT,
    "integer": st.integers(-(2**63), 2**63 - 1),
    "number": NUMBERS,
    "flag": st.booleans(),
    "list": st.lists(VALUES, max_size=3),
    "object": st.dictionaries(TEXT, VALUES, max_size=3),
    "point": st.fixed_dictionaries({"x": st.integers(0, 9), "y": st.floats(0, 1)}),
    "empty": st.none(),
}
ROWS = st.lists(
    st.fixed_dictionaries({"id": st.integers(0, 9)}, optional={n: st.none() | v for n, v in COLUMNS.items()}),
    min_size=1,
    max_size=6,
)


def exactly(value: JsonValue) -> str:
    """A text that differs where values do, also 1 from 1.0 and true, and members in another order."""
    return json.dumps(value, ensure_ascii=False)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, form=st.sampled_from(["json", "jsonl"]))
def test_rows_of_json_values_come_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], form: str
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    texts = [json.dumps(row) for row in rows]
    content = json_lines(texts) if form == "jsonl" else f"[{','.join(texts)}]"
    names = list(dict.fromkeys(name for row in rows for name in row))
    back = frozen_rows(written(folder, content, cast(FileFormat, form)), folder, batch_rows=2)
    assert [exactly(row) for row in back] == [exactly({name: row.get(name) for name in names}) for row in rows]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2))
)
def test_text_of_a_csv_file_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, records: list[list[str]]
) -> None:
    folder = tmp_path_factory.mktemp("csv")
    lines = [",".join('"' + field.replace('"', '""') + '"' for field in record) for record in [["a", "b"], *records]]
    back = frozen_rows(written(folder, "\r\n".join(lines), "csv"), folder)
    assert back == [{"a": a, "b": b} for a, b in records]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["null", "null"], pa.null()),
        (["null", "1"], pa.int64()),
        (["1", "2.5"], pa.float64()),
        (["9007199254740994", "2.5"], pa.float64()),
        (["true", "null"], pa.bool_()),
        (['"a"', "null"], pa.string()),
        (["[1]", "[]"], pa.list_(pa.int64())),
        (["[1]", "[2.5]"], pa.list_(pa.float64())),
        (['[1, "a"]', "[]"], pa.string()),
        (['{"x": 1}', '{"x": 2}'], pa.struct([("x", pa.int64())])),
        (['{"x": 1}', "{}"], pa.string()),
        (["{}", "{}"], pa.string()),
    ],
)
def test_the_result_shows_a_column_with_the_type_of_all_its_values(
    tmp_path: Path, values: list[str], kind: pa.DataType
) -> None:
    source = written(tmp_path, json_lines([f'{{"a": {value}}}' for value in values]), "jsonl")
    assert frozen(source, tmp_path).schema == pa.schema([("a", kind)])
    inline = Input(kind="inline", digest="", rows=tuple(rows_of(source)))
    assert open_table(inline).schema == pa.schema([("a", kind)])


def test_one_row_with_a_fraction_changes_no_other_row(tmp_path: Path) -> None:
    back = frozen_rows(written(tmp_path, '{"a": 1}\n{"a": 2.0}\n{"a": 0.5}\n', "jsonl"), tmp_path)
    assert [exactly(row["a"]) for row in back] == ["1", "2.0", "0.5"]


def test_columns_of_a_csv_file_are_text_unless_declared(tmp_path: Path) -> None:
    source = written(tmp_path, "zip,n,x\n007,1,\n008,,0.5\n", "csv", types={"n": "integer", "x": "number"})
    expected = pa.schema([("zip", pa.string()), ("n", pa.int64()), ("x", pa.float64())])
    assert frozen(source, tmp_path).schema == expected
    assert frozen_rows(source, tmp_path) == [{"zip": "007", "n": 1, "x": None}, {"zip": "008", "n": None, "x": 0.5}]


def test_a_table_of_no_rows_has_its_columns(tmp_path: Path) -> None:
    result = frozen(written(tmp_path, "a,b\n", "csv"), tmp_path)
    assert (result.rows, result.schema.names) == (0, ["a", "b"])


def test_a_frozen_input_is_read_only_and_alone_in_its_folder(tmp_path: Path) -> None:
    result = frozen(written(tmp_path, "a\n1\n", "csv"), tmp_path)
    assert result.path == str(tmp_path / "inputs" / "1700000000000000001.parquet")
    assert stat.S_IMODE(Path(result.path).stat().st_mode) == 0o444
    assert [path.name for path in Path(result.path).parent.iterdir()] == ["1700000000000000001.parquet"]


def test_what_is_frozen_already_is_used_though_the_original_is_gone(tmp_path: Path) -> None:
    source = written(tmp_path, "a\n1\n", "csv")
    first = frozen(source, tmp_path)
    (tmp_path / "table.csv").unlink()
    assert freeze(source, tmp_path / "inputs", epoch_ns=2) == first
    assert frozen_rows(source, tmp_path) == [{"a": "1"}]


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
def test_an_input_that_changed_since_submission_is_refused_and_not_frozen(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"table.{form}"
    contents = {"csv": "a\n1\n", "jsonl": '{"a": 1}\n', "json": '[{"a": 1}]'}
    if form == "parquet":
        pq.write_table(pa.table({"a": [1]}), path)
    else:
        path.write_text(contents[form])
    source = file_input(path, cast(FileFormat, form))
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputChanged, match="input changed since submission"):
        frozen(source, tmp_path)
    assert list(tmp_path.rglob("inputs/*")) == []


def test_a_batch_file_that_changed_is_refused_and_one_written_differently_is_not(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    row = {"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"input": "é", "t": 1.0}}
    path.write_text(json.dumps(row) + "\n")
    source = batch_input(path)
    path.write_text(json.dumps(dict(reversed(row.items())), ensure_ascii=False) + "\n\n")
    assert frozen_rows(source, tmp_path / "same") == [row]
    path.write_text(json.dumps({**row, "body": {"input": "e", "t": 1.0}}) + "\n")
    with pytest.raises(InputChanged):
        frozen(source, tmp_path / "other")


def test_a_batch_file_keeps_its_requests_and_shows_only_their_ids(tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    bodies: list[JsonValue] = [{"n": 1, "a": [1, 2.0, None]}, {"input": ["x"], "n": 10**17}]
    rows: list[Row] = [
        {"custom_id": f"r{i}", "method": "POST", "url": "/v1/embeddings", "body": body} for i, body in enumerate(bodies)
    ]
    path.write_text(json_lines([json.dumps(row) for row in rows]))
    source = Input(kind="batch", digest="", url=str(path))
    assert [exactly(row) for row in rows_of(source)] == [exactly(row) for row in rows]
    rows[1]["body"] = {"input": ["x"], "n": 10**15}
    path.write_text(json_lines([json.dumps(row) for row in rows]))
    table = open_table(batch_input(path), frozen(batch_input(path), tmp_path))
    assert (table.rows, table.schema) == (2, pa.schema([("custom_id", pa.string())]))
    assert [exactly(row) for batch in table.batches() for row in batch] == [exactly(row) for row in rows]


def parquet_input(tmp_path: Path, table: pa.Table, types: dict[str, str] | None = None) -> Input:
    pq.write_table(table, tmp_path / "table.parquet")
    return file_input(tmp_path / "table.parquet", "parquet", types=types)


def test_a_parquet_file_is_not_copied_and_its_values_become_json(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 11, 21, 12, 30, 0, 250_000)
    table = pa.table(
        {
            "day": pa.array([moment.date(), None]),
            "moment": pa.array([moment, None], pa.timestamp("ns")),
            "utc": pa.array([moment, None], pa.timestamp("ms", tz="UTC")),
            "time": pa.array([dt.time(1, 2, 3), None]),
            "price": pa.array([Decimal("1.50"), None]),
            "x": pa.array([0.5, float("nan")]),
            "kind": pa.array(["a", None]).dictionary_encode(),
            "nested": pa.array([{"day": moment.date(), "n": [1]}, None]),
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        }
    )
    source = parquet_input(tmp_path, table)
    result = frozen(source, tmp_path)
    assert (result.path, result.rows) == (source.url, 2)
    assert frozen_rows(source, tmp_path) == [
        {
            "day": "2026-11-21",
            "moment": "2026-11-21T12:30:00.250000",
            "utc": "2026-11-21T12:30:00.250000+00:00",
            "time": "01:02:03",
            "price": "1.50",
            "x": 0.5,
            "kind": "a",
            "nested": {"day": "2026-11-21", "n": [1]},
            "map": {"k": 1},
        },
        dict.fromkeys(table.column_names),
    ]
    shown = dict(zip(result.schema.names, result.schema.types, strict=True))
    assert [shown[name] for name in ("day", "moment", "utc", "time", "price", "x")] == table.schema.types[:6]
    assert shown["kind"] == shown["map"] == pa.string()
    assert shown["nested"] == pa.struct([("day", pa.string()), ("n", pa.list_(pa.int64()))])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([b"bytes"]), "write bytes as base64 text or a path"),
        (pa.array([dt.timedelta(1)]), "durations as a number of seconds"),
        (pa.array([float("inf")]), "an infinite number"),
        (pa.array([1], pa.timestamp("ns")), "would lose data"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_column(tmp_path: Path, column: pa.Array, message: str) -> None:
    source = parquet_input(tmp_path, pa.table({"a": column}))
    with pytest.raises(DocumentError, match=message) as caught:
        frozen_rows(source, tmp_path)
    assert caught.value.problems[0].key == "a"


def test_declared_types_hold_for_parquet_too(tmp_path: Path) -> None:
    source = parquet_input(tmp_path, pa.table({"a": [1, 2]}), {"a": "text"})
    assert frozen(source, tmp_path).schema == pa.schema([("a", pa.string())])
    assert frozen_rows(source, tmp_path) == [{"a": "1"}, {"a": "2"}]


def test_inline_rows_have_every_column(tmp_path: Path) -> None:
    table = open_table(Input(kind="inline", digest="", rows=({"a": 1}, {"b": "x"})))
    assert list(table.batches()) == [[{"a": 1, "b": None}, {"a": None, "b": "x"}]]
    empty = open_table(Input(kind="inline", digest="", rows=({},)))
    assert (empty.rows, empty.schema.names, list(empty.batches())) == (1, [], [[{}]])
