"""The blocks that name places: inputs and outputs of three kinds each, and the template of a job over a table."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from llm_jobs.operations.deliver import deliver
from llm_jobs.operations.records import JobReport
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.deliveries.endpoint import endpoint
from llm_jobs_tests.reference.stage import REVIEWS, alternatives, block, furnished, inside_a_job, placed, write
from llm_jobs_tests.servers.listing import Asked, Told, listing_server
from llm_jobs_tests.servers.postgres import PostgresServer, postgres_server

ROWS = "input: {rows: [{id: 1}, {id: 2}]}"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return furnished(tmp_path)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def answered(house: House, text: str) -> JobReport:
    [report] = house.answer(house.write("document.yaml", text))
    assert report.status == "done"
    return report


def delivered(house: House, text: str) -> str:
    """Answer a document and deliver its result; where that is."""
    report = answered(house, text)
    with house.entry.open_services() as services:
        [done] = deliver(services, report.job_hash)
    assert done.status == "delivered"
    return done.destination


def test_the_blocks_with_alternatives_have_three_each() -> None:
    assert [len(alternatives(block(number))) for number in (7, 8)] == [3, 3]


def test_the_input_of_postgresql_is_read_by_its_connection(house: House, postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE reviews AS SELECT generate_series(1, 3) AS id")
    house.variables["LLM_JOBS_CONNECTION_PROD_DB"] = postgres.url
    assert answered(house, inside_a_job(alternatives(block(7))[0])).rows == 3


def test_the_input_of_a_file_is_read(house: House) -> None:
    document = placed(inside_a_job(alternatives(block(7))[1]), house.folder)
    write(house.folder / "data/reviews.json", json.dumps(REVIEWS))
    assert answered(house, document).rows == 2


def test_the_input_of_an_api_is_read_with_its_token(house: House) -> None:
    def script(asked: Asked, before: int) -> Told:
        assert asked.headers["authorization"] == "Bearer token-of-the-api"
        return Told(value=REVIEWS if asked.path == "/reviews" else [])

    with listing_server(script) as server:
        house.variables.update(LLM_JOBS_API_TOKEN="token-of-the-api", LLM_JOBS_ALLOWED_HOSTS=server.host)
        document = placed(inside_a_job(alternatives(block(7))[2]), house.folder, api=server.url)
        assert answered(house, document).rows == 2


def test_the_output_in_a_table_is_delivered(house: House) -> None:
    delivered(house, inside_a_job(alternatives(block(8))[0], ROWS))
    with sqlite3.connect(house.folder / "shop.db") as connection:
        assert connection.execute("SELECT count(*) FROM results").fetchall() == [(2,)]
    connection.close()


def test_the_output_in_a_file_is_delivered(house: House) -> None:
    where = delivered(house, placed(inside_a_job(alternatives(block(8))[1], ROWS), house.folder))
    assert Path(where) == house.folder / "output/results.json"
    assert [row["id"] for row in json.loads(Path(where).read_text(encoding="utf-8"))] == [1, 2]


def test_the_output_behind_an_api_is_delivered(house: House) -> None:
    with endpoint() as there:
        base = there.url.removesuffix("/rows")
        house.variables["LLM_JOBS_ALLOWED_HOSTS"] = base.removeprefix("http://")
        delivered(house, placed(inside_a_job(alternatives(block(8))[2], ROWS), house.folder, api=base))
        assert [row["id"] for row in there.rows] == [1, 2]
        assert [(method, path) for method, path, _, _ in there.requests] == [("POST", "/results")]


def test_the_template_makes_a_job_over_the_table_that_is_named(house: House) -> None:
    write(house.home / "templates/analysis_template.yaml", block(24))
    arguments = ("--param", "input_table=reviews", "--param", "model_name=gpt-4", "--name", "review_analysis")
    made = house.invoke("create-job-from-template", "analysis_template", *arguments, "--out", "made.yaml")
    assert made.exit_code == 0, made.output
    assert answered(house, (house.folder / "made.yaml").read_text(encoding="utf-8")).rows == 3
    printed = house.invoke("results", "review_analysis", "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(printed.stdout)))) == 3
