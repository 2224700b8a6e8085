"""Files that arrive: each is submitted once, whole, as the table of the document that waits for it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs.operations.arrivals import Arrivals, take_arrivals
from llm_jobs.operations.launchable import launchable
from llm_jobs.operations.release import release
from llm_jobs_tests.operations.launching import House, document, opened

TRIGGER = "triggers: [{type: file_created, path: incoming/*.json}]"
TEXT = "Is {{ word }} a fruit?"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path) as found:
        found.keep("recurring", "fruits.yaml", document("fruits", TRIGGER, text=TEXT))
        yield found


def arrive(house: House, name: str, *words: str, age_s: float = 60) -> Path:
    path = house.keep("incoming", name, json.dumps([{"word": word} for word in words]))
    return set_age(house, path, age_s)


def set_age(house: House, path: Path, age_s: float) -> Path:
    modified_ns = house.clock.now_ns() - int(age_s * 1e9)
    os.utime(path, ns=(modified_ns, modified_ns))
    return path


def take(house: House, *, budget_s: float = 60) -> Arrivals:
    return take_arrivals(house.services, budget_s=budget_s)


def run_all(house: House) -> list[int]:
    """Rows of each job that ran, the smallest first."""
    release(house.services)
    return sorted(report.rows for report in house.run(*(job.job_hash for job in launchable(house.services).jobs)))


def test_each_file_is_one_job_with_the_file_as_its_table_also_after_a_restart(tmp_path: Path) -> None:
    with opened(tmp_path) as house:
        house.keep("recurring", "fruits.yaml", document("fruits", TRIGGER, text=TEXT))
        arrive(house, "a.json", "pear", "plum")
        arrive(house, "b[1].json", "fig")
        arrive(house, ".hidden.json", "x")
        arrive(house, "c.csv", "x")
        assert len(take(house).accepted) == 2
        assert run_all(house) == [1, 2]
    with opened(tmp_path) as house:
        assert take(house) == Arrivals(accepted=[], deferred=[], problems=[])
        arrive(house, "d.json", "kiwi")
        (accepted,) = take(house).accepted
        (submission,) = house.services.ledger.submissions(job_hash=accepted.job.hash)
        assert submission.origin == "trigger"
        assert submission.details["file"]["path"] == str(house.home / "incoming" / "d.json")


def test_a_file_that_is_being_written_or_is_empty_is_not_taken_yet(house: House) -> None:
    growing = arrive(house, "a.json", "pear", age_s=0.5)
    set_age(house, house.keep("incoming", "b.json", ""), 60)
    assert not take(house).accepted
    house.clock.advance(5)
    assert [each.job.input.url for each in take(house).accepted] == [str(growing)]


def test_a_file_with_new_bytes_is_a_new_one_and_one_with_the_same_bytes_costs_nothing(house: House) -> None:
    arrive(house, "a.json", "pear", "plum")
    (first,) = take(house).accepted
    assert run_all(house) == [2]
    arrive(house, "a.json", "pear", "plum", age_s=30)
    (again,) = take(house).accepted
    assert again.job.hash == first.job.hash
    assert run_all(house) == []
    arrive(house, "a.json", "pear", "plum", "fig", age_s=20)
    (new,) = take(house).accepted
    (report,) = house.run(new.job.hash)
    assert (report.calls_sent, report.calls_reused) == (1, 2)
    assert not take(house).accepted


def test_many_files_in_one_look_come_oldest_first_and_the_rest_at_the_next(house: House) -> None:
    for number in range(30):
        arrive(house, f"{number:02}.json", f"fruit {number}", age_s=100 - number)
    first = take(house, budget_s=0)
    assert ([Path(each.job.input.url or "").name for each in first.accepted], first.remaining) == (["00.json"], 29)
    assert len(take(house).accepted) == 29


def test_a_bad_file_is_told_once_and_the_others_go_on(house: House) -> None:
    house.keep("recurring", "fruits.yaml", document("fruits", TRIGGER.replace("json", "csv"), text=TEXT))
    bad = house.keep("incoming", "bad.csv", "other\n1\n")
    set_age(house, bad, 60)
    set_age(house, house.keep("incoming", "good.csv", "word\npear\n"), 50)
    found = take(house)
    assert len(found.accepted) == 1
    (problem,) = found.problems
    assert "bad.csv" in problem
    assert "word" in problem
    assert take(house) == Arrivals(accepted=[], deferred=[], problems=[])
    set_age(house, house.keep("incoming", "bad.csv", "word\nplum\n"), 10)
    assert len(take(house).accepted) == 1


def test_a_bad_document_and_a_folder_that_is_not_allowed_are_told_and_the_others_go_on(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.json").write_text('[{"word": "pear"}]')
    house.keep("recurring", "bad.yaml", document("bad", TRIGGER.replace("path", "pth"), text=TEXT))
    house.keep("recurring", "far.yaml", document("far", TRIGGER.replace("incoming", str(outside)), text=TEXT))
    link = house.home / "incoming" / "link.json"
    arrive(house, "good.json", "pear")
    link.symlink_to(outside / "a.json")
    found = take(house)
    assert len(found.accepted) == 1
    assert sorted(problem.partition(":")[0] for problem in found.problems) == ["bad.yaml", "far.yaml", "fruits.yaml"]


def test_a_folder_may_be_allowed_and_two_patterns_that_fit_one_file_make_one_job(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    with opened(tmp_path, LLM_JOBS_ALLOWED_ROOTS=str(outside)) as house:
        twice = (
            f"triggers: [{{type: file_created, path: {outside}/**/*.json}}, {{type: file_created, path: {outside}/a*}}]"
        )
        house.keep("recurring", "fruits.yaml", document("fruits", twice, text=TEXT))
        path = outside / "a.json"
        path.write_text('[{"word": "pear"}]')
        set_age(house, path, 60)
        assert len(take(house).accepted) == 1


def test_a_document_with_a_table_of_its_own_is_submitted_with_that_table(house: House) -> None:
    own = document("own", TRIGGER, "input: {rows: [{word: fig}, {word: kiwi}]}", text=TEXT)
    house.keep("recurring", "fruits.yaml", own)
    arrive(house, "a.json", "pear")
    (accepted,) = take(house).accepted
    assert len(accepted.job.input.rows) == 2


def test_the_job_of_a_file_may_wait_for_another_job(house: House) -> None:
    waiting = document("fruits", TRIGGER, "depends_on: first", text=TEXT)
    house.keep("recurring", "fruits.yaml", waiting)
    arrive(house, "a.json", "pear")
    arrive(house, "b.json", "plum", "fig")
    assert len(take(house).deferred) == 2
    assert not take(house).deferred
    house.drop("first.yaml", document("first"))
    assert run_all(house) == [1]
    assert len(release(house.services, budget_s=0).accepted) == 1
    assert run_all(house) == [1, 2]
    assert take(house) == Arrivals(accepted=[], deferred=[], problems=[])
