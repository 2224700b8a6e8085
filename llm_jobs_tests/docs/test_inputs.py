"""The page about inputs: each of its documents runs as it stands, with the files, tables and servers that it names."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
import yaml

from llm_jobs.cli.main import COMMANDS
from llm_jobs.documents.checks import COMPRESSED
from llm_jobs.documents.inputs import InputErrorModel, PagingModel
from llm_jobs.documents.job import FileFormat
from llm_jobs.documents.table_sources import RETRIES
from llm_jobs.operations.records import JobReport
from llm_jobs.sources.api_client import FIRST_WAIT_S, TRIES
from llm_jobs.sources.problems import MOST_PROBLEMS
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.docs.pages import ROOT, blocks, section
from llm_jobs_tests.servers.listing import Asked, Told, listing_server
from llm_jobs_tests.sources.databases import sqlite_file

TEXT = (ROOT / "docs/inputs.md").read_text(encoding="utf-8")
TICKETS = [{"id": number, "subject": f"ticket {number}"} for number in range(5)]


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.home.mkdir()
    return made


def documents(heading: str) -> list[str]:
    return [block.text for block in blocks(section(TEXT, heading)) if block.language == "yaml"]


def answered(house: House, text: str) -> JobReport:
    [report] = house.answer(house.write("document.yaml", text))
    return report


def rows_of(report: JobReport) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(report.result).to_pylist()
    return rows


def test_the_files_of_the_page_are_one_table(house: House) -> None:
    (house.folder / "in").mkdir()
    for name, stars in (("a", 5), ("b", 1)):
        (house.folder / f"in/{name}.csv.gz").write_bytes(gzip.compress(f"said,stars\nit is {name},{stars}\n".encode()))
    [text] = documents("Files")
    assert [(row["said"], row["stars"]) for row in rows_of(answered(house, text))] == [("it is a", 5), ("it is b", 1)]


def test_the_query_of_the_page_reads_by_a_connection_of_the_file(house: House) -> None:
    path = sqlite_file(
        house.folder, "CREATE TABLE reviews (id, said, stars)", [(2, "b", None), (1, "a", None)], "reviews"
    )
    text, connections = documents("Databases")
    stated = yaml.safe_load(connections)
    assert stated["warehouse"].startswith("postgresql://")
    (house.home / "connections.yaml").write_text(connections, encoding="utf-8")
    house.variables["LLM_JOBS_CONNECTION_WAREHOUSE"] = f"sqlite:///{path}"
    assert [row["id"] for row in rows_of(answered(house, text))] == [1, 2]
    path.rename(house.folder / "archive.db")
    other = text.replace("warehouse", "archive").replace("nightly", "other")
    assert answered(house, other).rows == 2


def test_the_api_of_the_page_is_read_page_by_page(house: House) -> None:
    def script(asked: Asked, before: int) -> Told:
        assert asked.params["state"] == "open"
        assert asked.params["per_page"] == "100"
        start = int(asked.params.get("cursor", 0))
        after = start + 2 if start + 2 < len(TICKETS) else None
        return Told(value={"data": {"items": TICKETS[start : start + 2], "cursor": after}})

    [text] = documents("HTTP APIs")
    with listing_server(script) as server:
        house.variables.update(LLM_JOBS_ALLOWED_HOSTS=server.host, LLM_JOBS_API_TOKEN="tok-of-the-page")
        report = answered(house, text.replace("https://api.example.com", server.url))
    assert [row["id"] for row in rows_of(report)] == [0, 1, 2, 3, 4]
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer tok-of-the-page"}


def test_the_rows_of_the_page_that_cannot_be_read_are_skipped(house: House) -> None:
    house.write("imported.jsonl", '{"said": "a", "stars": 5}\n{"said": "b", "stars": "many"}\n{"said":\n')
    [text] = documents("Rows that cannot be read")
    assert [row["llm_status"] for row in rows_of(answered(house, text))] == [
        "succeeded",
        "invalid_input",
        "invalid_input",
    ]


def test_the_page_names_what_there_is() -> None:
    formats = set(re.findall(r"`(\w+)`", section(TEXT, "Files").partition("Formats:")[2].partition("told by")[0]))
    assert formats == set(get_args(FileFormat))
    assert all(f"`{suffix}`" in TEXT for suffix in COMPRESSED)
    strategies = get_args(InputErrorModel.model_fields["strategy"].annotation)
    assert re.findall(r"^\| `(\w+)` \|", section(TEXT, "Rows that cannot be read"), re.MULTILINE)[1:] == [
        "skip",
        "alert",
        "fail",
        "retry",
    ]
    assert set(strategies) == {"skip", "alert", "fail", "retry"}
    assert all(f"{name}" in section(TEXT, "HTTP APIs") for name in PagingModel.model_fields)
    assert set(re.findall(r"llm-jobs (\w+)", TEXT)) <= COMMANDS.keys()


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert TRIES == 5
    assert "five times in all" in TEXT
    assert [FIRST_WAIT_S * 2**tried for tried in range(TRIES - 1)] == [1, 2, 4, 8]
    assert f"up to {MOST_PROBLEMS} such rows" in TEXT
    assert f"times more ({RETRIES})" in TEXT
