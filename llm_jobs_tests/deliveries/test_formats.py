"""Tables as text: what the format can say comes back exactly, whole and in order."""

from __future__ import annotations

import datetime as dt
import io
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_jobs.deliveries.formats import TableFormat, write_table
from llm_jobs.documents.job import Input
from llm_jobs.sources.rows import iterate

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
SCHEMA = pa.schema(
    [
        ("text", pa.string()),
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("flag", pa.bool_()),
        ("list", pa.list_(pa.float64())),
        ("object", pa.struct([("a", pa.string())])),
    ]
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "text": st.none() | TEXT,
            "integer": st.none() | st.integers(-(2**63), 2**63 - 1),
            "number": st.none() | NUMBERS,
            "flag": st.none() | st.booleans(),
            "list": st.none() | st.lists(NUMBERS),
            "object": st.none() | st.fixed_dictionaries({"a": TEXT}),
        }
    ),
    max_size=6,
)
MOMENT = dt.datetime(2026, 11, 21, 12, 30, tzinfo=dt.UTC)


def output_of(table: pa.Table, form: TableFormat) -> bytes:
    stream = io.BytesIO()
    assert write_table(table.to_reader(max_chunksize=2), stream, form) == table.num_rows
    return stream.getvalue()


@settings(max_examples=60)
@given(rows=ROWS)
def test_json_and_parquet_come_back_as_they_were(rows: list[dict[str, object]]) -> None:
    table = pa.Table.from_pylist(rows, SCHEMA)
    assert json.loads(output_of(table, "json")) == rows
    lines = output_of(table, "jsonl").split(b"\n")
    assert [json.loads(line) for line in lines[:-1]] == rows
    assert pq.read_table(io.BytesIO(output_of(table, "parquet"))).equals(table)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.fixed_dictionaries({"id": st.integers(0, 9), "a,b": TEXT, "x": TEXT}), max_size=6))
def test_text_comes_back_exactly_from_csv(tmp_path: Path, rows: list[dict[str, object]]) -> None:
    path = tmp_path / "table.csv"
    schema = pa.schema([("id", pa.int64()), ("a,b", pa.string()), ("x", pa.string())])
    path.write_bytes(output_of(pa.Table.from_pylist(rows, schema), "csv"))
    source = Input(kind="file", digest="", url=str(path), format="csv", types={"id": "integer"})
    assert [row for batch in iterate(source) for row in batch] == rows


def test_csv_tells_null_from_empty_text_and_writes_values_as_json_does() -> None:
    table = pa.table(
        {
            "a": [None, "", " b"],
            "flag": [True, None, False],
            "list": [[1, 2], None, []],
            "moment": pa.array([MOMENT, None, None], pa.timestamp("us", tz="UTC")),
            "price": [Decimal("1.50"), None, None],
        }
    )
    assert output_of(table, "csv").decode() == (
        'a,flag,list,moment,price\n,true,"[1,2]",2026-11-21T12:30:00+00:00,1.50\n"",,,,\n" b",false,[],,\n'
    )


def test_markdown_is_one_table_whatever_the_answers_hold() -> None:
    table = pa.table({"answer": ["a|b", "two\nlines\r\n<img src=x>", None, "\\|"]})
    assert output_of(table, "markdown").decode().splitlines() == [
        "| answer |",
        "| --- |",
        "| a\\|b |",
        "| two<br>lines<br>&lt;img src=x> |",
        "|  |",
        "| \\\\\\| |",
    ]


@pytest.mark.parametrize(
    ("form", "expected"), [("csv", b"a\n"), ("json", b"[]\n"), ("jsonl", b""), ("markdown", b"| a |\n| --- |\n")]
)
def test_a_table_without_rows_is_whole(form: TableFormat, expected: bytes) -> None:
    assert output_of(pa.table({"a": pa.array([], pa.string())}), form) == expected
