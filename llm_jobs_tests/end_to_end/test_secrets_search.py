"""The search for secrets finds what is planted, wherever and however: a search that finds nothing proves nothing."""

from __future__ import annotations

import base64
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from llm_jobs.ledger.payloads import PayloadCodec
from llm_jobs_tests.end_to_end.secret_runs import awkward, ordinary
from llm_jobs_tests.end_to_end.secret_search import Search, below, in_postgres
from llm_jobs_tests.end_to_end.secret_server import FORMS
from llm_jobs_tests.servers.postgres import postgres_server

KEYS = {"awkward": awkward("op"), "ordinary": ordinary("op")}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("key", KEYS)
def test_every_form_of_a_key_is_found(key: str, form: str) -> None:
    told = f"before {FORMS[form]('authorization: Bearer ' + KEYS[key])} after"
    assert Search(KEYS).leaks([("here", told.encode())]) == [f"here: {key}"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_found_when_it_was_sent_in_a_query_and_encoded_again(key: str) -> None:
    sent = quote(KEYS[key])
    for told in (quote(sent), base64.b64encode(f"x{sent}".encode()).decode(), sent.upper(), sent.lower()):
        found = Search(KEYS).leaks([("here", told.encode())])
        assert found == [f"here: {key}"] or sent != KEYS[key]


@pytest.mark.parametrize("key", KEYS)
def test_a_part_of_a_key_is_found_and_the_name_of_its_variable_is_no_key(key: str) -> None:
    for start in range(len(KEYS[key]) - 16):
        assert Search(KEYS).leaks([("here", KEYS[key][start : start + 16].encode())])
    assert Search(KEYS).leaks([("here", b"OPENAI_API_KEY ${OPENAI_API_KEY} sk- sk-proj Bearer")]) == []


def _in_file(folder: Path, key: str) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "log.txt").write_text(f"x{key}x")


def _in_name(folder: Path, key: str) -> None:
    (folder / key).touch()


def _in_compressed_column(folder: Path, key: str) -> None:
    with closing(sqlite3.connect(folder / "a.db")) as connection, connection:
        connection.execute("CREATE TABLE t (n INTEGER, body BLOB)")
        body = zstandard.ZstdCompressor().compress(key.encode() + bytes(9999))
        connection.execute("INSERT INTO t VALUES (1, ?)", (body,))


def _in_ledger_body(folder: Path, key: str) -> None:
    with closing(sqlite3.connect(folder / "a.db")) as connection, connection:
        connection.execute("CREATE TABLE payloads (intent_id INTEGER, request BLOB)")
        body = PayloadCodec().pack(
            b'{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"%b"}]}' % key.encode()
        )
        connection.execute("INSERT INTO payloads VALUES (1, ?)", (body,))


def _in_parquet(folder: Path, key: str) -> None:
    pq.write_table(pa.table({"n": [1, 2], "text": ["x", key]}), folder / "a.parquet", compression="zstd")


def _in_parquet_metadata(folder: Path, key: str) -> None:
    pq.write_table(pa.table({"n": [1]}).replace_schema_metadata({"made by": key}), folder / "a.parquet")


@pytest.mark.parametrize(
    "plant", [_in_file, _in_name, _in_compressed_column, _in_ledger_body, _in_parquet, _in_parquet_metadata]
)
def test_a_planted_key_is_found_in_a_folder(tmp_path: Path, plant: Callable[[Path, str], None]) -> None:
    plant(tmp_path, KEYS["ordinary"])
    leaks = Search(KEYS).leaks(below(tmp_path))
    assert leaks
    assert all(leak.endswith(": ordinary") for leak in leaks)


def test_a_planted_key_is_found_in_postgresql() -> None:
    with postgres_server() as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE t (n BIGINT, body BYTEA)")
            packed = zstandard.ZstdCompressor().compress(KEYS["awkward"].encode())
            connection.execute("INSERT INTO t VALUES (1, %s)", (packed,))
        assert Search(KEYS).leaks(in_postgres(server.url)) == ["PostgreSQL t: awkward"]
