"""What the rows of a result say that they cost: what their job paid, in whichever run, and each answer once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.operations.describe import find_job
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.so_far import answered_so_far
from llm_jobs_tests.cli.house import House, job
from llm_jobs_tests.servers.speaking import Said, Speaking, speaking_server

TEXTS = ("one", "two", "two", "three", "cut off")
PRICED = "m: {provider: openai, price: {input_per_million_usd: 1000000, output_per_million_usd: 0}}\n"  # $1 a token


class Speech:
    """`three` fails until it is well, `cut off` is truncated, the rest is repeated."""

    def __init__(self) -> None:
        self.is_well = False

    def __call__(self, body: Mapping[str, Any]) -> Said:
        text = body["messages"][-1]["content"]
        if text == "three" and not self.is_well:
            return 400
        return (text, "length") if text == "cut off" else text


def house_of(folder: Path, speaking: Speaking) -> House:
    house = House(folder, dict(speaking.environment))
    house.home.mkdir()
    (house.home / "models.yaml").write_text(PRICED, encoding="utf-8")
    return house


def answered(house: House, name: str, *texts: str) -> tuple[JobReport, list[dict[str, Any]]]:
    document = job(name, [{"text": text} for text in texts or TEXTS], text="{{ text }}", model="m")
    [report] = house.answer(house.write(f"{name}.json", document))
    assert report.result is not None
    return report, pq.read_table(report.result).to_pylist()


def paid(rows: list[dict[str, Any]]) -> list[tuple[str, bool, float | None, int]]:
    return [(row["text"], row["llm_reused"], row["llm_cost_usd"], row["llm_attempts"]) for row in rows]


def test_a_row_costs_what_its_job_paid_in_whichever_run_and_equal_calls_once(tmp_path: Path) -> None:
    speech = Speech()
    with speaking_server(speech) as speaking:
        house = house_of(tmp_path, speaking)
        first, rows = answered(house, "mine")
        assert paid(rows) == [
            ("one", False, pytest.approx(1.0), 1),
            ("two", False, pytest.approx(1.0), 1),
            ("two", True, 0.0, 0),
            ("three", False, None, 1),
            ("cut off", False, pytest.approx(2.0), 1),
        ]
        speech.is_well = True
        second, again = answered(house, "mine")
        assert paid(again) == [*paid(rows)[:3], ("three", False, pytest.approx(1.0), 1), paid(rows)[4]]
        assert first.cost_usd == pytest.approx(4.0)
        assert second.cost_usd == pytest.approx(1.0), "a run tells of itself alone"
        assert (first.calls_sent, second.calls_sent) == (4, 1)
        with house.entry.open_services() as services:
            spent = services.ledger.spend([second.job_hash])[second.job_hash].cost_usd
            so_far = answered_so_far(services, find_job(services, "mine")).read_all().to_pylist()
        assert spent == pytest.approx(sum(row["llm_cost_usd"] for row in again))
        assert paid(so_far) == paid(again)[:4]


def test_a_row_that_another_job_paid_for_costs_nothing(tmp_path: Path) -> None:
    speech = Speech()
    speech.is_well = True
    with speaking_server(speech) as speaking:
        house = house_of(tmp_path, speaking)
        answered(house, "mine")
        report, rows = answered(house, "theirs", "cut off", "two", "one")
    assert paid(rows) == [(text, True, 0.0, 0) for text in ("cut off", "two", "one")]
    assert report.calls_sent == 0
