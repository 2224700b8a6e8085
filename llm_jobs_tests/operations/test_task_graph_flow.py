"""The flow of the reference: a document is loaded, split into paragraphs, rewritten and embedded by two models within
one step, and saved to a database."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.operations.deliver import deliver
from llm_jobs_tests.operations.graph_house import GraphHouse


def flow(source: str, output: str, target: str, name: str) -> dict[str, str]:
    return {"sourceTaskId": source, "sourceTaskOutputId": output, "targetTaskId": target, "targetTaskInputId": name}


MODELS = ["simulated", "simulated/other"]
INNER: dict[str, Any] = {
    "tasks": [
        {"id": "rewrite", "type": "RewriteTextCompoundTask", "input": {"prompt": "Be brief.", "model": MODELS}},
        {"id": "embed", "type": "TextEmeddingCompoundTask", "input": {"model": MODELS}},
    ],
    "dataflows": [flow("rewrite", "text", "embed", "text")],
}
FLOW: dict[str, Any] = {
    "name": "flow",
    "tasks": [
        {"id": "load", "type": "LoadDocument", "input": {"path": "notes.txt"}},
        {"id": "parts", "type": "SplitParagraphs"},
        {"id": "both", "type": "CompoundTask", "subgraph": INNER},
        {"id": "save", "type": "SaveToDatabase", "input": {"table": "vectors", "connection": "local"}},
    ],
    "dataflows": [
        flow("load", "text", "parts", "text"),
        flow("parts", "paragraphs", "both", "text"),
        flow("both", "*", "save", "*"),
    ],
}


@pytest.fixture
def house(tmp_path: Path) -> GraphHouse:
    house = GraphHouse(tmp_path)
    house.home.mkdir()
    (tmp_path / "notes.txt").write_text("It rained.\n\nThe river rose.\n\nThe bridge was closed.\n", encoding="utf-8")
    (house.home / "connections.yaml").write_text(f"local: sqlite:///{tmp_path / 'notes.db'}\n", encoding="utf-8")
    return house


def test_the_flow_of_the_reference_runs_from_the_document_to_the_database(house: GraphHouse) -> None:
    rows = house.rows(house.write("flow.json", json.dumps(FLOW)))
    assert [row["parts_item"] for row in rows] == ["It rained.", "The river rose.", "The bridge was closed."]
    assert {"rewrite_1", "rewrite_2", "embed_1", "embed_2"} <= rows[0].keys()
    assert all(isinstance(row[f"embed_{turn}"], list) for row in rows for turn in (1, 2))
    assert rows[0]["embed_1"] != rows[0]["embed_2"]
    with house.entry.open_services() as services:
        [job] = house.accept(house.folder / "flow.json")
        deliver(services, job.hash)
    with sqlite3.connect(house.folder / "notes.db") as database:
        assert database.execute("SELECT count(*) FROM vectors").fetchone() == (3,)
