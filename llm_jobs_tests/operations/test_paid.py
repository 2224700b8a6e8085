"""What the rows of a result say that they cost: what their job paid, in whichever run, and each answer once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.errors import SetupError
from llm_jobs.events import CallReused, Event, Listener, ignore
from llm_jobs.ledger.base import ResultRecord
from llm_jobs.ledger.sqlite import SqliteLedger
from llm_jobs.operations.describe import find_job, job_lines
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.so_far import answered_so_far
from llm_jobs.operations.usage import usage
from llm_jobs_tests.cli.house import House, job
from llm_jobs_tests.servers.speaking import Said, Speaking, speaking_server

TEXTS = ("one", "two", "two", "three", "cut")
PRICED = "m: {provider: openai, price: {input_per_million_usd: 1000000, output_per_million_usd: 0}}\n"  # $1 a token


class Speech:
    """Says what it is told to say of a text, and otherwise the text."""

    def __init__(self, **said: Said) -> None:
        self.said = said

    def __call__(self, body: Mapping[str, Any]) -> Said:
        text: str = body["messages"][-1]["content"]
        return self.said.get(text, text)


def house_of(folder: Path, speaking: Speaking) -> House:
    house = House(folder, dict(speaking.environment))
    house.home.mkdir()
    (house.home / "models.yaml").write_text(PRICED, encoding="utf-8")
    return house


def answered(
    house: House, name: str, *texts: str, listener: Listener = ignore
) -> tuple[JobReport, list[dict[str, Any]]]:
    document = job(name, [{"text": text} for text in texts or TEXTS], text="{{ text }}", model="m")
    [accepted] = house.accept(house.write(f"{name}.json", document))
    with house.entry.open_services() as services:
        [report] = run_jobs(services, [accepted.hash], listener=listener)
    assert report.result is not None, report.error
    return report, pq.read_table(report.result).to_pylist()


def paid(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["text"], row["llm_reused"], row["llm_cost_usd"], row["llm_attempts"]) for row in rows]


def test_a_row_costs_what_its_job_paid_in_whichever_run_and_equal_calls_once(tmp_path: Path) -> None:
    speech = Speech(three=400, cut=("cut", "length"))
    with speaking_server(speech) as speaking:
        house = house_of(tmp_path, speaking)
        first, rows = answered(house, "mine")
        assert paid(rows) == [
            ("one", False, pytest.approx(1.0), 1),
            ("two", False, pytest.approx(1.0), 1),
            ("two", True, 0.0, 0),
            ("three", False, None, 1),
            ("cut", False, pytest.approx(1.0), 1),
        ]
        del speech.said["three"]
        second, again = answered(house, "mine")
        assert paid(again) == [*paid(rows)[:3], ("three", False, pytest.approx(1.0), 1), paid(rows)[4]]
        assert first.cost_usd == pytest.approx(3.0)
        assert second.cost_usd == pytest.approx(1.0), "a run tells of itself alone"
        assert (first.calls_sent, second.calls_sent) == (4, 1)
        with house.entry.open_services() as services:
            spent = services.ledger.spend([second.job_hash])[second.job_hash].cost_usd
            so_far = answered_so_far(services, find_job(services, "mine")).read_all().to_pylist()
        assert spent == pytest.approx(sum(row["llm_cost_usd"] for row in again))
        assert paid(so_far) == paid(again)[:4]


def test_a_row_that_another_job_paid_for_costs_nothing(tmp_path: Path) -> None:
    with speaking_server(Speech(cut=("cut", "length"))) as speaking:
        house = house_of(tmp_path, speaking)
        answered(house, "mine")
        report, rows = answered(house, "theirs", "cut", "two", "one")
    assert paid(rows) == [(text, True, 0.0, 0) for text in ("cut", "two", "one")]
    assert report.calls_sent == 0


def test_a_row_that_is_asked_again_costs_what_was_paid_before_too(tmp_path: Path) -> None:
    speech = Speech(one=("one", "filtered"))
    with speaking_server(speech) as speaking:
        house = house_of(tmp_path, speaking)
        for times in (1, 2, 3):
            _, rows = answered(house, "mine", "one", "two")
            assert paid(rows) == [("one", False, pytest.approx(times), times), ("two", False, pytest.approx(1.0), 1)]
        speech.said.clear()
        assert paid(answered(house, "theirs", "one")[1]) == [("one", False, pytest.approx(1.0), 1)]
        report, rows = answered(house, "mine", "one", "two")
    assert paid(rows) == [("one", True, pytest.approx(3.0), 3), ("two", False, pytest.approx(1.0), 1)]
    assert report.calls_sent == 0


def test_what_a_run_without_a_result_paid_is_told_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(ledger: SqliteLedger, record: ResultRecord) -> None:
        raise SetupError("no room left")

    with speaking_server(Speech()) as speaking:
        house = house_of(tmp_path, speaking)
        with monkeypatch.context() as patched:
            patched.setattr(SqliteLedger, "record_result", refused)
            with pytest.raises(AssertionError, match="no room left"):
                answered(house, "mine", "one", "two", "two")
        report, rows = answered(house, "mine", "one", "two", "two")
        with house.entry.open_services() as services:
            [line] = job_lines(services, [find_job(services, "mine")])
    assert (report.calls_sent, report.cost_usd, report.spent_usd, line.cost_usd) == (0, 0.0, 2.0, 2.0)
    assert [row["llm_cost_usd"] for row in rows] == [1.0, 1.0, 0.0]


def test_an_attempt_that_failed_for_nothing_leaves_the_cost_known(tmp_path: Path) -> None:
    said: list[Said] = [500, "one"]
    with speaking_server(lambda body: said.pop(0)) as speaking:
        report, rows = answered(house_of(tmp_path, speaking), "mine", "one")
    assert (report.cost_usd, report.spent_usd, rows[0]["llm_cost_usd"]) == (1.0, 1.0, 1.0)


def test_what_a_job_had_paid_for_itself_is_not_called_saved(tmp_path: Path) -> None:
    told: list[Event] = []
    with speaking_server(Speech(three=400)) as speaking:
        house = house_of(tmp_path, speaking)
        answered(house, "mine", "one", "two", "three")
        answered(house, "mine", "one", "two", "three", listener=told.append)
        answered(house, "theirs", "one", "three", listener=told.append)
        with house.entry.open_services() as services:
            saved = {line.group["job"]: line.saved_usd for line in usage(services, by=["job"])}
    assert [event.saved_usd for event in told if isinstance(event, CallReused)] == [0.0, 0.0, pytest.approx(1.0)]
    assert saved == {"mine": 0.0, "theirs": pytest.approx(1.0)}
