"""Jobs that wait for jobs: across files and restarts, in pipelines, and where one of them fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from llm_jobs.ledger.base import JobChange, Ledger
from llm_jobs.operations.accept import read_document, record
from llm_jobs.operations.deferred import all_deferred
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.intake import intake
from llm_jobs.operations.launchable import launchable
from llm_jobs.operations.overview import overview
from llm_jobs.operations.recurring import submit_recurring
from llm_jobs.operations.release import release
from llm_jobs_tests.operations.launching import House, document, opened

PARTLY = "input: {rows: [{word: a}, {word: null}]}"
BROKEN = "input: {rows: [{word: null}]}"
DIAMOND = """\
pipeline:
  name: nightly
  jobs:
    - {id: job1, name: collector}
    - {id: job2a, name: processor_a, depends_on: [job1]}
    - {id: job2b, name: processor_b, depends_on: [job1]}
    - {id: job3, name: aggregator, depends_on: [job2a, job2b]}
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path) as found:
        yield found


def step(house: House) -> list[str]:
    """One look of the launcher, and a run of all that it finds; the names of what ran."""
    release(house.services)
    jobs = launchable(house.services).jobs
    house.run(*(job.job_hash for job in jobs))
    return sorted(job.name for job in jobs)


def reasons(house: House) -> dict[str, str | None]:
    return {line.name: line.waits_for for line in overview(house.services, 100) if line.waits_for}


def asked(word: str) -> str:
    return f"What is {{{{ word }}}} in {word}?"


def test_a_job_starts_when_what_it_needs_is_done_also_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as house:
        report = house.drop("b.yaml", document("second", "depends_on: [first]", text="Name a fruit."))
        assert [each.name for each in report.deferred] == ["second"]
        assert step(house) == []
        assert reasons(house) == {"second": "it waits for first, which was never submitted"}
    with opened(tmp_path, utc="2026-11-24T12:00:00") as house:
        house.drop("a.yaml", document("first"))
        assert "first (" in (reasons(house)["second"] or "")
        assert "has not ended yet" in (reasons(house)["second"] or "")
        assert step(house) == ["first"]
    with opened(tmp_path, utc="2026-11-25T12:00:00") as house:
        assert step(house) == ["second"]
        assert step(house) == []
        assert reasons(house) == {}


def test_a_job_may_need_a_hash_and_several_jobs(house: House) -> None:
    (first,) = house.drop("a.yaml", document("first")).accepted
    house.drop("c.yaml", document("third", f"depends_on: [{first.job_hash}, second]", text="Name a fruit."))
    assert step(house) == ["first"]
    assert reasons(house) == {"third": "it waits for second, which was never submitted"}
    house.drop("b.yaml", document("second", text="Name a bird."))
    assert [step(house), step(house), step(house)] == [["second"], ["third"], []]


def test_what_another_job_writes_may_be_missing_at_submission_and_is_read_when_it_is_there(house: House) -> None:
    table = house.home / "words.jsonl"
    reading = document("reader", "depends_on: [writer]", "input: {path: words.jsonl}", text="Is {{ word }} a fruit?")
    assert house.drop("b.yaml", reading).deferred
    house.drop("a.yaml", document("writer"))
    assert step(house) == ["writer"]
    table.write_text('{"word": "pear"}\n{"word": "plum"}\n')
    assert step(house) == ["reader"]
    (report,) = house.run(find_job(house.services, "reader").job_hash)
    assert (report.status, report.rows) == ("done", 2)


def test_a_document_that_is_still_wrong_when_it_is_due_is_refused_and_those_that_need_it_say_so(house: House) -> None:
    reading = document("reader", "depends_on: [writer]", "input: {path: words.jsonl}", text="Is {{ word }} a fruit?")
    house.drop("b.yaml", reading)
    house.drop("c.yaml", document("last", "depends_on: reader", text="Name a fish."))
    house.drop("a.yaml", document("writer"))
    step(house)
    assert [each.name for each in release(house.services).refused] == ["reader"]
    assert not release(house.services).refused
    assert "words.jsonl" in (reasons(house)["reader"] or "")
    assert "it waits for reader, which was refused" in (reasons(house)["last"] or "")
    (house.home / "words.jsonl").write_text('{"word": "pear"}\n')
    house.drop("b.yaml", reading)  # submitted again, it replaces what was refused
    assert [step(house), step(house)] == [["reader"], ["last"]]


def test_a_job_that_failed_holds_back_what_depends_on_it_until_it_is_repaired(house: House) -> None:
    house.drop("a.yaml", document("first", BROKEN, text=asked("French")))
    house.drop("b.yaml", document("second", "depends_on: first", text="Name a fruit."))
    assert step(house) == ["first"]
    assert step(house) == []
    reason = reasons(house)["second"] or ""
    assert "ended with 1 of 1 rows failed; llm-jobs run first" in reason
    house.drop("a.yaml", document("first", "input: {rows: [{word: pear}]}", text=asked("French")))
    assert [step(house), step(house)] == [["first"], ["second"]]


@pytest.mark.parametrize(("rule", "ran"), [("", []), ("on_partial: run", ["second"])])
def test_a_job_of_which_some_rows_failed_counts_only_where_the_document_says_so(
    house: House, rule: str, ran: list[str]
) -> None:
    house.drop("a.yaml", document("first", PARTLY, text=asked("French")))
    sections = ["depends_on: first", *([rule] if rule else [])]
    house.drop("b.yaml", document("second", *sections, text="Name a fruit."))
    assert step(house) == ["first"]
    assert step(house) == ran
    assert ran or "`on_partial: run` does without" in (reasons(house)["second"] or "")


def test_jobs_that_would_wait_for_each_other_are_refused_with_the_path(house: House) -> None:
    house.drop("a.yaml", document("first", "depends_on: third"))
    house.drop("b.yaml", document("second", "depends_on: first"))
    (rejected,) = house.drop("c.yaml", document("third", "depends_on: second")).rejected
    assert "third → second → first → third" in rejected.error
    assert "c.yaml:4" in rejected.error


def test_submitted_again_a_document_replaces_the_one_that_waits(house: House) -> None:
    house.drop("b.yaml", document("second", "depends_on: first", text="Name a fruit."))
    house.drop("b.yaml", document("second", "depends_on: first", text="Name a bird."))
    house.drop("a.yaml", document("first"))
    assert [step(house), step(house), step(house)] == [["first"], ["second"], []]
    assert len(house.services.ledger.submissions(name="second")) == 1


def test_of_many_that_wait_the_newest_are_listed_and_hide_no_job(house: House) -> None:
    for number in range(4):
        house.drop(f"{number}.yaml", document(f"job {number}", "depends_on: first", text=f"Name colour {number}."))
    house.drop("free.yaml", document("free"))
    assert [line.name for line in overview(house.services, 2)] == ["job 3", "job 2", "free"]


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_a_kill_while_a_document_becomes_a_job_loses_nothing_and_asks_nothing_twice(
    house: House, *, in_pipeline: bool
) -> None:
    house.keep("documents", "second.yaml", document("second", "depends_on: first", text="Name a fruit."))
    text = "pipeline: {jobs: [second]}" if in_pipeline else (house.home / "documents/second.yaml").read_text()
    house.drop("nightly.yaml" if in_pipeline else "second.yaml", text)
    house.drop("first.yaml", document("first"))
    assert step(house) == ["first"]
    (each,) = all_deferred(house.services.ledger)
    document_of_it = read_document(house.services, house.home / "documents" / "second.yaml")
    record(house.services, document_of_it, origin="inbox", details={"deferred": each.id})  # and then it was killed
    assert [step(house), step(house)] == [["second"], []]
    assert house.services.ledger.audit().intents == 2


def test_processes_that_look_at_once_make_one_job(house: House) -> None:
    house.drop("b.yaml", document("second", "depends_on: first", text="Name a fruit."))
    house.drop("a.yaml", document("first"))
    assert step(house) == ["first"]
    with ThreadPoolExecutor(4) as pool:
        released = [each.result() for each in [pool.submit(release, house.services) for _ in range(4)]]
    assert len({accepted.job.hash for one in released for accepted in one.accepted}) == 1
    assert [step(house), step(house)] == [["second"], []]
    assert house.services.ledger.audit().intents == 2


def test_a_recurring_document_waits_after_its_tick_and_the_next_tick_takes_its_place(house: House) -> None:
    schedule = "schedule: {cron: 5 9 * * *}"
    first = house.keep("recurring", "first.yaml", document("first", "schedule: {cron: 0 9 * * *}"))
    second = house.keep("recurring", "second.yaml", document("second", schedule, "depends_on: first", text="A fruit?"))
    assert len(submit_recurring(house.services, first, tick_ns=1).accepted) == 1
    ticks = [submit_recurring(house.services, second, tick_ns=number) for number in (2, 3)]
    assert [tick.waits is not None and "has not ended yet" in tick.waits for tick in ticks] == [True, True]
    assert [step(house), step(house), step(house)] == [["first"], ["second"], []]
    (submission,) = house.services.ledger.submissions(name="second")
    assert (submission.origin, submission.as_of_ns) == ("schedule", 3)
    assert len(submit_recurring(house.services, second, tick_ns=4).accepted) == 1  # what it needs is done
    assert submit_recurring(house.services, house.home / "gone.yaml", tick_ns=5).skipped


def keep_four(house: House, **sections: str) -> None:
    fruits = {"collector": "pear", "processor_a": "plum", "processor_b": "fig", "aggregator": "kiwi"}
    for name, fruit in fruits.items():
        own = [sections[name]] if name in sections else []
        house.keep(
            "documents",
            f"{name}.yaml",
            document(name, *own, text=f'What is {{{{ word or "a {fruit}" }}}}?' if own else f"What is a {fruit}?"),
        )


def test_a_diamond_runs_in_order_and_each_job_knows_its_pipeline(house: House) -> None:
    keep_four(house)
    assert len(house.drop("nightly.yaml", DIAMOND).deferred) == 4
    ran = [step(house) for _ in range(4)]
    assert ran == [["collector"], ["processor_a", "processor_b"], ["aggregator"], []]
    pipelines = [each.details["pipeline"] for each in house.services.ledger.submissions(bodies=False)]
    assert {each["member"] for each in pipelines} == {"job1", "job2a", "job2b", "job3"}
    assert {each["name"] for each in pipelines} == {"nightly"}
    assert len({each["id"] for each in pipelines}) == 1


def test_a_chain_goes_on_after_a_restart_in_the_middle(tmp_path: Path) -> None:
    with opened(tmp_path) as house:
        keep_four(house)
        house.drop("chain.yaml", "pipeline: {jobs: [collector, processor_a, aggregator]}")
        assert step(house) == ["collector"]
    with opened(tmp_path) as house:
        assert reasons(house)["aggregator"] == "it waits for processor_a, which waits itself"
        assert [step(house), step(house), step(house)] == [["processor_a"], ["aggregator"], []]


def test_a_pipeline_that_ran_before_costs_nothing_and_is_done_at_once(house: House) -> None:
    keep_four(house)
    house.drop("nightly.yaml", DIAMOND)
    for _ in range(4):
        step(house)
    house.drop("nightly.yaml", DIAMOND)
    assert len(release(house.services).accepted) == 4
    assert step(house) == []


WRONG: list[tuple[str, str, Callable[[House], object]]] = [
    (
        "processor_b",
        "did you mean",
        lambda house: (house.home / "documents" / "processor_b.yaml").rename(house.home / "x"),
    ),
    (
        "model",
        "unknown key",
        lambda house: house.keep("documents", "collector.yaml", document("collector", "modle: x")),
    ),
]


@pytest.mark.parametrize(("told", "remedy", "spoil"), WRONG)
def test_a_pipeline_of_which_one_job_is_wrong_is_refused_as_a_whole(
    house: House, told: str, remedy: str, spoil: Callable[[House], object]
) -> None:
    keep_four(house)
    spoil(house)
    (rejected,) = house.drop("nightly.yaml", DIAMOND).rejected
    assert told in rejected.error
    assert remedy in rejected.error
    assert overview(house.services, 100) == []


def test_a_job_of_a_pipeline_that_was_submitted_before_needs_no_file(house: House) -> None:
    house.drop("collector.yaml", document("collector"))
    house.drop("chain.yaml", "pipeline: {jobs: [collector]}")
    assert step(house) == ["collector"]
    assert len(house.services.ledger.submissions(name="collector")) == 2


class Counting:
    """A ledger, and how many changes were read of it."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.read = 0

    def changes_since(self, change_id: int) -> Sequence[JobChange]:
        found = self._ledger.changes_since(change_id)
        self.read += len(found)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)


def test_documents_that_wait_are_taken_in_without_reading_those_before_them_again(house: House) -> None:
    for number in range(20):
        house.keep("inbox", f"{number:02}.yaml", document(f"job_{number}", "depends_on: [never]"))
    counting = Counting(house.services.ledger)
    report = intake(replace(house.services, ledger=cast(Ledger, counting)), budget_s=60)
    assert len(report.deferred) == 20
    assert counting.read < 20
