"""Pipelines of jobs: what the reference's blocks mean, and what each mistake is answered with."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_jobs.documents.formats.pipeline_of_jobs import ParsedPipeline
from llm_jobs.documents.graphs import cycle_of
from llm_jobs.documents.parsing import parse_document, read_pipeline
from llm_jobs.errors import DocumentError
from llm_jobs_tests.reference.stage import block

CHAIN = block(14)
DIAMOND = block(17)


def parsed(text: str) -> ParsedPipeline:
    found = read_pipeline("nightly.yaml", text.encode())
    assert found is not None
    return found


def needs(text: str) -> dict[str, tuple[str, ...]]:
    return {job.id: job.needs for job in parsed(text).jobs}


def test_bare_names_come_one_after_the_other() -> None:
    assert parsed(CHAIN).name == "full_analysis_pipeline"
    assert needs(CHAIN) == {
        "collect_data_job": (),
        "preprocess_job": ("collect_data_job",),
        "analyze_job": ("preprocess_job",),
        "report_job": ("analyze_job",),
    }


def test_entries_with_ids_come_after_what_they_list_and_the_file_names_the_pipeline() -> None:
    assert parsed(DIAMOND).name == "nightly"
    assert needs(DIAMOND) == {"job1": (), "job2a": ("job1",), "job2b": ("job1",), "job3": ("job2a", "job2b")}
    assert [job.name for job in parsed(DIAMOND).jobs] == ["collector", "processor_a", "processor_b", "aggregator"]


def test_a_bare_name_comes_after_the_entry_before_it_and_another_document_is_no_pipeline() -> None:
    assert needs("pipeline: {jobs: [{id: x, name: a}, b, {name: c, depends_on: x}]}")["b"] == ("x",)
    assert read_pipeline("a.yaml", b"job: {name: pipeline}") is None
    assert read_pipeline("a.jsonl", b'{"custom_id": "pipeline"}') is None


MISTAKES = [
    ("pipeline: {}", "pipeline.jobs", 1, "'jobs' is missing", "add 'jobs'"),
    ("pipeline: {job: [a]}", "pipeline.job", 1, "unknown key 'job'", "did you mean 'jobs'?"),
    ("pipeline:\n  jobs: []", "pipeline.jobs", 2, "at least 1 item", "add at least one"),
    ("pipeline:\n  jobs: a", "pipeline.jobs", 2, "should be a list", "write a list"),
    ("pipeline:\n  jobs: [7]", "pipeline.jobs[0]", 2, "should be a mapping", "write a mapping"),
    ("pipeline:\n  jobs:\n  - {id: a}", "pipeline.jobs[0].name", 3, "'name' is missing", "add 'name'"),
    ("pipeline:\n  jobs:\n  - a\n  - {nme: a}", "pipeline.jobs[1].nme", 4, "unknown key 'nme'", "'name'"),
    ("pipeline:\n  jobs:\n  - a\n  - a", "pipeline.jobs[1]", 4, "a second job has the id 'a'", "write `id:`"),
    (
        "pipeline:\n  jobs:\n  - {id: first, name: a}\n  - {id: b, name: b, depends_on: [frist]}",
        "pipeline.jobs[1].depends_on[0]",
        4,
        "no job of the pipeline has the id 'frist'",
        "did you mean 'first'?",
    ),
    (
        "pipeline:\n  jobs:\n  - {id: z, name: z}\n  - {id: a, name: a, depends_on: [c]}\n"
        "  - {id: b, name: b, depends_on: [a]}\n  - {id: c, name: c, depends_on: [b, z]}",
        "pipeline.jobs[1].depends_on",
        4,
        "a → c → b → a",
        "remove one",
    ),
    ("pipeline:\n  jobs: [{name: a, depends_on: a}]", "pipeline.jobs[0].depends_on", 2, "a → a", "remove one"),
]


@pytest.mark.parametrize(("text", "key", "line", "what", "remedy"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_a_mistake_is_answered_with_line_key_rule_and_remedy(
    text: str, key: str, line: int, what: str, remedy: str
) -> None:
    with pytest.raises(DocumentError) as caught:
        parsed(text)
    problem = next(problem for problem in caught.value.problems if problem.key == key)
    assert problem.line == line
    assert what in problem.what
    assert remedy in (problem.remedy or "")


def test_where_one_job_is_asked_for_a_pipeline_is_refused_with_the_way_to_run_it() -> None:
    with pytest.raises(DocumentError, match="llm-jobs run"):
        parse_document("a.yaml", CHAIN.encode())


def test_a_mistaken_first_key_is_led_to_the_right_one() -> None:
    with pytest.raises(DocumentError, match="did you mean 'pipeline'"):
        parse_document("a.yaml", b"pipline: {jobs: [a]}")


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20))
def test_a_cycle_is_found_exactly_where_there_is_no_order(edges: list[tuple[int, int]]) -> None:
    graph = {str(node): [str(after) for before, after in edges if before == node] for node in range(8)}
    path = cycle_of(graph)
    assert all(after in graph[before] for before, after in pairwise(path))
    assert bool(path) == (_ordered(graph) is None)
    assert not path or path[0] == path[-1]


def _ordered(graph: dict[str, list[str]]) -> list[str] | None:
    left, order = dict(graph), []
    while free := [node for node, after in left.items() if not set(after) & left.keys()]:
        order += free
        for node in free:
            del left[node]
    return None if left else order
