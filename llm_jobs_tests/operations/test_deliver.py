"""Deliveries of a job: each destination on its own, receipts, repetition, and what the document says of failures."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.events import DeliveryEnded, Event
from llm_jobs.ledger.base import Receipt
from llm_jobs.operations.deliver import deliver, undelivered
from llm_jobs.operations.records import DeliveryReport
from llm_jobs_tests.cli.house import ROWS, House, facts, job
from llm_jobs_tests.deliveries.endpoint import Endpoint, Told, endpoint

DATABASE = {"destination": "database", "connection": "shop.db", "table": "answers", "batch_size": 2}
FILE = {"path": "home/out/{{ name }}.jsonl"}


@dataclass
class Delivering:
    """A house with one job that is answered, and what its deliveries waited for and told."""

    house: House
    job_hash: str = ""
    waits: list[float] = field(default_factory=list)
    told: list[DeliveryEnded] = field(default_factory=list)

    def answer(self, output: object, handling: object = None, rows: int = 5, file: str = "reviews.yaml") -> Delivering:
        document: dict[str, Any] = {
            "name": "reviews",
            "model": "simulated",
            "input": {"rows": [{"id": number} for number in range(rows)]},
            "prompts": [{"name": "answer", "text": "Say {{ id }}"}],
            "output": output,
        }
        if handling is not None:
            document["error_handling"] = {"on_output_error": handling}
        [report] = self.house.answer(self.house.write(file, {"job": document}))
        assert report.status == "done"
        self.job_hash = report.job_hash
        return self

    def deliver(self, *, again: bool = False) -> tuple[DeliveryReport, ...]:
        with self.house.entry.open_services() as services:
            return deliver(services, self.job_hash, listener=self.hear, again=again, sleep=self.waits.append)

    def hear(self, event: Event) -> None:
        assert isinstance(event, DeliveryEnded)
        self.told.append(event)

    def waiting(self) -> bool:
        with self.house.entry.open_services() as services:
            return bool(undelivered(services))

    def letters(self) -> list[str]:
        with self.house.entry.open_services() as services:
            return [letter.reason for letter in services.ledger.dead_letters() if letter.kind == "delivery"]

    def rows(self) -> int:
        with sqlite3.connect(self.house.folder / "shop.db") as connection:
            return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


@pytest.fixture
def here(tmp_path: Path) -> Delivering:
    return Delivering(House(tmp_path))


@pytest.fixture
def there() -> Iterator[Endpoint]:
    with endpoint() as told:
        yield told


def api(here: Delivering, there: Endpoint, **stated: object) -> dict[str, object]:
    here.house.variables["LLM_JOBS_ALLOWED_HOSTS"] = "127.0.0.1"
    return {"destination": "api", "endpoint": there.url, "batch_size": 2, "retries": 0, **stated}


def test_each_destination_gets_the_result_and_a_receipt(here: Delivering, there: Endpoint) -> None:
    here.answer([FILE, DATABASE, api(here, there)])
    assert here.waiting()
    reports = here.deliver()
    assert [(report.status, report.rows) for report in reports] == [("delivered", 5)] * 3
    assert [event.destination for event in here.told] == [
        str(here.house.home / "out/reviews.jsonl"),
        "shop.db, table answers",
        there.url,
    ]
    lines = (here.house.home / "out/reviews.jsonl").read_text().splitlines()
    assert (len(lines), here.rows(), len(there.rows)) == (5, 5, 5)
    assert not here.waiting()
    assert here.deliver() == ()


def test_a_destination_that_fails_stops_no_other_and_is_asked_alone_later(here: Delivering, there: Endpoint) -> None:
    here.answer([api(here, there), DATABASE])
    there.answers = [Told(), Told(status=500)]
    first = here.deliver()
    assert [report.status for report in first] == ["failed", "delivered"]
    assert "batch 1 (rows from 2) was not accepted" in str(first[0].error)
    assert (here.waiting(), here.letters()) == (True, [first[0].error])
    [second] = here.deliver()
    assert (second.status, second.details["batches sent now"]) == ("delivered", 2)
    assert [row["id"] for row in there.rows] == list(range(5))
    assert not here.waiting()


def test_again_brings_back_what_was_lost_and_writes_nothing_twice(here: Delivering, there: Endpoint) -> None:
    here.answer([FILE, DATABASE, api(here, there)])
    here.deliver()
    (here.house.home / "out/reviews.jsonl").unlink()
    assert [report.is_new for report in here.deliver(again=True)] == [True, False, True]
    assert (here.house.home / "out/reviews.jsonl").exists()
    assert (here.rows(), len(there.rows), len(there.requests)) == (5, 5, 6)
    assert set(there.keys[:3]) == set(there.keys[3:])


def test_a_batch_has_the_rows_of_the_first_attempt_whatever_the_document_says_later(
    here: Delivering, there: Endpoint
) -> None:
    here.answer(api(here, there))
    there.answers = [Told(), Told(status=500)]
    here.deliver()
    here.answer(api(here, there, batch_size=4))
    [report] = here.deliver()
    assert report.details == {"batches": 3, "batches sent now": 2}
    assert [row["id"] for row in there.rows] == list(range(5))


@pytest.mark.parametrize(("failures", "status"), [(2, "delivered"), (3, "failed")])
def test_retry_tries_so_many_times_more(here: Delivering, there: Endpoint, failures: int, status: str) -> None:
    here.answer(api(here, there), {"strategy": "retry", "max_retries": 2})
    there.answers = [Told(status=503)] * failures
    [report] = here.deliver()
    assert report.status == status
    assert len(here.waits) == 2
    assert here.waits[0] < here.waits[1]


def test_what_will_not_pass_is_not_tried_again(here: Delivering, there: Endpoint) -> None:
    here.answer(api(here, there), {"strategy": "retry"})
    there.answers = [Told(status=400, body="no")]
    assert [report.status for report in here.deliver()] == ["failed"]
    assert (here.waits, len(there.requests)) == ([], 1)


@pytest.mark.parametrize("strategy", ["skip", "alert"])
def test_skip_and_alert_go_on_without_the_destination(here: Delivering, there: Endpoint, strategy: str) -> None:
    here.answer([api(here, there), FILE], {"strategy": strategy})
    there.answers = [Told(status=500)]
    assert [report.status for report in here.deliver()] == ["skipped", "delivered"]
    assert [(event.status, bool(event.error)) for event in here.told] == [("skipped", True), ("delivered", False)]
    assert (here.waiting(), len(here.letters())) == (False, 1)
    assert [report.status for report in here.deliver(again=True)] == ["delivered", "delivered"]


def test_a_fallback_takes_the_result_in_the_place_of_the_first(here: Delivering, there: Endpoint) -> None:
    here.answer(api(here, there), {"strategy": "fallback", "fallback": {"path": "home/rescued.csv"}})
    there.answers = [Told(status=500)]
    [report] = here.deliver()
    assert (report.status, report.destination) == ("fallback", str(here.house.home / "rescued.csv"))
    assert "was not accepted" in str(report.error)
    assert (here.house.home / "rescued.csv").exists()
    assert not here.waiting()


def test_a_fallback_that_fails_too_fails_the_delivery(here: Delivering, there: Endpoint) -> None:
    (here.house.folder / "home").mkdir()
    (here.house.folder / "home/rescued.csv").write_text("mine")
    here.answer(api(here, there), {"strategy": "fallback", "fallback": {"path": "home/rescued.csv"}})
    there.answers = [Told(status=500)]
    [report] = here.deliver()
    assert report.status == "failed"
    assert "and the fallback:" in str(report.error)
    assert here.waiting()


@pytest.mark.parametrize("name", ["reviews", "reviews [1]"])
def test_the_pair_links_to_the_document_that_is_kept(here: Delivering, name: str) -> None:
    output = {"path": "home/out/{{ epoch_ns }}_{{ document }}.json", "format": "pair"}
    here.answer(output, rows=1, file=f"{name}.yaml")
    [report] = here.deliver()
    pair = json.loads(Path(report.destination).read_text())
    assert (here.house.home / pair["job"]).read_bytes() == (here.house.folder / f"{name}.yaml").read_bytes()
    assert Path(report.destination).name.endswith(f"_{name}.json")
    assert isinstance(pair["result"], str)


def test_a_secret_reaches_the_endpoint_and_nothing_else(here: Delivering, there: Endpoint) -> None:
    here.house.variables.update(SHOP_TOKEN="t0p-s3cr3t-value", TEAM="nlp-t3am")
    there.answers = [Told(status=403, body="t0p-s3cr3t-value is not welcome, nlp-t3am")]
    here.answer(api(here, there, auth={"bearer": "SHOP_TOKEN"}, headers={"X-Team": "${TEAM}"}))
    [report] = here.deliver()
    assert there.requests[0][2]["authorization"] == "Bearer t0p-s3cr3t-value"
    assert there.requests[0][2]["x-team"] == "nlp-t3am"
    assert "[removed secret] is not welcome" in str(report.error)
    for path in here.house.folder.rglob("*"):
        if path.is_file():
            assert b"t0p-s3cr3t-value" not in path.read_bytes(), path


def test_the_password_of_a_database_is_in_no_file_and_no_error(here: Delivering) -> None:
    here.house.variables["SHOP_PASSWORD"] = "t0p-s3cr3t-value"
    here.house.home.mkdir()
    (here.house.home / "connections.yaml").write_text("shop: postgresql://ann:${SHOP_PASSWORD}@127.0.0.1:1/shop\n")
    here.answer({"destination": "database", "connection": "shop", "table": "answers"})
    [report] = here.deliver()
    assert (report.status, report.destination) == ("failed", "shop, table answers")
    assert "shop, table answers cannot be written now" in str(report.error)
    told = [str(report.error), *map(str, here.told), *here.letters()]
    assert not any("t0p-s3cr3t-value" in text for text in told)
    for path in here.house.folder.rglob("*"):
        if path.is_file():
            assert b"t0p-s3cr3t-value" not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("output", "error", "message"),
    [
        ({"path": "/etc/out.csv"}, DocumentError, "outside the allowed folders"),
        ({"path": "s3://bucket/out.csv"}, SetupError, "s3://bucket may not be reached from documents"),
        ({"path": "file:///etc/out.csv"}, SetupError, "write a path"),
        ({"path": "simplecache::s3://bucket/out.csv"}, SetupError, "write a path"),
        ({"destination": "database", "table": "t"}, SetupError, "no connection is named 'default'"),
        ({**DATABASE, "connection": "/etc/shop.db"}, SetupError, "outside the allowed folders"),
        ({**DATABASE, "connection": "home/ledger.db"}, SetupError, "the database of llm-jobs itself"),
        ({**DATABASE, "connection": "home/limits.db"}, SetupError, "the database of llm-jobs itself"),
        ({**DATABASE, "connection": "postgresql://h/d"}, SetupError, "LLM_JOBS_ALLOWED_HOSTS"),
        (
            {"destination": "api", "endpoint": "http://listed/r", "auth": {"bearer": "OPENAI_API_KEY"}},
            DocumentError,
            "OPENAI_API_KEY is the key of a model",
        ),
        (
            {"destination": "api", "endpoint": "http://listed/r", "headers": {"X-Key": "${OPENAI_API_KEY}"}},
            DocumentError,
            "OPENAI_API_KEY is the key of a model",
        ),
        (
            {**DATABASE, "connection": "postgresql://ann:${OPENAI_API_KEY}@listed/d"},
            DocumentError,
            "OPENAI_API_KEY is the key of a model",
        ),
        ({"destination": "api", "endpoint": "http://127.0.0.1:9/r"}, SetupError, "LLM_JOBS_ALLOWED_HOSTS"),
        (
            {"destination": "api", "endpoint": "http://listed/r", "auth": "bearer_token"},
            SetupError,
            "needs the variable LLM_JOBS_API_TOKEN",
        ),
    ],
)
def test_a_result_that_could_not_be_delivered_is_never_asked_for(
    here: Delivering, output: dict[str, object], error: type[Exception], message: str
) -> None:
    here.house.variables.update(LLM_JOBS_ALLOWED_HOSTS="listed", OPENAI_API_KEY="sk-0123456789abcdef")
    with pytest.raises(error, match=message) as refusal:
        here.answer(output)
    assert "reviews.yaml:1: " in str(refusal.value)
    assert "key job.output." in str(refusal.value)


def test_the_command_delivers_again_and_run_tells_what_was_delivered(here: Delivering, there: Endpoint) -> None:
    house = here.house
    there.answers = [Told(status=400)]
    document = {
        "name": "reviews",
        "model": "simulated",
        "prompts": [{"name": "answer", "text": "Say it"}],
        "output": [api(here, there), FILE],
    }
    house.write("reviews.yaml", {"job": document})
    ran = house.process("run", "reviews.yaml")
    assert ran.returncode == 1
    assert f"reviews: 1 row in {house.home}/out/reviews.jsonl" in ran.stdout
    assert f"reviews: not delivered to {there.url}: POST {there.url} answered 400" in ran.stderr
    again = house.process("deliver", "reviews", "--json")
    [told] = facts(again.stdout)
    assert (again.returncode, told["destination"], told["status"], told["rows"]) == (0, there.url, "delivered", 1)
    assert "Nothing waits for its delivery" in house.process("deliver", "reviews").stdout
    both = house.process("deliver", "reviews", "--again")
    assert (both.returncode, len(both.stdout.splitlines()), len(there.rows)) == (0, 2, 1)


def test_a_job_without_a_destination_is_not_delivered(here: Delivering) -> None:
    [report] = here.house.answer(here.house.write("plain.yaml", job("plain", ROWS)))
    with here.house.entry.open_services() as services:
        assert deliver(services, report.job_hash) == ()
        assert undelivered(services) == []


def test_a_submission_and_a_receipt_of_before_mean_what_they_meant(here: Delivering) -> None:
    here.answer(FILE)
    with here.house.entry.open_services() as services:
        [submission] = services.ledger.submissions(job_hash=here.job_hash)
        services.ledger.submit([replace(submission, id=None, submitted_ns=None, details={})])
    assert here.waiting()
    with here.house.entry.open_services() as services:
        [record] = services.ledger.results([here.job_hash])[here.job_hash]
        services.ledger.record_receipt(Receipt(job_hash=here.job_hash, result_path=record.path, destination="x"))
    assert not here.waiting()
    here.answer(FILE)
    assert not here.waiting()
