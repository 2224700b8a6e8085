"""Queries: what SQLite and PostgreSQL hold becomes a table; nothing is written, no password told, memory is flat."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.sources.tables import open_table
from llm_jobs_tests.servers.postgres import PostgresServer
from llm_jobs_tests.sources.databases import asked, frozen_query, query_input, reach, sqlite_file

ROWS = 300_000
SHOP = "shop"
TYPES = """
SELECT 7::int AS i, 1.50::numeric(10,2) AS price, 0.1::float8 AS f, 'NaN'::float8 AS nothing, true AS b, 'a%b :c' AS t,
  date '2026-03-01' AS d, timestamptz '2026-03-01 12:00:00+02' AS at, timestamp '2026-03-01 12:00:00.5' AS naive,
  time '09:30' AS clock, '{"a": [1, {"b": null}]}'::jsonb AS j, ARRAY[1, 2] AS list,
  'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS u, '10.0.0.1'::inet AS ip, NULL::int AS empty
"""


@pytest.fixture(scope="module")
def shop_url(postgres: PostgresServer) -> str:
    """A database with a user who has a password, and a table."""
    url = postgres.create_database("shop")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE reviews (id int PRIMARY KEY, said text)")
        connection.execute("INSERT INTO reviews VALUES (1, 'good'), (2, 'bad')")
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 'hunter22-secret'")
    return url


def postgres_rows(text: str, folder: Path, url: str) -> list[dict[str, object]]:
    source = query_input(text, SHOP)
    return asked(source, folder, reach(folder, {"LLM_JOBS_CONNECTION_SHOP": url}))  # type: ignore[return-value]


def test_values_of_postgresql_become_what_json_has(tmp_path: Path, shop_url: str) -> None:
    [row] = postgres_rows(TYPES, tmp_path, shop_url)
    assert row == {
        "i": 7,
        "price": "1.50",
        "f": 0.1,
        "nothing": None,
        "b": True,
        "t": "a%b :c",
        "d": "2026-03-01",
        "at": "2026-03-01T10:00:00+00:00",
        "naive": "2026-03-01T12:00:00.500000",
        "clock": "09:30:00",
        "j": {"a": [1, {"b": None}]},
        "list": [1, 2],
        "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "ip": "10.0.0.1",
        "empty": None,
    }


def test_the_result_shows_times_and_decimals_by_their_types(tmp_path: Path, shop_url: str) -> None:
    source = query_input(TYPES, SHOP)
    table = open_table(source, frozen_query(source, tmp_path, reach(tmp_path, {"LLM_JOBS_CONNECTION_SHOP": shop_url})))
    assert {name: table.schema.field(name).type for name in ("price", "d", "at", "naive", "clock", "i")} == {
        "price": pa.decimal128(3, 2),
        "d": pa.date32(),
        "at": pa.timestamp("us", tz="UTC"),
        "naive": pa.timestamp("us"),
        "clock": pa.time64("us"),
        "i": pa.int64(),
    }


def test_a_decimal_is_the_same_text_whatever_stands_in_other_rows(tmp_path: Path, shop_url: str) -> None:
    rows = postgres_rows("SELECT v FROM (VALUES (1.5), (2.125)) AS t(v)", tmp_path, shop_url)
    assert [row["v"] for row in rows] == ["1.5", "2.125"]


WRITES = [
    "WITH gone AS (DELETE FROM reviews RETURNING id) SELECT * FROM gone",
    "WITH more AS (INSERT INTO reviews VALUES (3, 'x') RETURNING id) SELECT * FROM more",
    "SELECT nextval('counter')",
    "SELECT 1; DROP TABLE reviews",
    "SELECT 1; COMMIT; DROP TABLE reviews",
    "DELETE FROM reviews",
    "DROP TABLE reviews",
    "COPY reviews TO '/tmp/x'",
]


@pytest.mark.parametrize("text", WRITES)
def test_postgresql_refuses_a_query_that_writes(tmp_path: Path, shop_url: str, text: str) -> None:
    with psycopg.connect(shop_url, autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE IF NOT EXISTS counter")
        with pytest.raises(DocumentError, match="the database refuses the query"):
            postgres_rows(text, tmp_path, shop_url)
        assert connection.execute("SELECT count(*) FROM reviews").fetchone() == (2,)
    assert not list((tmp_path / "inputs").glob("*.parquet"))


def test_what_a_function_does_all_the_same_is_undone(tmp_path: Path, shop_url: str) -> None:
    with psycopg.connect(shop_url, autocommit=True) as connection:
        postgres_rows("SELECT lo_create(0)::int AS made", tmp_path, shop_url)
        assert connection.execute("SELECT count(*) FROM pg_largeobject_metadata").fetchone() == (0,)


@pytest.mark.parametrize(
    "text", ["DELETE FROM t RETURNING a", "INSERT INTO t VALUES (9)", "DROP TABLE t", "SELECT 1; DROP TABLE t"]
)
def test_sqlite_refuses_a_query_that_writes(tmp_path: Path, text: str) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t(a)", [(1,)])
    with pytest.raises(DocumentError, match="the database refuses the query"):
        asked(query_input(text, "shop.db", file=path), tmp_path, reach(tmp_path))
    assert asked(query_input("SELECT a FROM t", "shop.db", file=path), tmp_path, reach(tmp_path)) == [{"a": 1}]


def test_a_named_connection_may_lead_to_sqlite_which_is_read_only_too(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t(a)", [(1,)])
    there = reach(tmp_path, {"LLM_JOBS_CONNECTION_SHOP": f"sqlite:///{path}"})
    assert asked(query_input("SELECT a FROM t", SHOP), tmp_path, there) == [{"a": 1}]
    with pytest.raises(DocumentError, match="readonly"):
        asked(query_input("DELETE FROM t RETURNING a", SHOP), tmp_path / "other", there)


def test_an_empty_result_has_its_columns(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t(a, b)")
    source = query_input("SELECT a, b FROM t", "shop.db", file=path)
    table = open_table(source, frozen_query(source, tmp_path, reach(tmp_path)))
    assert (table.rows, table.schema.names) == (0, ["a", "b"])


MISTAKES = [
    ("SELECT x'00ff' AS raw", "values of type bytes", "hex(column)"),
    ("SELECT 1 AS a, 2 AS a", "two columns have one name", "AS other_a"),
    ("SELECT 9e999 AS a", "infinite", "CAST"),
    ("SELECT a FROM (SELECT 1 AS a UNION ALL SELECT 'x')", "holds an integer (line 1) and text (line 2)", "types"),
    ("SELECT b FROM t", "no such column: b", "database's own client"),
    ("SELEC", "syntax error", "database's own client"),
]


@pytest.mark.parametrize(("text", "what", "remedy"), MISTAKES)
def test_a_query_whose_values_are_no_rows_is_refused_with_the_remedy(
    tmp_path: Path, text: str, what: str, remedy: str
) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t(a)")
    with pytest.raises(DocumentError) as caught:
        asked(query_input(text, "shop.db", file=path), tmp_path, reach(tmp_path))
    assert what in str(caught.value)
    assert remedy in str(caught.value)


def test_declared_types_convert_the_columns_of_a_query(tmp_path: Path) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t(a, b)", [(1, "7"), ("x", "8")])
    source = query_input("SELECT a, b FROM t", "shop.db", file=path, types={"a": "text", "b": "integer"})
    assert asked(source, tmp_path, reach(tmp_path)) == [{"a": "1", "b": 7}, {"a": "x", "b": 8}]


@pytest.mark.parametrize("name", ["sh op?.db", "100%.db", "a#b.db", "ü.db"])
def test_a_database_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = sqlite_file(tmp_path, "CREATE TABLE t(a)", [(1,)]).rename(tmp_path / name)
    assert asked(query_input("SELECT a FROM t", name, file=path), tmp_path, reach(tmp_path)) == [{"a": 1}]


def test_no_error_tells_a_password(tmp_path: Path, postgres: PostgresServer, shop_url: str) -> None:
    secret = "hunter22-secret"
    urls = {
        "wrong port": f"postgresql://reader:{secret}@127.0.0.1:1/shop",
        "wrong database": f"postgresql://reader:{secret}@127.0.0.1:{postgres.port}/none",
        "no URL": f"postgresql//reader:{secret}@127.0.0.1",
        "no driver": f"oracle://reader:{secret}@127.0.0.1/shop",
        "bad port": f"postgresql://reader:{secret}@127.0.0.1:port/shop",
        "refused": f"postgresql://reader:{secret}@127.0.0.1:{postgres.port}/shop",
    }
    for said, url in urls.items():
        there = reach(tmp_path, {"LLM_JOBS_CONNECTION_SHOP": url})
        with pytest.raises((SetupError, DocumentError)) as caught:
            asked(query_input("SELECT * FROM reviews", SHOP), tmp_path / said, there)
        assert secret not in f"{caught.value!r}{caught.value}{caught.value.__cause__}", said
        assert caught.value.__cause__ is None


def test_a_source_that_names_another_database_than_the_connection_is_refused(tmp_path: Path, shop_url: str) -> None:
    there = reach(tmp_path, {"LLM_JOBS_CONNECTION_SHOP": shop_url})
    with pytest.raises(SetupError, match="leads to postgresql"):
        asked(query_input("SELECT 1 AS a", SHOP, dialect="sqlite"), tmp_path, there)
    path = sqlite_file(tmp_path, "CREATE TABLE t(a)")
    with pytest.raises(SetupError, match="leads to sqlite"):
        asked(query_input("SELECT 1 AS a", "shop.db", file=path, dialect="postgresql"), tmp_path, there)


MEASURED = """
import json, resource, sys
from pathlib import Path
from llm_jobs_tests.sources.databases import frozen_query, query_input, reach
folder, url, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
there = reach(folder, {"LLM_JOBS_CONNECTION_SHOP": url})
def peak(n):
    source = query_input(f"SELECT * FROM big LIMIT {n}", "shop")
    frozen = frozen_query(source, folder / str(n), there)
    assert frozen.rows == n, frozen.rows
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps([peak(30_000), peak(rows)]))
"""


def peaks_mib(folder: Path, url: str) -> tuple[int, int]:
    """The peak memory of a process after 30,000 rows and after all of them, in MiB."""
    command = [sys.executable, "-c", MEASURED, str(folder), url, str(ROWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    small, large = json.loads(done.stdout)
    return small, large


def test_memory_stays_flat_over_300_000_rows_of_postgresql(tmp_path: Path, shop_url: str) -> None:
    with psycopg.connect(shop_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE big AS SELECT i AS id, repeat(md5(i::text), 10) AS said FROM generate_series(1, {ROWS}) i"
        )
    small, large = peaks_mib(tmp_path, shop_url)
    assert large - small < 40, (small, large)


def test_memory_stays_flat_over_300_000_rows_of_sqlite(tmp_path: Path) -> None:
    path = sqlite_file(
        tmp_path,
        f"""CREATE TABLE big AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
        SELECT i AS id, hex(randomblob(160)) AS said FROM n""",
    )
    small, large = peaks_mib(tmp_path, f"sqlite:///{path}")
    assert large - small < 40, (small, large)
