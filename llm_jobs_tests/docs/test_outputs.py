"""The page about outputs: its documents run as they stand, its tables have every key, its commands deliver."""

from __future__ import annotations

import csv
import gzip
import json
import re
import shlex
import sqlite3
from pathlib import Path
from typing import get_args

from llm_jobs.documents.connections import resolve_connection
from llm_jobs.documents.destinations import Strategy
from llm_jobs.documents.formats.outputs import KEYS, PLACEHOLDERS
from llm_jobs.documents.outputs import OutputModel
from llm_jobs.operations.deliver import deliver
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.deliveries.endpoint import endpoint
from llm_jobs_tests.docs.pages import ROOT, blocks, section

TEXT = (ROOT / "docs/outputs.md").read_text(encoding="utf-8")
DOCUMENTS = [block.text for block in blocks(TEXT) if block.language == "yaml"]
SECTIONS = {"file": "Files", "database": "Tables", "api": "HTTP endpoints"}


def test_the_first_document_reaches_its_three_destinations(tmp_path: Path) -> None:
    with endpoint() as there:
        house = House(tmp_path, {"LLM_JOBS_ALLOWED_HOSTS": "127.0.0.1", "LLM_JOBS_API_TOKEN": "a-token-of-the-page"})
        house.variables["LLM_JOBS_CONNECTION_SHOP"] = f"sqlite:///{tmp_path / 'shop.db'}"
        house.write("reviews.csv", "id,review\n1,good\n2,bad\n")
        document = DOCUMENTS[0].replace("https://api.example.com/results", there.url)
        [report] = house.answer(house.write("reviews.yaml", document))
        with house.entry.open_services() as services:
            reports = deliver(services, report.job_hash)
    assert [each.status for each in reports] == ["delivered"] * 3
    with gzip.open(reports[0].destination, "rt", encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["1", "2"]
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        assert connection.execute("SELECT id FROM sentiments ORDER BY id").fetchall() == [("1",), ("2",)]
    assert [row["id"] for row in there.rows] == ["1", "2"]
    assert there.requests[0][2]["authorization"] == "Bearer a-token-of-the-page"


def test_the_pair_of_the_page_is_written(tmp_path: Path) -> None:
    house = House(tmp_path)
    [report] = house.answer(house.write("hello.yaml", DOCUMENTS[1]))
    with house.entry.open_services() as services:
        [done] = deliver(services, report.job_hash)
    pair = json.loads(Path(done.destination).read_text(encoding="utf-8"))
    assert re.fullmatch(r"\d+_hello\.json", Path(done.destination).name)
    assert pair["job"].startswith(f"jobs/{report.job_hash}/")
    assert isinstance(pair["result"], str)


def test_the_connections_of_the_page_resolve(tmp_path: Path) -> None:
    (tmp_path / "connections.yaml").write_text(DOCUMENTS[2], encoding="utf-8")
    found = resolve_connection("shop", environment={"SHOP_PASSWORD": "p w"}, home=tmp_path)
    assert found == "postgresql+psycopg://ann:p%20w@db.example/shop"
    assert resolve_connection("local", environment={}, home=tmp_path).startswith("sqlite:////")


def test_the_tables_have_every_key_and_nothing_else() -> None:
    for destination, heading in SECTIONS.items():
        rows = re.findall(r"^\| `(\w+)` \|", section(TEXT, heading), re.MULTILINE)
        assert set(rows) == KEYS[destination] | {"format"}
    assert {key for keys in KEYS.values() for key in keys} < set(OutputModel.model_fields)
    strategies = re.findall(r"^\| `(\w+)` \|", section(TEXT, "When a delivery fails"), re.MULTILINE)
    assert strategies[1:] == list(get_args(Strategy))


def test_every_placeholder_is_told() -> None:
    told = set(re.findall(r"\{\{ (\w+) \}\}", section(TEXT, "Files")))
    assert told == set(PLACEHOLDERS) - {"epoch"}  # which is epoch_ns by its old name


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    house = House(tmp_path)
    document = DOCUMENTS[1].replace("summary", "reviews")
    house.answer(house.write("reviews.yaml", document))
    [block] = [block for block in blocks(TEXT) if block.language == "sh"]
    for line in block.text.splitlines():
        program, *arguments = shlex.split(line, comments=True)
        assert program == "llm-jobs"
        done = house.process(*arguments)
        assert done.returncode == 0, done.stderr
        assert "reviews: 1 row in " in done.stdout
