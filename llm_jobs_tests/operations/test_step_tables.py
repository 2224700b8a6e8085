"""The tables of a graph's steps: each is found by the name of any of its steps, and held against its digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.events import Event, JobStarted, TableStarted
from llm_jobs.observability.progress import Progress
from llm_jobs.operations.run import run_jobs
from llm_jobs.operations.verify import verify_job
from llm_jobs_tests.cli.house import House, facts
from llm_jobs_tests.operations.spoken import MODEL, answered

ROWS = [{"kind": "a", "text": "one"}, {"kind": "b", "text": "two"}, {"kind": "a", "text": "three"}]
BOTH = {"name": "both", "steps": [{"name": "left", "text": "l {{ text }}"}, {"name": "right", "text": "r {{ text }}"}]}
SUM = {"name": "sum", "reduce": {"by": ["kind"]}, "text": "sum {{ rows | length }}"}
JOB = {"job": {"name": "kinds", "model": MODEL, "input": {"rows": ROWS}, "steps": [BOTH, SUM]}}


def rows_of(house: House, *arguments: str) -> list[dict[str, Any]]:
    told = house.invoke("results", "kinds", "--json", *arguments)
    assert told.exit_code == 0, told.output
    return facts(told.stdout)


def kept(house: House) -> Path:
    """The one table that lies beside the result."""
    [path] = (path for path in (house.home / "results").glob("*/*.parquet") if path.name.count(".") == 2)
    return path


@pytest.mark.parametrize("step", ["both", "left", "right"])
def test_a_step_before_a_group_has_the_table_that_the_group_is_made_of(house: House, step: str) -> None:
    answered(house, JOB)
    found = rows_of(house, "--step", step)
    assert [(row["text"], row["left"], row["right"]) for row in found] == [
        ("one", "[l one]", "[r one]"),
        ("two", "[l two]", "[r two]"),
        ("three", "[l three]", "[r three]"),
    ]


@pytest.mark.parametrize("step", ["sum", "sum.rows"])
def test_a_step_of_the_last_table_has_the_result(house: House, step: str) -> None:
    answered(house, JOB)
    assert rows_of(house, "--step", step) == rows_of(house)


def test_a_step_that_there_is_not_is_told_with_those_that_there_are(house: House) -> None:
    answered(house, JOB)
    told = house.invoke("results", "kinds", "--step", "lft")
    assert told.exit_code == 2
    assert "'left'" in told.output
    assert "both, left, right, sum.rows, sum" in told.output


def test_a_table_beside_the_result_that_was_changed_is_damage(house: House) -> None:
    report, _ = answered(house, JOB)
    told = json.loads(house.invoke("verify", "--json").stdout)
    assert (told["intact"], told["results_checked"], told["tables_checked"]) == (True, 1, 1)
    path = kept(house)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    told = house.invoke("verify")
    assert told.exit_code == 1
    assert "1 result and 1 table of steps checked, 1 damaged" in told.output
    assert path.name in told.output
    with house.entry.open_services() as services:
        assert not verify_job(services, report.job_hash).digest_intact


def test_a_table_beside_the_result_that_is_gone_is_damage(house: House) -> None:
    answered(house, JOB)
    kept(house).unlink()
    assert "the file is missing" in house.invoke("verify").output


SPLIT = {"name": "words", "task": "split_paragraphs", "inputs": {"text": "{{ text }}"}}
WORD = {"name": "word", "split": "words"}
TWICE = {"name": "twice", "text": "{{ word }}", "for_each_model": [MODEL, "openai/gpt-4.1"]}
ALL = {"name": "all", "reduce": {"by": ["id"], "aggregate": {"n": "count"}}}


def test_progress_counts_the_rows_of_every_table_and_learns_how_many_there_are(house: House) -> None:
    rows = [{"id": 1, "text": "one\n\ntwo"}, {"id": 2, "text": "three"}]
    document = {"name": "tables", "model": MODEL, "input": {"rows": rows}, "steps": [SPLIT, WORD, TWICE, ALL]}
    progress, told = Progress(), []

    def listen(event: Event) -> None:
        progress(event)
        if isinstance(event, JobStarted | TableStarted):
            told.append((progress.table, event.rows))

    [job] = house.accept(house.write("job.json", {"job": document}))
    with house.entry.open_services() as services:
        [report] = run_jobs(services, [job.hash], listener=listen)
    assert report.status == "done"
    # Two texts; two models for each of three words, which nobody knows before they are split; a row per id.
    assert told == [((1, 3), 2), ((2, 3), None), ((3, 3), None)]
    assert (progress.rows_done, progress.rows_expected, progress.percent) == (2 + 6 + 2, 10, 100.0)


def test_a_sweep_over_a_known_table_has_a_known_size(house: House) -> None:
    steps = [{**TWICE, "text": "{{ text }}"}]
    rows = [{"text": "one"}, {"text": "two"}]
    [job] = house.accept(house.write("job.json", {"job": {"name": "swept", "input": {"rows": rows}, "steps": steps}}))
    told: list[Event] = []
    with house.entry.open_services() as services:
        list(run_jobs(services, [job.hash], listener=told.append))
    assert [event for event in told if isinstance(event, TableStarted)] == [TableStarted(job.hash, 1, 1, 4)]
