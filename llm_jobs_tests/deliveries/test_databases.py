"""Deliveries to tables: made, fitted, appended to, upserted, and never twice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from llm_jobs.deliveries.databases import deliver
from llm_jobs.deliveries.subject import Delivered
from llm_jobs.documents.destinations import DatabaseOutput
from llm_jobs.errors import DeliveryError, DeliveryRefused, SetupError
from llm_jobs_tests.deliveries.results import JOB, SUBJECT, numbered, stored

APPEND = DatabaseOutput(table="answers", connection="shop", database="shop", batch_size=3)
UPSERT = replace(APPEND, mode="upsert", key=("id",))


def run(url: str, statement: str) -> list[Any]:
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        done = connection.execute(sa.text(statement))
        rows = [tuple(row) for row in done] if done.returns_rows else []
    engine.dispose()
    return rows


def delivered(url: str, table: pa.Table, output: DatabaseOutput = APPEND, *, epoch_ns: int | None = None) -> Delivered:
    subject = SUBJECT if epoch_ns is None else replace(SUBJECT, epoch_ns=epoch_ns)
    return deliver(stored(table), output, subject, url=url)


def test_a_table_is_made_and_each_row_is_written_once(url: str) -> None:
    first = delivered(url, numbered(7))
    again = delivered(url, numbered(7))
    assert (first.rows, first.is_new, again.rows, again.is_new) == (7, True, 7, False)
    assert first.destination == "shop, table answers"
    assert first.details == {"batches": 3, "batches written now": 3}
    rows = run(url, "SELECT llm_job, llm_row, id, answer FROM answers ORDER BY llm_row")
    assert rows == [(JOB, number, number, f"answer {number}") for number in range(7)]


def test_another_result_of_the_job_is_appended(url: str) -> None:
    delivered(url, numbered(2))
    table = numbered(2).set_column(3, "llm_epoch", pa.array([5, 5]))
    assert delivered(url, table, epoch_ns=5).is_new
    assert run(url, "SELECT count(*), count(DISTINCT llm_epoch) FROM answers") == [(4, 2)]


def test_a_smaller_batch_at_the_second_try_writes_nothing_twice(url: str) -> None:
    delivered(url, numbered(7))
    assert not delivered(url, numbered(7), replace(APPEND, batch_size=2)).is_new
    assert run(url, "SELECT count(*) FROM answers") == [(7,)]


def test_what_a_killed_delivery_left_undone_is_done_and_nothing_else(url: str) -> None:
    delivered(url, numbered(7))
    run(url, "DELETE FROM answers WHERE llm_row >= 3 AND llm_row < 6")  # as if the second batch had never committed
    run(url, "DELETE FROM llm_jobs_deliveries WHERE batch = 1")
    assert delivered(url, numbered(7)).details == {"batches": 3, "batches written now": 1}
    assert run(url, "SELECT llm_row FROM answers ORDER BY llm_row") == [(number,) for number in range(7)]


def test_two_deliveries_at_once_write_each_row_once(url: str) -> None:
    output = replace(APPEND, batch_size=5)
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(delivered, url, numbered(200), output) for _ in range(4)]
        assert [each.result().rows for each in done] == [200] * 4
    assert run(url, "SELECT count(*), count(DISTINCT llm_row) FROM answers") == [(200, 200)]


def test_a_table_that_is_gone_is_made_and_filled_again(url: str) -> None:
    delivered(url, numbered(4))
    run(url, "DROP TABLE answers")
    assert delivered(url, numbered(4)).is_new
    assert run(url, "SELECT count(*) FROM answers") == [(4,)]


TYPED = pa.table(
    {
        "text": pa.array(["a\0b", None]),
        "small": pa.array([1, None], pa.int8()),
        "huge": pa.array([2**64 - 1, None], pa.uint64()),
        "real": pa.array([0.1, None], pa.float32()),
        "flag": pa.array([True, None]),
        "at": pa.array([datetime(2026, 11, 21, 13, 5, 7, 123456, UTC), None], pa.timestamp("ns", "UTC")),
        "day": pa.array([date(2026, 11, 21), None]),
        "price": pa.array([Decimal("1.50"), None], pa.decimal128(10, 2)),
        "vector": pa.array([[0.5, float("nan")], None], pa.list_(pa.float64())),
        "object": pa.array([{"a": "x\0y\\u0000\\", "b": [1]}, None]),
        "kind": pa.array(["x", None]).dictionary_encode(),
        "raw": pa.array([b"\x00\x01", None], pa.binary()),
        "nothing": pa.nulls(2),
    }
)


def test_every_type_arrives_in_postgresql(postgres_url: str) -> None:
    delivered(postgres_url, TYPED)
    (row,) = run(postgres_url, "SELECT * FROM answers WHERE llm_row = 0")
    assert row[3:] == (
        *("a\ufffdb", 1, Decimal(2**64 - 1), pytest.approx(0.1), True),
        *(datetime(2026, 11, 21, 13, 5, 7, 123456, UTC), date(2026, 11, 21), Decimal("1.50")),
        *([0.5, None], {"a": "x\ufffdy\\u0000\\", "b": [1]}, "x", b"\x00\x01", None),
    )
    assert run(postgres_url, "SELECT * FROM answers WHERE llm_row = 1")[0][3:] == (None,) * 13
    types = dict(run(postgres_url, "SELECT column_name, data_type FROM information_schema.columns"))
    wanted = {"at": "timestamp with time zone", "vector": "jsonb", "small": "bigint", "huge": "numeric"}
    assert {name: types[name] for name in wanted} == wanted


def test_every_type_arrives_in_sqlite(tmp_path: Any) -> None:
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    delivered(url, TYPED)
    (row,) = run(url, "SELECT * FROM answers WHERE llm_row = 0")
    assert row[3:] == (
        *("a\ufffdb", 1, str(2**64 - 1), pytest.approx(0.1), 1),
        *("2026-11-21T13:05:07.123456+00:00", "2026-11-21", "1.50"),
        *("[0.5,null]", '{"a":"x\ufffdy\\\\u0000\\\\","b":[1]}', "x", b"\x00\x01", None),
    )


def test_format_json_keeps_the_row_in_one_column(url: str) -> None:
    delivered(url, numbered(2), replace(APPEND, format="json", key=("id",)))
    engine = sa.create_engine(url, poolclass=NullPool)
    table = sa.Table("answers", sa.MetaData(), autoload_with=engine)
    with engine.connect() as connection:
        rows = connection.execute(sa.select(table).order_by(table.c.llm_row)).mappings().all()
    engine.dispose()
    assert [row["id"] for row in rows] == [0, 1]
    assert [row["result"]["answer"] for row in rows] == ["answer 0", "answer 1"]
    assert table.c.keys() == ["llm_job", "llm_epoch", "llm_row", "id", "result"]


def test_format_json_keeps_the_whole_row_of_a_result_with_a_column_named_result(url: str) -> None:
    table = numbered(1).append_column("result", pa.array(["the answer"]))
    delivered(url, table, replace(APPEND, format="json"))
    [(text,)] = run(url, "SELECT CAST(result AS TEXT) FROM answers")
    assert (json.loads(text)["id"], json.loads(text)["result"]) == (0, "the answer")
    with pytest.raises(DeliveryRefused, match="the column result of table others holds whole rows"):
        delivered(url, table, replace(UPSERT, table="others", format="json", key=("result",)))


@pytest.mark.parametrize("output", [APPEND, UPSERT])
def test_a_nested_value_that_is_not_there_is_null(url: str, output: DatabaseOutput) -> None:
    delivered(url, numbered(2).append_column("list", pa.array([[1], None])), output)
    assert run(url, "SELECT id FROM answers WHERE list IS NULL") == [(1,)]


@pytest.mark.parametrize("output", [APPEND, UPSERT])
def test_a_text_that_is_not_there_is_null_in_a_column_of_json(url: str, output: DatabaseOutput) -> None:
    run(url, "CREATE TABLE answers (id BIGINT PRIMARY KEY, answer JSON)")
    delivered(url, numbered(2).set_column(1, "answer", pa.array(["x", None])), output)
    assert run(url, "SELECT id FROM answers WHERE answer IS NULL") == [(1,)]


def statuses(table: pa.Table, values: Sequence[str]) -> pa.Table:
    return table.set_column(2, "llm_status", pa.array(values))


def test_an_upsert_replaces_rows_of_the_same_key(url: str) -> None:
    delivered(url, numbered(4), UPSERT)
    later = numbered(4, first=2).set_column(1, "answer", pa.array([f"new {number}" for number in range(2, 6)]))
    delivered(url, later, UPSERT, epoch_ns=5)
    assert run(url, "SELECT id, answer FROM answers ORDER BY id") == [
        (0, "answer 0"),
        (1, "answer 1"),
        *((number, f"new {number}") for number in range(2, 6)),
    ]


def test_a_row_that_failed_replaces_no_answer_and_fills_a_gap(url: str) -> None:
    delivered(url, numbered(2), UPSERT)
    failed = statuses(numbered(3).set_column(1, "answer", pa.nulls(3, pa.string())), ["failed"] * 3)
    delivered(url, failed, UPSERT, epoch_ns=5)
    assert run(url, "SELECT id, answer FROM answers ORDER BY id") == [(0, "answer 0"), (1, "answer 1"), (2, None)]


def test_of_equal_keys_the_last_answer_stays(url: str) -> None:
    table = pa.table(
        {
            "id": [1, 1, 1],
            "answer": ["first", "second", None],
            "llm_status": ["succeeded", "succeeded", "failed"],
            "llm_epoch": [SUBJECT.epoch_ns] * 3,
        }
    )
    delivered(url, table, UPSERT)
    assert run(url, "SELECT id, answer FROM answers") == [(1, "second")]


def test_a_table_that_was_there_takes_the_columns_that_it_has(url: str) -> None:
    run(url, "CREATE TABLE answers (id BIGINT PRIMARY KEY, answer TEXT, noted TIMESTAMP DEFAULT CURRENT_TIMESTAMP)")
    delivered(url, numbered(2), UPSERT)
    assert run(url, "SELECT id, answer FROM answers ORDER BY id") == [(0, "answer 0"), (1, "answer 1")]


@pytest.mark.parametrize(
    ("definition", "output", "message"),
    [
        ("id BIGINT", APPEND, "it lacks the columns answer"),
        ("id BIGINT, answer TEXT, who TEXT NOT NULL", APPEND, "its columns who need a value"),
        ("id BIGINT, answer TEXT", UPSERT, r"nothing makes its key \(id\) unique"),
        ("id BIGINT", replace(APPEND, format="json"), "it lacks the columns result"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_before_anything_is_written(
    url: str, definition: str, output: DatabaseOutput, message: str
) -> None:
    run(url, f"CREATE TABLE answers ({definition})")
    with pytest.raises(DeliveryRefused, match=message):
        delivered(url, numbered(2), output)
    assert run(url, "SELECT count(*) FROM answers") == [(0,)]


def test_a_column_of_another_type_is_refused_before_anything_is_written(postgres_url: str) -> None:
    run(postgres_url, "CREATE TABLE answers (id TEXT, answer INTEGER)")
    with pytest.raises(DeliveryRefused, match=r"column id is TEXT, and the result's is integer; .*answer is INTEGER"):
        delivered(postgres_url, numbered(2))


def test_a_key_that_the_result_has_not_is_refused_with_the_nearest(url: str) -> None:
    with pytest.raises(DeliveryRefused, match="no column 'idd' of the key of table answers; did you mean 'id'"):
        delivered(url, numbered(2), replace(UPSERT, key=("idd",)))


def test_a_row_without_its_key_is_refused_before_anything_is_written(url: str) -> None:
    table = numbered(5).set_column(0, "id", pa.array([0, 1, 2, 3, None]))
    with pytest.raises(DeliveryRefused, match="row 4 has no value in id"):
        delivered(url, table, UPSERT)
    assert not sa_has_table(url, "answers")


def sa_has_table(url: str, name: str) -> bool:
    engine = sa.create_engine(url, poolclass=NullPool)
    found = sa.inspect(engine).has_table(name)
    engine.dispose()
    return found


def test_a_table_may_lie_in_a_schema(postgres_url: str) -> None:
    run(postgres_url, "CREATE SCHEMA reports")
    output = replace(APPEND, table="reports.answers")
    delivered(postgres_url, numbered(2), output)
    assert not delivered(postgres_url, numbered(2), output).is_new
    assert run(postgres_url, "SELECT count(*) FROM reports.answers") == [(2,)]
    assert run(postgres_url, "SELECT count(*) FROM reports.llm_jobs_deliveries") == [(2,)]


def test_a_name_that_the_database_would_cut_short_is_refused(postgres_url: str) -> None:
    with pytest.raises(DeliveryRefused, match="has 64 bytes, and postgresql takes 63"):
        delivered(postgres_url, pa.table({"x" * 64: [1]}))


def test_a_server_that_is_down_is_an_error_that_may_pass() -> None:
    with pytest.raises(DeliveryError, match="shop, table answers cannot be written now") as refusal:
        delivered("postgresql+psycopg://ann:hunter22@127.0.0.1:1/shop", numbered(1))
    assert not isinstance(refusal.value, DeliveryRefused)
    assert "hunter22" not in str(refusal.value)


def test_a_value_that_the_database_refuses_is_not_shown(postgres_url: str) -> None:
    run(postgres_url, "CREATE TABLE answers (id BIGINT, answer VARCHAR(3))")
    with pytest.raises(DeliveryRefused, match="value too long") as refusal:
        delivered(postgres_url, numbered(2))
    assert "answer 0" not in str(refusal.value)
    assert run(postgres_url, "SELECT count(*) FROM answers") == [(0,)]


@pytest.mark.parametrize("url", ["mysql://ann@db/shop", "postgresql+nothing://db/shop", "no url"])
def test_a_database_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match=r"SQLite and PostgreSQL|no URL of SQLite or PostgreSQL"):
        delivered(url, numbered(1))


@pytest.mark.parametrize(
    "name",
    [
        'a"; DROP TABLE answers; --',
        "%s",
        ":id",
        "a b",
        "ä",
        "select",
        "nothing",
        "x'y",
        "a.b",
        "a[0]",
        "{}",
        "A",
    ],
)
def test_a_column_may_have_any_name(url: str, name: str) -> None:
    table = pa.table({"id": [1, 2], name: ["x", "y"]})
    delivered(url, table)
    delivered(url, table, replace(UPSERT, table="others", key=(name,)))
    quoted = '"' + name.replace('"', '""') + '"'
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        for where in ("answers", "others"):
            query = f"SELECT id, {quoted} FROM {where} ORDER BY id".replace("%", "%%" if "postgres" in url else "%")
            assert [tuple(row) for row in connection.exec_driver_sql(query)] == [(1, "x"), (2, "y")]
    engine.dispose()


def test_two_columns_that_the_database_cannot_tell_apart_are_refused(tmp_path: Any) -> None:
    with pytest.raises(DeliveryRefused, match="duplicate column name"):
        delivered(f"sqlite:///{tmp_path / 'shop.db'}", pa.table({"id": [1], "ID": [2]}))
