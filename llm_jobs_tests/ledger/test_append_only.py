"""Tables of record refuse every change, also through plain SQL by somebody who knows nothing of this project."""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

from llm_jobs.clock import SetClock
from llm_jobs.errors import ImmutableError
from llm_jobs.ledger.append_only import RECORD_KEYS
from llm_jobs.ledger.base import DeadLetter, JobChange, Ledger, ModelVersion, Receipt, ResultRecord
from llm_jobs.ledger.opening import open_ledger
from llm_jobs_tests.ledger.material import JOB, Asker, outcome
from llm_jobs_tests.servers.postgres import PostgresServer

STATE = {"budgets", "claims", "owners", "reservations", "schema_versions", "tasks"}
RESULT = ResultRecord(
    job_hash=JOB, path=f"{JOB}/1.parquet", epoch_ns=1, sha256="0", size_bytes=9, rows=1, succeeded=1, failed=0
)


def fill(ledger: Ledger) -> None:
    """One row at least in every table of record."""
    Asker(ledger).answer("a")
    Asker(ledger).answer("b")
    ledger.record_result(RESULT)
    ledger.record_model_version(ModelVersion(name="m", definition={"rpm": 5}, who="ada"))
    ledger.record_receipt(Receipt(job_hash=JOB, result_path=RESULT.path, destination="out.csv"))
    ledger.record_change(JobChange(job_hash=JOB, field="priority", value="hot", who="ada"))
    ledger.record_dead_letter(DeadLetter(kind="document", reference="x.yaml", reason="unknown key"))
    ledger.erase(call_hashes=["b"], who="ada", why="asked to")


def fill_batches(url: str) -> None:
    """A batch and what became of it, by hand: this room writes neither."""
    for connection in opened(url):
        columns = "provider, model, base_url, path, job_hash, submission_id, owner_id, token, calls, bytes, sha256"
        values = f"'openai', 'openai/m', 'https://vendor', '/v1/batches', '{JOB}', 1, 1, 't', 2, 9, '0'"
        connection.execute(text(f"INSERT INTO batches ({columns}, recorded_ns) VALUES ({values}, 1)"))
        event = "1, 'submitted', 'batch_1', 'validating', 1"
        columns = "batch_id, kind, vendor_id, status, recorded_ns"
        connection.execute(text(f"INSERT INTO batch_events ({columns}) VALUES ({event})"))
        connection.commit()


def opened(url: str) -> Iterator[Connection]:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@pytest.fixture(scope="module")
def sqlite_records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    url = f"sqlite:///{tmp_path_factory.mktemp('records') / 'ledger.db'}"
    ledger = open_ledger(url, clock=SetClock(1))
    fill(ledger)
    ledger.close()
    fill_batches(url)
    yield from opened(url)


@pytest.fixture(scope="module")
def postgres_records(postgres: PostgresServer) -> Iterator[Connection]:
    url = postgres.create_database("records")
    ledger = open_ledger(url, clock=SetClock(1))
    fill(ledger)
    ledger.close()
    fill_batches(url)
    yield from opened(url)


CHANGEABLE = {
    "submissions": "version",
    "documents": "document",
    "intents": "details",
    "outcomes": "cost_usd",
    "answers": "intent_id",
    "payloads": "answer",
    "model_versions": "why",
    "dead_letters": "body",
    "erasures": "why",
    "results": "sha256",
    "receipts": "rows",
    "job_changes": "why",
    "batches": "details",
    "batch_events": "vendor_id",
}
Change = Callable[[str, str], str]
CHANGES: dict[str, Change] = {
    "update": lambda table, key: f"UPDATE {table} SET {key} = {key}",
    "update of a fact": lambda table, key: f"UPDATE {table} SET {CHANGEABLE[table]} = NULL",
    "delete": lambda table, key: f"DELETE FROM {table}",
}
SQLITE_CHANGES: dict[str, Change] = CHANGES | {
    "replace": lambda table, key: f"REPLACE INTO {table} SELECT * FROM {table}",
    "insert or replace": lambda table, key: f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}",
    "insert or ignore": lambda table, key: f"INSERT OR IGNORE INTO {table} SELECT * FROM {table}",
    "update or replace": lambda table, key: f"UPDATE OR REPLACE {table} SET {key} = {key}",
    "upsert": lambda table, key: (
        f"INSERT INTO {table} SELECT * FROM {table} WHERE true ON CONFLICT ({key}) DO UPDATE SET {key} = excluded.{key}"
    ),
}
POSTGRES_CHANGES: dict[str, Change] = CHANGES | {
    "truncate": lambda table, key: f"TRUNCATE {table} CASCADE",
    "upsert": lambda table, key: (
        f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT ({key}) DO UPDATE SET {key} = excluded.{key}"
    ),
    "merge": lambda table, key: (
        f"MERGE INTO {table} USING {table} AS s ON {table}.{key} = s.{key} WHEN MATCHED THEN DELETE"
    ),
}


def test_every_table_is_either_of_record_or_of_state(sqlite_records: Connection) -> None:
    assert set(inspect(sqlite_records).get_table_names()) - {"sqlite_sequence"} == set(RECORD_KEYS) | STATE
    assert set(CHANGEABLE) == set(RECORD_KEYS)


@pytest.mark.parametrize("change", SQLITE_CHANGES)
@pytest.mark.parametrize("table", RECORD_KEYS)
def test_sqlite_refuses_to_change_a_table_of_record(sqlite_records: Connection, table: str, change: str) -> None:
    for key in RECORD_KEYS[table]:
        assert_refused(sqlite_records, table, SQLITE_CHANGES[change](table, key))


@pytest.mark.parametrize("change", POSTGRES_CHANGES)
@pytest.mark.parametrize("table", RECORD_KEYS)
def test_postgresql_refuses_to_change_a_table_of_record(postgres_records: Connection, table: str, change: str) -> None:
    for key in RECORD_KEYS[table]:
        assert_refused(postgres_records, table, POSTGRES_CHANGES[change](table, key))


def assert_refused(connection: Connection, table: str, statement: str) -> None:
    before = rows_of(connection, table)
    assert before
    with pytest.raises(DBAPIError, match=r"ledger: \w+ is append-only"):
        connection.execute(text(statement))
    connection.rollback()
    assert rows_of(connection, table) == before


def rows_of(connection: Connection, table: str) -> list[str]:
    return sorted(map(repr, connection.execute(text(f"SELECT * FROM {table}"))))


def test_replacing_a_result_under_another_id_is_refused(sqlite_records: Connection) -> None:
    columns = "job_hash, path, epoch_ns, sha256, size_bytes, rows, succeeded, failed, facts, recorded_ns"

    assert_refused(sqlite_records, "results", f"REPLACE INTO results ({columns}) SELECT {columns} FROM results")


def test_a_body_goes_only_after_an_erasure_names_its_call(ledger: Ledger) -> None:
    fill(ledger)

    assert ledger.look_up(["b"])["b"].answer is None
    assert ledger.look_up(["a"])["a"].answer == b"hi"
    assert ledger.audit().inconsistencies == ()


def test_an_erased_call_is_not_asked_again(ledger: Ledger) -> None:
    fill(ledger)

    done = Asker(ledger).ask("b")

    assert done.answered["b"].facts.cost_usd == 0.25
    assert done.answered["b"].answer is None
    assert not done.granted


def test_erasing_a_call_takes_the_bodies_of_all_its_attempts_and_leaves_their_facts(ledger: Ledger) -> None:
    asker = Asker(ledger)
    first = asker.claim("a")
    asker.report("a", first, "truncated", final=False)
    asker.report("a", asker.retry("a").granted["a"])

    assert ledger.erase(call_hashes=["a", "a", "unknown"], who="ada", why="asked to") == 2

    assert [(facts.status, request, answer) for _, facts, request, answer in ledger.attempts("a")] == [
        ("truncated", b"", None),
        ("succeeded", b"", None),
    ]


def test_erasing_a_job_takes_its_documents_and_leaves_who_submitted_it(ledger: Ledger) -> None:
    Asker(ledger)

    assert ledger.erase(job_hashes=[JOB], who="ada", why="asked to") == 1

    [submission] = ledger.submissions(job_hash=JOB)
    assert (submission.document, submission.job, submission.submitter) == (b"", b"", "ada")


@pytest.mark.parametrize("size", [200, 20_000], ids=["in a page", "over several pages"])
def test_what_was_erased_is_in_no_file_of_the_database(tmp_path: Path, clock: SetClock, size: int) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock)
    asker = Asker(ledger)
    intent_id = asker.claim("a")
    secret = random.Random(1).randbytes(size)  # too irregular to be compressed away
    end = secret[-100:]
    ledger.exchange(asker.owner_id, outcomes=[outcome("a", intent_id, answer=secret)], wants=[])
    assert any(end in file.read_bytes() for file in tmp_path.iterdir())

    ledger.erase(call_hashes=["a"], who="ada", why="asked to")

    assert not any(end in file.read_bytes() for file in tmp_path.iterdir())
    ledger.close()


def test_an_erasure_waits_for_those_who_read_until_the_log_can_be_emptied(tmp_path: Path, clock: SetClock) -> None:
    path = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}", clock=clock)
    asker = Asker(ledger)
    secret = random.Random(1).randbytes(200)
    ledger.exchange(asker.owner_id, outcomes=[outcome("a", asker.claim("a"), answer=secret)], wants=[])
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM intents").fetchall()
        erasing = threading.Thread(target=ledger.erase, kwargs={"call_hashes": ["a"], "who": "ada", "why": "asked to"})
        erasing.start()
        erasing.join(0.3)
        assert erasing.is_alive()
        reader.execute("COMMIT")
    erasing.join(60)

    assert not any(secret[-100:] in file.read_bytes() for file in tmp_path.iterdir())
    ledger.close()


def test_recording_a_result_under_a_path_that_is_taken_is_refused(ledger: Ledger) -> None:
    ledger.record_result(RESULT)

    with pytest.raises(ImmutableError, match="append-only"):
        ledger.record_result(RESULT)
