"""Who spent what: the first buyer pays, reuse shows what it saved."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from llm_jobs.clock import SetClock
from llm_jobs.ledger.base import Facts, Outcome, ResultRecord, Submission, Want
from llm_jobs.ledger.opening import open_ledger
from llm_jobs.ledger.owners import this_process
from llm_jobs.operations.services import Services, open_services
from llm_jobs.operations.usage import UNLABELLED, Grouping, UsageLine, usage, usage_sheet
from llm_jobs.settings import Settings

DAY_S = 86_400
TODAY = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Shop:
    """A home whose ledger is told directly what was bought and reused."""

    def __init__(self, services: Services, clock: SetClock) -> None:
        self.services = replace(services, clock=clock, ledger=open_ledger(services.settings.database_url, clock=clock))
        self.clock = clock
        self._ledger = self.services.ledger
        self._owner = self._ledger.open_owner(this_process())
        self._calls = 0

    def job(self, name: str, submitter: str, **labels: str) -> Submission:
        job_hash = sha256(name.encode()).hexdigest()[:32]
        submission = Submission(
            job_hash=job_hash,
            name=name,
            document_name=f"{name}.yaml",
            document=b"",
            job=b"{}",
            submitter=submitter,
            origin="cli",
            labels=labels,
        )
        [number] = self._ledger.submit([submission])
        return replace(submission, id=number)

    def buy(self, job: Submission, *, model: str = "small", cost_usd: float | None = 0.25, tokens: int = 10) -> None:
        self._calls += 1
        call_hash = f"{self._calls:032x}"
        want = Want(
            call_hash=call_hash, job_hash=job.job_hash, submission_id=job.id or 0, provider="openai", model=model
        )
        exchange = self._ledger.exchange(self._owner, outcomes=[], wants=[want])
        facts = Facts(status="succeeded", prompt_tokens=tokens, completion_tokens=1, cost_usd=cost_usd, latency_s=0.5)
        outcome = Outcome(
            intent_id=exchange.granted[call_hash],
            call_hash=call_hash,
            facts=facts,
            final=True,
            request=b"{}",
            answer=b"{}",
        )
        self._ledger.exchange(self._owner, outcomes=[outcome], wants=[])

    def reuse(self, job: Submission, *, calls: int, saved_usd: float) -> None:
        epoch_ns = self.clock.now_ns()
        record = ResultRecord(
            job_hash=job.job_hash,
            path=f"{job.job_hash}/{epoch_ns}.parquet",
            epoch_ns=epoch_ns,
            sha256="0" * 64,
            size_bytes=1,
            rows=calls,
            succeeded=calls,
            failed=0,
            facts={"calls_reused": calls, "saved_usd": saved_usd},
        )
        self._ledger.record_result(record)

    def told(self, *by: Grouping, since_ns: int | None = None, until_ns: int | None = None) -> list[UsageLine]:
        return usage(self.services, by=by, since_ns=since_ns, until_ns=until_ns)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    settings = Settings.from_environment({"LLM_JOBS_HOME": str(tmp_path)}, working_directory=tmp_path)
    clock = SetClock(round(TODAY.timestamp() * 1e9))
    with open_services(settings, environment={}, working_directory=tmp_path) as services:
        opened = Shop(services, clock)
        yield opened
        opened.services.ledger.close()


def test_spend_is_the_first_buyers_and_reuse_tells_what_it_saved(shop: Shop) -> None:
    ada, bob = shop.job("reviews", "ada"), shop.job("again", "bob")
    for _ in range(4):
        shop.buy(ada)
    shop.reuse(bob, calls=4, saved_usd=1.0)
    first, second = shop.told("submitter")
    assert (first.group, first.calls, first.cost_usd, first.saved_usd) == ({"submitter": "ada"}, 4, 1.0, None)
    assert (second.group, second.calls, second.cost_usd) == ({"submitter": "bob"}, 0, None)
    assert (second.calls_reused, second.saved_usd) == (4, 1.0)


def test_days_are_utc_and_the_bounds_hold(shop: Shop) -> None:
    job = shop.job("reviews", "ada")
    for _ in range(3):
        shop.buy(job)
        shop.clock.advance(DAY_S)
    assert [line.group["day"] for line in shop.told("day")] == ["2026-11-21", "2026-11-22", "2026-11-23"]
    midnights = [round(datetime(2026, 11, day, tzinfo=UTC).timestamp()) * 10**9 for day in (22, 23)]
    [line] = shop.told("day", since_ns=midnights[0], until_ns=midnights[1])
    assert line.group == {"day": "2026-11-22"}


def test_a_call_without_a_price_is_counted_and_adds_nothing_to_the_cost(shop: Shop) -> None:
    job = shop.job("reviews", "ada")
    shop.buy(job, cost_usd=None)
    [line] = shop.told("job")
    assert (line.cost_usd, line.unpriced) == (None, 1)
    shop.buy(job, cost_usd=0.5)
    [line] = shop.told("job")
    assert (line.cost_usd, line.unpriced, line.prompt_tokens, line.latency_s) == (0.5, 1, 20, 0.5)


def test_a_job_counts_under_each_of_its_labels_and_one_without_under_none(shop: Shop) -> None:
    shop.buy(shop.job("reviews", "ada", team="red", stage="test"))
    shop.buy(shop.job("plain", "ada"))
    assert {line.group["label"]: line.cost_usd for line in shop.told("label")} == {
        "team=red": 0.25,
        "stage=test": 0.25,
        UNLABELLED: 0.25,
    }


def test_several_groupings_make_one_line_for_each_combination(shop: Shop) -> None:
    job = shop.job("reviews", "ada")
    shop.buy(job)
    shop.buy(job, model="large")
    shop.reuse(job, calls=2, saved_usd=0.5)
    lines = shop.told("day", "model", "job")
    assert [tuple(line.group.values()) for line in lines] == [
        ("2026-11-21", "large", "reviews"),
        ("2026-11-21", "small", "reviews"),
    ]
    assert {line.saved_usd for line in lines} == {None}


def test_the_sheet_shows_a_month_newest_first_with_a_plot(shop: Shop) -> None:
    job = shop.job("reviews", "ada")
    shop.buy(job, cost_usd=100.0)
    shop.clock.advance(30 * DAY_S)
    for number in range(7):
        shop.buy(job, model=f"model-{number}", cost_usd=float(number), tokens=1000)
    shop.clock.advance(DAY_S)
    shop.buy(job, model="model-6")
    sheet = usage_sheet(shop.services)
    assert sheet.cost_usd == sum(range(7)) + 0.25
    assert sheet.lines[0].group["day"] == "2026-12-22"
    assert len(sheet.lines) == 8
    assert sheet.plot is not None
    picture = base64.b64decode(sheet.plot.partition("base64,")[2].rstrip(")")).decode()
    names = set(re.findall(r">(model-\d|others)<", picture))
    assert names == {"model-6", "model-5", "model-4", "model-3", "others", "model-0", "model-1", "model-2"} & names
    assert "others" in names
    assert "12-21" in picture


def test_an_empty_ledger_has_an_empty_sheet(shop: Shop) -> None:
    sheet = usage_sheet(shop.services)
    assert (list(sheet.lines), sheet.cost_usd, sheet.plot) == ([], None, None)
