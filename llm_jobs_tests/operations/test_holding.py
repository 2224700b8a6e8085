"""Documents in the inbox that may cost too much, or whose cost nobody knows, wait until somebody approves them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.errors import NotFound
from llm_jobs.events import ignore
from llm_jobs.ledger.base import JobChange
from llm_jobs.operations.approve import approve_job
from llm_jobs.operations.describe import find_job, job_lines, unfinished
from llm_jobs.operations.intake import intake
from llm_jobs.operations.job_changes import changes_of, hold_in_force
from llm_jobs.operations.priority import set_priority
from llm_jobs.operations.records import IntakeReport
from llm_jobs.operations.run import run_jobs
from llm_jobs_tests.cli.house import ROWS, House, facts, job

PRICED = "simulated: {provider: simulated, price: {input_per_million_usd: 100, output_per_million_usd: 1000}}"
UNPRICED = "mine: {provider: openai, base_url: 'http://127.0.0.1:9/v1'}"


def house(folder: Path, limit_usd: str | None, models: str = PRICED) -> House:
    variables = {} if limit_usd is None else {"LLM_JOBS_HOLD_ABOVE_USD": limit_usd}
    made = House(folder, variables)
    (made.home / "inbox").mkdir(parents=True, exist_ok=True)
    (made.home / "models.yaml").write_text(models, encoding="utf-8")
    return made


def drop(house: House, document: dict[str, Any] | list[dict[str, Any]], **options: Any) -> IntakeReport:
    path = house.write("dear.yaml" if isinstance(document, dict) else "dear.json", json.dumps(document))
    path = path.rename(house.home / "inbox" / path.name)
    os.utime(path, ns=(0, 0))
    with house.entry.open_services() as services:
        return intake(services, budget_s=60, **options)


def dear(**members: Any) -> dict[str, Any]:
    """Three rows of at most 1,000 tokens at $1,000 per million: never above $3."""
    document = job("dear", ROWS, **members)
    document["job"]["prompts"][0]["max_tokens"] = 1_000
    return document


def waiting(house: House) -> list[str]:
    with house.entry.open_services() as services:
        return [each.name for each in unfinished(services)]


def status(house: House) -> tuple[str, str | None]:
    with house.entry.open_services() as services:
        [line] = job_lines(services, [find_job(services, "dear")])
    return line.status, line.waits_for


@pytest.mark.parametrize("limit_usd", [None, "50", "$50"])
def test_what_costs_less_is_launched(tmp_path: Path, limit_usd: str | None) -> None:
    there = house(tmp_path, limit_usd)
    [accepted] = drop(there, dear()).accepted
    assert accepted.held is None
    assert waiting(there) == ["dear"]


@pytest.mark.parametrize("limit_usd", ["2", "0", "much"])
def test_what_may_cost_more_waits_for_approval(tmp_path: Path, limit_usd: str) -> None:
    there = house(tmp_path, limit_usd)
    [accepted] = drop(there, dear()).accepted
    assert accepted.held is not None
    assert "it may cost $3." in accepted.held
    assert waiting(there) == []
    told, why = status(there)
    assert told == "held"
    assert f"llm-jobs approve {accepted.job_hash[:8]}" in (why or "")

    with there.entry.open_services() as services:
        hold = approve_job(services, find_job(services, "dear"), why="agreed")
        assert hold is not None
        assert hold.high_usd is not None
        assert hold.high_usd > 3
        # Were it the other way round, a run could be launched in between.
        assert hold.since_ns <= (find_job(services, "dear").submitted_ns or 0)
        [held, approved] = services.ledger.changes(accepted.job_hash)
        assert (held.who, approved.why) == ("intake", "agreed")
        assert approve_job(services, find_job(services, "dear")) is None
    assert waiting(there) == ["dear"]
    assert status(there)[0] == "null-result"


def messages(jobs: int) -> list[dict[str, Any]]:
    """A document of so many jobs, each of which costs a little more than $1 at most."""
    return [{"id": f"t{at}", "model": "simulated", "prompt": "Go.", "max_tokens": 1_000 + at} for at in range(jobs)]


@pytest.mark.parametrize(("limit_usd", "is_held"), [("5", False), ("4", True), ("2", True)])
def test_the_jobs_of_a_document_wait_together_for_what_they_may_cost_together(
    tmp_path: Path, limit_usd: str, is_held: bool
) -> None:
    there = house(tmp_path, limit_usd)
    accepted = drop(there, messages(4)).accepted
    assert len({each.job_hash for each in accepted}) == 4
    assert [each.held is not None for each in accepted] == [is_held] * 4
    assert len(waiting(there)) == (0 if is_held else 4)
    if is_held:
        [reason] = {each.held for each in accepted}
        assert "the 4 jobs of its document may cost $4." in (reason or "")


def test_what_was_approved_of_a_document_does_not_count_against_the_rest(tmp_path: Path) -> None:
    there = house(tmp_path, "3.5")
    first = drop(there, messages(4)).accepted[0]
    with there.entry.open_services() as services:
        approve_job(services, find_job(services, first.job_hash))
    assert [each.held for each in drop(there, messages(4)).accepted] == [None] * 4


def test_what_was_approved_is_not_held_again(tmp_path: Path) -> None:
    there = house(tmp_path, "2")
    drop(there, dear())
    with there.entry.open_services() as services:
        approve_job(services, find_job(services, "dear"))
    [accepted] = drop(there, dear()).accepted
    assert accepted.held is None
    assert waiting(there) == ["dear"]


def test_what_is_held_and_costs_little_by_now_is_released(tmp_path: Path) -> None:
    there = house(tmp_path, "2")
    [held] = drop(there, dear()).accepted
    with there.entry.open_services() as services:
        list(run_jobs(services, [held.job_hash], listener=ignore))
    [accepted] = drop(there, dear()).accepted
    assert accepted.held is None
    assert status(there) == ("done", None)


def test_a_document_whose_answers_are_known_is_not_held(tmp_path: Path) -> None:
    there = house(tmp_path, "2")
    there.answer(there.write("before.yaml", dear()))
    [accepted] = drop(there, dear(execution={"concurrency": 2})).accepted
    assert accepted.held is None


@pytest.mark.parametrize("limit_usd", ["1000000", None])
def test_without_a_price_it_is_held_where_there_is_a_limit(tmp_path: Path, limit_usd: str | None) -> None:
    there = house(tmp_path, limit_usd, UNPRICED)
    document = job("dear", ROWS)
    document["job"]["model"] = "mine"
    [accepted] = drop(there, document).accepted
    assert (accepted.held is None) == (limit_usd is None)
    if accepted.held is not None:
        assert "no price is known of mine" in accepted.held
        assert waiting(there) == []


def test_a_table_that_is_slow_to_estimate_is_left_for_a_run(tmp_path: Path) -> None:
    there = house(tmp_path, "2")
    (there.home / "rows.csv").write_text("id,text\n" + "".join(f"{at},x{at}\n" for at in range(500)), encoding="utf-8")
    document = dear()
    document["job"]["input"] = {"path": "rows.csv"}
    report = drop(there, document, largest_bytes=20_000)
    assert (report.accepted, report.remaining) == ((), 1)
    with there.entry.open_services() as services:
        [accepted] = intake(services, budget_s=60).accepted
    assert accepted.held is not None


def test_a_cap_that_cannot_be_kept_leaves_the_document_in_the_inbox(tmp_path: Path) -> None:
    there = house(tmp_path, None, UNPRICED)
    document = job("dear", ROWS, budget={"max_cost_usd": 1})
    document["job"]["model"] = "mine"
    report = drop(there, document)
    [postponed] = report.postponed
    assert "no price is known of mine" in postponed.reason
    assert [path.name for path in (there.home / "inbox").iterdir()] == ["dear.yaml"]


def test_the_command_approves_and_says_what_was_held(tmp_path: Path) -> None:
    there = house(tmp_path, "2")
    [accepted] = drop(there, dear()).accepted
    assert "is held: it may cost" in there.invoke("status").output
    [told] = facts(there.invoke("approve", "dear", "--why", "agreed", "--json").output)
    assert (told["job_hash"], told["was_held"]) == (accepted.job_hash, True)
    assert "is not held" in there.invoke("approve", "dear").output
    assert there.invoke("approve", "unknown").exit_code != 0
    with there.entry.open_services() as services, pytest.raises(NotFound):
        find_job(services, "unknown")


def test_a_priority_that_was_changed_holds_until_the_job_is_submitted_again(tmp_path: Path) -> None:
    there = house(tmp_path, None)
    drop(there, dear())

    def priorities() -> list[str]:
        with there.entry.open_services() as services:
            return [each.priority for each in unfinished(services)]

    assert priorities() == ["cold"]
    assert "is hot" in there.invoke("priority", "dear", "hot", "--why", "soon").output
    assert priorities() == ["hot"]
    with there.entry.open_services() as services:
        set_priority(services, find_job(services, "dear"), "cold")
        assert [change.value for change in services.ledger.changes(find_job(services, "dear").job_hash)] == [
            "hot",
            "cold",
        ]
    assert priorities() == ["cold"]
    there.invoke("priority", "dear", "hot")
    drop(there, dear(priority="cold"))
    assert priorities() == ["cold"]


def test_a_change_that_is_no_hold_holds_nothing(tmp_path: Path) -> None:
    there = house(tmp_path, None)
    with there.entry.open_services() as services:
        services.ledger.record_change(JobChange(job_hash="j", field="approved", value=True, who="ada"))
        assert hold_in_force(changes_of(services.ledger, "j")) is None
