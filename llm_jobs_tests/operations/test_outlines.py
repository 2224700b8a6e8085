"""Where each step of a graph reads from, and the part of a job that some of its steps need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from llm_jobs.documents.job import Job
from llm_jobs.operations.outlines import part_of, sources_of
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.graph_house import GraphHouse

STEPS: list[dict[str, object]] = [
    {"name": "a", "text": "{{ x }}"},
    {"name": "b", "text": "{{ x }}", "needs": []},
    {"name": "c", "text": "{{ a }} {{ b }}", "needs": ["a", "b"]},
    {"name": "d", "text": "{{ b }}", "needs": ["b"]},
    {"name": "n", "reduce": {"aggregate": {"rows": "count"}}},
    {"name": "e", "text": "{{ rows }}"},
    {"name": "f", "text": "{{ rows }}", "needs": []},
]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return job_of(tmp_path, STEPS)


def job_of(folder: Path, steps: Sequence[Mapping[str, object]]) -> Job:
    members = {"name": "letters", "model": "simulated", "input": {"rows": [{"x": "1"}, {"x": "2"}]}, "steps": steps}
    house = GraphHouse(folder)
    [job] = house.accepted(house.write("letters.json", {"job": members}))
    return job


def test_each_step_reads_from_what_it_needs_or_what_made_its_table(job: Job) -> None:
    assert sources_of(job.graph) == {
        "a": (),
        "b": (),
        "c": ("a", "b"),
        "d": ("b",),
        "n": ("c", "d"),
        "e": ("n",),
        "f": ("n",),
    }


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ({"a"}, "a"),
        ({"d"}, "bd"),
        ({"c"}, "abc"),
        ({"n"}, "abcdn"),
        ({"f"}, "abcdnf"),
    ],
)
def test_a_part_holds_what_is_asked_for_and_what_that_needs(job: Job, asked: set[str], made: str) -> None:
    part = part_of(job, asked)
    assert [step.name for step in part.graph or part.steps] == list(made)
    assert part.hash != job.hash
    assert part_of(job, {"e", "f"}) is job


def test_the_first_step_of_a_sequence_is_the_job_that_has_it_alone(tmp_path: Path) -> None:
    house = House(tmp_path)
    prompts = [{"name": "a", "text": "{{ x }}"}, {"name": "b", "text": "{{ a }}"}]
    both, first = (job_of(house.folder, prompts[:count]) for count in (2, 1))
    assert part_of(both, {"a"}).hash == first.hash
