"""Writing and reading results: rows come back as they were, in order, in bounded groups, across jobs."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_jobs.errors import DocumentError, IntegrityError
from llm_jobs.results import writing
from llm_jobs.results.columns import ANSWERED_AT, STATUS, result_schema
from llm_jobs.results.layout import result_path
from llm_jobs.results.opening import open_store
from llm_jobs.results.reading import Stored, iter_batches, read, schema_of
from llm_jobs.results.verifying import verify
from llm_jobs.results.writing import ResultWriter
from llm_jobs_tests.results.stores import JOB, OTHER_JOB, SCHEMA, write_result

PATH = result_path(JOB, 1)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
MIXED = pa.schema(
    [
        ("text", pa.string()),
        ("integer", pa.int64()),
        ("number", pa.float64()),
        ("flag", pa.bool_()),
        ("list", pa.list_(pa.int64())),
        ("object", pa.struct([("a", pa.string()), ("b", pa.float64())])),
        ("nothing", pa.null()),
    ]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.none() | TEXT,
            "integer": st.none() | st.integers(-(2**63), 2**63 - 1),
            "number": st.none() | st.floats(allow_nan=False),
            "flag": st.none() | st.booleans(),
            "list": st.none() | st.lists(st.none() | st.integers(0, 9)),
            "object": st.none() | st.fixed_dictionaries({"a": st.none() | TEXT, "b": st.floats(0, 1)}),
            "no column": TEXT,
        },
    ),
    max_size=9,
)


def written(folder: Path, schema: pa.Schema, rows: list[dict[str, object]], path: str = PATH) -> pa.Table:
    store = open_store(str(folder))
    with ResultWriter(store, path, schema) as writer:
        writer.write(rows)
        writer.close()
    return pq.read_table(store.locate(path), partitioning=None)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_rows_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, object]]) -> None:
    table = written(tmp_path_factory.mktemp("result"), MIXED, rows)
    assert table.schema == MIXED
    assert table.to_pylist() == [{name: row.get(name) for name in MIXED.names} for row in rows]


@given(value=JSON_VALUES)
def test_what_is_no_text_is_its_json_in_a_text_column(value: object) -> None:
    (text,) = writing.column_array([value], pa.field("x", pa.string())).to_pylist()
    if value is None or isinstance(value, str):
        assert text == value
    else:
        assert json.loads(text) == value


def test_text_becomes_the_time_or_the_number_that_it_says(tmp_path: Path) -> None:
    moment = dt.datetime(2026, 11, 21, 12, 30, 0, 250_000)
    schema = pa.schema(
        [
            ("day", pa.date32()),
            ("ms", pa.timestamp("ms")),
            ("utc", pa.timestamp("us", tz="UTC")),
            ("time", pa.time32("s")),
            ("price", pa.decimal128(5, 2)),
            (ANSWERED_AT, pa.timestamp("us", tz="UTC")),
        ]
    )
    row: dict[str, object] = {
        "day": "2026-11-21",
        "ms": "2026-11-21T12:30:00.250000",
        "utc": "2026-11-21T12:30:00.250000+00:00",
        "time": "12:30:00",
        "price": "1.50",
        ANSWERED_AT: 1_000_000,
    }
    back = written(tmp_path, schema, [row, {}]).to_pylist()
    assert back[0] == {
        "day": moment.date(),
        "ms": moment,
        "utc": moment.replace(tzinfo=dt.UTC),
        "time": dt.time(12, 30),
        "price": Decimal("1.50"),
        ANSWERED_AT: dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC),
    }
    assert set(back[1].values()) == {None}


def test_a_value_of_another_type_names_its_column(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="column id is int64"):
        written(tmp_path, SCHEMA, [{"id": "one"}])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_rows_are_written_in_groups_of_sixteen_thousand_compressed_with_zstd(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": number, "answer": "x"} for number in range(40_000)]
    assert written(tmp_path, SCHEMA, rows).column("id").to_pylist() == list(range(40_000))
    footer = pq.ParquetFile(tmp_path / PATH).metadata
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    assert [group.num_rows for group in groups] == [16_384, 16_384, 7_232]
    assert groups[0].column(1).compression == "ZSTD"


def test_long_answers_are_written_in_smaller_groups(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": number, "answer": "x" * 40_000} for number in range(2_000)]
    written(tmp_path, SCHEMA, rows)
    footer = pq.ParquetFile(tmp_path / PATH).metadata
    assert [footer.row_group(index).num_rows for index in range(footer.num_row_groups)] == [1024, 976]


def test_a_result_without_rows_has_its_columns(tmp_path: Path) -> None:
    assert written(tmp_path, SCHEMA, []).schema == SCHEMA


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    stored = write_result(store, PATH)
    verify(store, PATH, sha256=stored.sha256)
    path = Path(store.locate(PATH))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-5] + b"X" + content[-4:])
    with pytest.raises(IntegrityError, match=stored.sha256):
        verify(store, PATH, sha256=stored.sha256)


def two_results(folder: Path, first: pa.Schema, second: pa.Schema, rows: list[dict[str, object]]) -> list[Stored]:
    other = result_path(OTHER_JOB, 2)
    written(folder, first, [rows[0]])
    written(folder, second, [rows[1]], other)
    return [Stored(path=PATH, submitted_ns=1_000_000_000), Stored(path=other)]


def test_results_of_several_jobs_are_one_table_that_says_whose_a_row_is(tmp_path: Path) -> None:
    first = result_schema([pa.field("id", pa.int64())], [pa.field("a", pa.string())], sample=False)
    second = result_schema([pa.field("id", pa.float64())], [pa.field("b", pa.null())], sample=True)
    results = two_results(tmp_path, first, second, [{"id": 1, "a": "x", STATUS: "succeeded"}, {"id": 0.5}])
    table = read(open_store(str(tmp_path)), results)
    assert table.schema == schema_of(open_store(str(tmp_path)), results)
    assert table.column_names[:4] == ["id", "a", "b", STATUS]
    assert table.select(["id", "a", "b", STATUS, "llm_job"]).to_pylist() == [
        {"id": 1.0, "a": "x", "b": None, STATUS: "succeeded", "llm_job": JOB},
        {"id": 0.5, "a": None, "b": None, STATUS: None, "llm_job": OTHER_JOB},
    ]
    submitted = dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC)
    assert table.column("llm_submitted_at").to_pylist() == [submitted, None]


def test_objects_of_two_jobs_are_unified_member_by_member(tmp_path: Path) -> None:
    first = pa.schema([("x", pa.struct([("a", pa.int64())])), ("y", pa.list_(pa.null()))])
    second = pa.schema([("x", pa.struct([("b", pa.string()), ("a", pa.float64())])), ("y", pa.list_(pa.int64()))])
    results = two_results(tmp_path, first, second, [{"x": {"a": 1}, "y": []}, {"x": {"b": "t", "a": 0.5}, "y": [1]}])
    assert read(open_store(str(tmp_path)), results).select(["x", "y"]).to_pylist() == [
        {"x": {"a": 1.0, "b": None}, "y": []},
        {"x": {"a": 0.5, "b": "t"}, "y": [1]},
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.bool_(), pa.list_(pa.int64()), pa.struct([("a", pa.int64())])])
def test_types_that_conflict_are_told_with_both_jobs(tmp_path: Path, kind: pa.DataType) -> None:
    results = two_results(tmp_path, pa.schema([("x", pa.int64())]), pa.schema([("x", kind)]), [{}, {}])
    with pytest.raises(DocumentError) as caught:
        schema_of(open_store(str(tmp_path)), results)
    assert JOB in str(caught.value)
    assert OTHER_JOB in str(caught.value)


def test_an_integer_that_another_job_s_type_would_change_is_refused(tmp_path: Path) -> None:
    schemas = pa.schema([("x", pa.int64())]), pa.schema([("x", pa.float64())])
    results = two_results(tmp_path, *schemas, [{"x": 2**53 + 1}, {"x": 0.5}])
    with pytest.raises(DocumentError, match=JOB):
        read(open_store(str(tmp_path)), results)


def test_batches_are_as_small_as_asked(tmp_path: Path) -> None:
    written(tmp_path, SCHEMA, [{"id": number} for number in range(10)])
    batches = iter_batches(open_store(str(tmp_path)), [Stored(path=PATH)], batch_rows=4)
    assert [batch.num_rows for batch in batches] == [4, 4, 2]
