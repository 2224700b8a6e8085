"""Queries as a job's table: read once per job, as of a time; the same command goes on with the same rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.documents.job import Job
from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.events import ignore
from llm_jobs.operations.accept import accept
from llm_jobs.operations.examine import examine_named
from llm_jobs.operations.plan import plan_named
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.services import Services
from llm_jobs_tests.cli.house import House

QUERY = "SELECT id, said FROM reviews ORDER BY id"


@pytest.fixture
def house(tmp_path: Path) -> House:
    with changed(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE reviews (id INTEGER, said TEXT)")
        connection.executemany("INSERT INTO reviews VALUES (?, ?)", [(1, "good"), (2, "bad")])
    return House(tmp_path)


@contextmanager
def changed(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection, connection:
        yield connection


def document(**source: Any) -> dict[str, Any]:
    said = {"source": "sqlite", "connection": "shop.db", "query": QUERY, **source}
    prompts = [{"name": "answer", "text": "Say {{ said }}"}]
    return {"job": {"name": "nightly", "model": "simulated", "input": said, "prompts": prompts}}


def accepted(services: Services, path: Path, *, as_of_ns: int | None = None) -> Job:
    [each] = accept(services, path, origin="cli", as_of_ns=as_of_ns)
    return each.job


def rows_of(path: str | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_a_query_is_a_table_from_end_to_end(house: House) -> None:
    [report] = house.answer(house.write("nightly.yaml", document()))
    assert (report.status, report.rows) == ("done", 2)
    assert [(row["id"], row["said"]) for row in rows_of(report.result)] == [(1, "good"), (2, "bad")]


def test_a_query_without_rows_is_a_job_without_rows(house: House) -> None:
    [report] = house.answer(house.write("nightly.yaml", document(query=f"SELECT * FROM ({QUERY}) WHERE id > 5")))
    assert (report.status, report.rows, rows_of(report.result)) == ("done", 0, [])


def test_the_same_document_is_one_job_until_it_has_a_result_and_then_another(house: House) -> None:
    path = house.write("nightly.yaml", document())
    with house.entry.open_services() as services:
        first, second = accepted(services, path), accepted(services, path)
        assert first.hash == second.hash
        [report] = run_jobs(services, [first.hash], listener=ignore)
        third = accepted(services, path)
    assert report.status == "done"
    assert third.hash != first.hash


def test_a_job_that_was_killed_goes_on_with_the_rows_that_it_read(house: House) -> None:
    path = house.write("nightly.yaml", document())
    with house.entry.open_services() as services:
        job = accepted(services, path)
        runs = run_jobs(services, [job.hash], listener=Killed())
        with pytest.raises(Stop):
            list(runs)
    with changed(house.folder / "shop.db") as connection:
        connection.execute("INSERT INTO reviews VALUES (3, 'new')")
    [resumed] = house.answer(path)
    assert (resumed.job_hash, resumed.rows) == (job.hash, 2)
    [next_one] = house.answer(path)
    assert (next_one.rows, next_one.calls_sent) == (3, 1)


class Stop(BaseException):
    """What a kill leaves: nothing after it is done."""


class Killed:
    """Ends everything when the job has begun, its table frozen."""

    def __call__(self, event: object) -> None:
        if type(event).__name__ == "JobStarted":
            raise Stop


def test_two_ticks_are_two_jobs_and_one_tick_twice_is_one(house: House) -> None:
    path = house.write("nightly.yaml", document())
    with house.entry.open_services() as services:
        monday = accepted(services, path, as_of_ns=1_000)
        tuesday = accepted(services, path, as_of_ns=2_000)
        again = accepted(services, path, as_of_ns=1_000)
        kept = services.ledger.submissions(job_hash=tuesday.hash)[0]
    assert monday.hash == again.hash != tuesday.hash
    assert kept.as_of_ns == 2_000


def test_another_query_or_connection_is_another_question(house: House) -> None:
    path = house.write("nightly.yaml", document())
    [first] = house.accept(path)
    house.write("nightly.yaml", document(query=QUERY + " DESC"))
    [second] = house.accept(path)
    assert first.input.as_of_ns != second.input.as_of_ns
    assert replace(second.input, as_of_ns=None).identity() != replace(first.input, as_of_ns=None).identity()


def test_what_is_fetched_at_once_is_no_identity(house: House) -> None:
    path = house.write("nightly.yaml", document())
    [first] = house.accept(path)
    house.write("nightly.yaml", document(batch_size=7, batch_strategy="parallel"))
    [second] = house.accept(path)
    assert second.hash == first.hash
    assert second.input.batch_size == 7


def test_validate_and_plan_say_that_the_table_was_read_for_them(house: House) -> None:
    house.write("nightly.yaml", document())
    with house.entry.open_services() as services:
        [found] = examine_named(services, "nightly.yaml")
        [plan] = plan_named(services, "nightly.yaml")
        assert services.ledger.submissions() == []
        assert not services.settings.inputs.exists()
    assert found.rows == plan.rows.total == 2
    assert found.table == plan.table
    assert "read just now from shop.db" in (plan.table or "")
    told = house.invoke("plan", "nightly.yaml").output
    assert "table    read just now from shop.db" in told


def test_what_changed_since_the_job_before_is_told_by_its_time_and_its_rows(house: House) -> None:
    house.answer(house.write("nightly.yaml", document()))
    with changed(house.folder / "shop.db") as connection:
        connection.execute("INSERT INTO reviews VALUES (3, 'new')")
    with house.entry.open_services() as services:
        [plan] = plan_named(services, "nightly.yaml")
    assert [each.difference.path for each in plan.changes] == ["input.as_of"]
    assert (plan.rows.new, plan.rows.reused, plan.calls.new) == (1, 2, 1)


def test_the_connection_named_default_is_asked_where_none_is_named(house: House) -> None:
    stated = document(source="database")
    del stated["job"]["input"]["connection"]
    house.variables["LLM_JOBS_CONNECTION_DEFAULT"] = f"sqlite:///{house.folder / 'shop.db'}"
    [report] = house.answer(house.write("nightly.yaml", stated))
    assert report.rows == 2


def test_a_connection_of_the_file_keeps_its_password_out_of_everything(house: House) -> None:
    house.home.mkdir()
    (house.home / "connections.yaml").write_text(
        "shop: postgresql://reader:${SHOP_PASSWORD}@127.0.0.1:1/shop\n", encoding="utf-8"
    )
    house.variables["SHOP_PASSWORD"] = "hunter22-secret"
    path = house.write("nightly.yaml", document(source="postgresql", connection="shop"))
    [report] = house.answer(path)
    assert report.status == "failed"
    assert "connection shop cannot be used" in (report.error or "")
    for kept in house.folder.rglob("*"):
        assert not kept.is_file() or b"hunter22" not in kept.read_bytes(), kept
    told = house.process("run", "nightly.yaml")
    assert "hunter22" not in told.stdout + told.stderr


def test_a_url_in_a_document_leads_to_listed_hosts_only(house: House) -> None:
    url = "postgresql://reader:${SHOP_PASSWORD}@db.example:5432/shop"
    house.variables["SHOP_PASSWORD"] = "hunter22-secret"
    path = house.write("nightly.yaml", document(source="postgresql", connection=url))
    with pytest.raises(SetupError, match="LLM_JOBS_ALLOWED_HOSTS"):
        house.accept(path)
    house.variables["LLM_JOBS_ALLOWED_HOSTS"] = "db.example"
    [job] = house.accept(path)
    assert job.input.query is not None
    assert job.input.query.place == "postgresql://db.example:5432/shop"
    assert "SHOP_PASSWORD" not in json.dumps(job.input.identity())


def test_the_key_of_a_model_is_no_password_of_a_database(house: House) -> None:
    house.variables["LLM_JOBS_ALLOWED_HOSTS"] = "db.example"
    url = "postgresql://x:${OPENAI_API_KEY}@db.example/shop"
    with pytest.raises(DocumentError, match="OPENAI_API_KEY is the key of a model"):
        house.accept(house.write("nightly.yaml", document(source="postgresql", connection=url)))


def test_a_database_file_outside_the_allowed_folders_is_refused(house: House, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "shop.db"
    elsewhere.write_bytes((house.folder / "shop.db").read_bytes())
    for stated in (str(elsewhere), f"sqlite:///{elsewhere}"):
        with pytest.raises(DocumentError, match="outside the allowed folders"):
            house.accept(house.write("nightly.yaml", document(connection=stated)))
    with pytest.raises(DocumentError, match=r"does not exist.*looked for it at"):
        house.accept(house.write("nightly.yaml", document(connection="none.db")))


def test_a_column_that_the_query_lacks_is_told_before_anything_is_asked(house: House) -> None:
    path = house.write("nightly.yaml", document(query="SELECT id FROM reviews"))
    [report] = house.answer(path)
    assert report.status == "failed"
    assert "uses a column that the table does not have" in (report.error or "")
