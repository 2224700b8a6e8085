"""What a job has answered up to now: rows whose every step is in the ledger, of each kind of input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.operations.describe import find_job
from llm_jobs.operations.so_far import answered_so_far, is_answered
from llm_jobs_tests.cli.house import House, job


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def so_far(house: House, name: str) -> list[dict[str, Any]]:
    with house.entry.open_services() as services:
        rows: list[dict[str, Any]] = answered_so_far(services, find_job(services, name)).read_all().to_pylist()
    return rows


def answered(house: House, name: str) -> bool:
    with house.entry.open_services() as services:
        return is_answered(services, find_job(services, name))


def two_steps(name: str, rows: list[dict[str, Any]], second: str) -> dict[str, Any]:
    prompts = [{"name": "first", "text": "First: {{ text }}"}, {"name": "second", "text": second + " {{ first }}"}]
    return {"job": {"name": name, "model": "simulated", "input": {"rows": rows}, "prompts": prompts}}


def test_a_row_counts_when_its_last_step_is_answered(house: House) -> None:
    rows = [{"text": "a"}, {"text": "b"}]
    house.answer(house.write("one.yaml", two_steps("one", rows, "Then:")))
    house.accept(house.write("two.yaml", two_steps("two", rows, "Else:")))
    assert so_far(house, "two") == []
    assert not answered(house, "two")
    house.accept(house.write("three.yaml", two_steps("three", [*rows, {"text": "c"}], "Then:")))
    assert [row["text"] for row in so_far(house, "three")] == ["a", "b"]
    assert not answered(house, "three")
    assert answered(house, "one")


def test_what_is_shown_is_what_the_result_will_hold(house: House) -> None:
    [report] = house.answer(house.write("one.yaml", job("one", [{"text": "a"}], sample=3)))
    with (
        house.entry.open_services() as services,
        services.store.open(services.store.relative(report.result or "")) as file,
    ):
        assert file.read(4) == b"PAR1"
    shown = so_far(house, "one")
    assert [row["llm_sample"] for row in shown] == [0, 1, 2]
    assert len({row["said"] for row in shown}) == 3


def test_batch_files_and_tables_are_read_from_where_they_were_kept(house: House) -> None:
    body = {"model": "simulated", "messages": [{"role": "user", "content": "Hello"}]}
    lines = [
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
        for number in range(3)
    ]
    batch = house.write("lines.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    house.answer(batch)
    batch.unlink()
    assert [row["custom_id"] for row in so_far(house, "lines")] == ["line-0", "line-1", "line-2"]

    table = house.write("table.csv", "text\na\nb\n")
    document = {"job": {**job("table", [])["job"], "input": {"path": "table.csv"}}}
    house.answer(house.write("table.yaml", document))
    table.unlink()
    assert [row["text"] for row in so_far(house, "table")] == ["a", "b"]


def test_declared_columns_have_their_types(house: House) -> None:
    schema = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
    document = job("typed", [{"text": "a"}])
    document["job"]["prompts"][0]["schema"] = schema
    house.answer(house.write("typed.yaml", document))
    [row] = so_far(house, "typed")
    assert type(row["score"]) is int
