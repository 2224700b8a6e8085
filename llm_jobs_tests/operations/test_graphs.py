"""Jobs that are graphs, from the document to the result: what is asked, once, and what the tables hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.errors import DocumentError
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.spoken import MODEL, answered
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Speaking

ROWS = [
    {"id": 1, "kind": "a", "text": "one\n\ntwo"},
    {"id": 2, "kind": "b", "text": "three"},
    {"id": 3, "kind": "a", "text": "four"},
]
PARTS = {"name": "parts", "task": "split_paragraphs", "inputs": {"text": "{{ text }}"}}
PART = {"name": "part", "split": "parts"}
SHORT = {"name": "short", "text": "shorten {{ part }}"}
PER_KIND = {
    "name": "per_kind",
    "reduce": {"by": ["kind"], "aggregate": {"n": "count", "ids": {"list": "id"}}},
    "text": "{% for row in rows %}{{ row.short }};{% endfor %}",
}


def document(*steps: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = ROWS, **members: Any) -> dict[str, Any]:
    return {"job": {"name": "graph", "model": MODEL, "input": {"rows": list(rows)}, "steps": list(steps), **members}}


def without_facts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if not name.startswith("llm_")} for row in rows]


def test_a_table_is_split_asked_and_grouped_again(house: House, speaking: Speaking) -> None:
    report, rows = answered(house, document(PARTS, PART, SHORT, PER_KIND))
    assert without_facts(rows) == [
        {"kind": "a", "n": 3, "ids": [1, 1, 3], "per_kind": "[[shorten one];[shorten two];[shorten four];]"},
        {"kind": "b", "n": 1, "ids": [2], "per_kind": "[[shorten three];]"},
    ]
    assert (report.status, report.rows, report.calls_sent) == ("done", 2, 6)
    assert len(speaking.bodies) == 6


def test_the_tables_on_the_way_are_kept_beside_the_result_with_their_facts(house: House) -> None:
    report, _ = answered(house, document(PARTS, PART, SHORT, PER_KIND))
    assert report.result is not None
    folder = Path(report.result).parent
    names = sorted(path.name.partition(".")[2] for path in folder.iterdir())
    assert names == ["parquet", "parts.parquet", "short.parquet"]
    [short] = folder.glob("*.short.parquet")
    table = pq.read_table(short)
    assert table.column("short").to_pylist() == [f"[shorten {word}]" for word in ("one", "two", "three", "four")]
    assert table.column("llm_status").to_pylist() == ["succeeded"] * 4


def test_a_graph_that_grows_by_a_step_asks_only_that_step(house: House, speaking: Speaking) -> None:
    answered(house, document(PARTS, PART, SHORT))
    before = len(speaking.bodies)
    report, _ = answered(house, document(PARTS, PART, SHORT, {"name": "long", "text": "lengthen {{ short }}"}))
    assert len(speaking.bodies) - before == report.calls_sent == 4
    assert report.calls_reused == 4
    assert all("lengthen" in asked(body) for body in speaking.bodies[before:])


def test_each_model_of_a_list_is_asked_about_each_row(house: House, speaking: Speaking) -> None:
    models = [MODEL, "openai/gpt-4.1-nano"]
    steps = (
        {"name": "answer", "text": "{{ text }}", "for_each_model": models},
        {"name": "per_model", "reduce": {"by": ["model"], "aggregate": {"answers": {"list": "answer"}}}},
    )
    report, rows = answered(house, document(*steps))
    assert [row["model"] for row in rows] == models
    assert [len(row["answers"]) for row in rows] == [3, 3]
    assert dict(speaking.asked) == {"gpt-4.1-mini": 3, "gpt-4.1-nano": 3}
    assert report.calls_sent == 6
    added = [*models, "openai/gpt-4.1"]
    answered(house, document({**steps[0], "for_each_model": added}, steps[1]))
    assert dict(speaking.asked) == {"gpt-4.1-mini": 3, "gpt-4.1-nano": 3, "gpt-4.1": 3}


def test_each_model_of_a_list_is_asked_about_each_group(house: House, speaking: Speaking) -> None:
    models = [MODEL, "openai/gpt-4.1-nano"]
    _, rows = answered(house, document({**PER_KIND, "text": "{{ rows | length }}", "for_each_model": models}))
    assert [(row["kind"], row["model"], row["n"], row["per_kind"]) for row in rows] == [
        ("a", models[0], 2, "[2]"),
        ("a", models[1], 2, "[2]"),
        ("b", models[0], 1, "[1]"),
        ("b", models[1], 1, "[1]"),
    ]
    assert dict(speaking.asked) == {"gpt-4.1-mini": 2, "gpt-4.1-nano": 2}


def test_a_row_that_fails_before_a_split_is_a_failed_row_of_the_result(house: House) -> None:
    rows = [{"id": 1, "text": "one\n\ntwo"}, {"id": 2, "text": "FAIL"}]
    steps = ({"name": "clean", "text": "{{ text }}"}, PARTS, PART, SHORT)
    report, made = answered(house, document(*steps, rows=rows))
    assert [(row["id"], row["llm_status"]) for row in made] == [(1, "succeeded"), (1, "succeeded"), (2, "failed")]
    assert (report.status, report.failed) == ("partial", 1)


def test_a_group_that_lacks_a_row_says_so_and_the_job_is_partial_until_it_is_asked_again(
    house: House, speaking: Speaking
) -> None:
    rows = [{"id": 1, "kind": "a", "part": "one"}, {"id": 2, "kind": "a", "part": "FAIL"}]
    value = document(SHORT, PER_KIND, rows=rows)
    report, [made] = answered(house, value)
    assert (made["llm_status"], made["per_kind"]) == ("incomplete", "[[shorten one];]")
    assert (report.status, report.failed) == ("partial", 1)
    before = len(speaking.bodies)
    answered(house, value)
    assert [asked(body) for body in speaking.bodies[before:]] == ["shorten FAIL"]


def test_phases_map_and_reduce(house: House) -> None:
    for name, text in (("item_processor", "item {{ text }}"), ("aggregator", "{{ rows | length }} items")):
        folder = house.home / "prompts" / name
        folder.mkdir(parents=True)
        (folder / "1.0.0.yaml").write_text(f"model: {MODEL}\ntext: '{text}'\n")
    phases = [
        {"name": "map", "prompt": "item_processor", "parallel": True},
        {"name": "reduce", "prompt": "aggregator", "parallel": False},
    ]
    _, rows = answered(house, {"job": {"name": "map_reduce", "input": {"rows": ROWS}, "phases": phases}})
    assert without_facts(rows) == [{"reduce": "[3 items]"}]


def test_phases_fan_out_and_in(house: House) -> None:
    texts = {"category_analyzer": "{{ kind }}: {{ rows | length }}", "result_merger": "merge {{ rows | length }}"}
    for name, text in texts.items():
        folder = house.home / "prompts" / name
        folder.mkdir(parents=True)
        (folder / "1.0.0.yaml").write_text(f"model: {MODEL}\ntext: '{text}'\n")
    phases = [
        {"name": "fan_out", "split_by": "kind"},
        {"name": "process", "prompt": "category_analyzer", "parallel": True},
        {"name": "fan_in", "prompt": "result_merger"},
    ]
    report, rows = answered(house, {"job": {"name": "fan", "input": {"rows": ROWS}, "phases": phases}})
    assert without_facts(rows) == [{"fan_in": "[merge 2]"}]
    assert report.calls_sent == 3


def test_a_job_that_only_computes_asks_nothing(house: House, speaking: Speaking) -> None:
    count = {"name": "totals", "reduce": {"by": ["kind"], "aggregate": {"n": "count"}}}
    report, rows = answered(house, document(PARTS, count))
    assert without_facts(rows) == [{"kind": "a", "n": 2}, {"kind": "b", "n": 1}]
    assert (report.status, report.calls_sent, speaking.bodies) == ("done", 0, [])


def test_a_frozen_graph_is_read_as_it_was_written(house: House) -> None:
    inner = [{"name": "first", "text": "{{ text }}"}, {"name": "second", "text": "{{ text }}!"}]
    value = document(
        {"name": "best", "first_of": inner, "when": "kind == 'a'"},
        {"name": "loop", "steps": [{"name": "turn", "text": "{{ best }}"}], "loop": {"until": "turn", "at_most": 2}},
        {"name": "kept", "filter": "id < 3"},
        {"name": "sweep", "for_each": {"tone": ["warm", "cold"]}},
        {"name": "toned", "text": "{{ tone }} {{ best }}", "needs": []},
        PER_KIND | {"text": "{{ rows | length }}"},
    )
    [job] = house.accept(house.write("job.json", value))
    assert job_from_json(job_to_json(job)) == job


def test_the_order_and_needs_of_steps_are_identity_and_a_plain_sequence_has_the_hash_that_it_always_had(
    house: House,
) -> None:
    prompts = [{"name": "a", "text": "{{ text }}"}, {"name": "b", "text": "{{ a }}"}]
    plain = {"job": {"name": "graph", "model": MODEL, "input": {"rows": ROWS}, "prompts": prompts}}
    [as_prompts] = house.accept(house.write("plain.json", plain))
    [as_steps] = house.accept(house.write("steps.json", document(*prompts)))
    [apart] = house.accept(house.write("apart.json", document(prompts[0], {**prompts[1], "needs": ["a"]})))
    assert as_prompts.hash == as_steps.hash
    assert apart.hash != as_steps.hash


@pytest.mark.parametrize("function", ["sum", "mean", "stddev"])
def test_a_number_that_texts_cannot_come_to_is_refused_before_the_texts_are_asked_for(
    house: House, speaking: Speaking, function: str
) -> None:
    total = {"name": "total", "reduce": {"aggregate": {"n": {function: "said"}}}}
    with pytest.raises(DocumentError, match=f"takes the {function} of said, which is of the type string"):
        house.answer(house.write("job.json", document({"name": "said", "text": "{{ text }}"}, total)))
    assert speaking.bodies == []


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"name": "x", "text": "{{ txet }}"}, "txet"),
        ({"name": "x", "filter": "idd > 1"}, "idd"),
        ({"name": "x", "filter": "id >"}, "filter"),
        ({"name": "x", "text": "a", "when": "kin == 'a'"}, "kin"),
        ({"name": "x", "text": "a", "needs": ["y"]}, "'y'"),
        ({"name": "x", "split": "parts"}, "parts"),
        ({"name": "x", "task": "split_paragraph", "inputs": {"text": "a"}}, "did you mean split_paragraphs"),
        ({"name": "x", "task": "text_summary", "inputs": {"text": "a", "model": "m", "txt": "b"}}, "no input 'txt'"),
        ({"name": "x", "task": "split_paragraphs", "inputs": {"text": "a", "txt": "b"}}, "no input 'txt'"),
        ({"name": "x", "task": "split_paragraphs", "inputs": {"text": "{{ txt }}"}}, "txt"),
        ({"name": "x", "reduce": {"by": ["kin"], "aggregate": {"n": "count"}}}, "kin"),
        ({"name": "x", "reduce": {"by": ["kind"]}}, "computes nothing"),
        ({"name": "x", "reduce": {"aggregate": {"n": {"average": "id"}}}}, "average"),
        ({"name": "x", "filter": "id > 1", "text": "a"}, "text is said of a step that is a filter"),
        ({"name": "x", "filter": "id > 1", "split": "kind"}, "at once"),
        ({"name": "kind", "text": "a"}, "kind"),
        ({"name": "x", "for_each": {"kind": ["a"]}}, "'kind', which its table has already"),
        ({"name": "x", "reduce": {"by": ["kind"], "aggregate": {"kind": "count"}}}, "kind"),
        ({"name": "x", "steps": [{"name": "y", "split": "kind"}]}, "makes other rows"),
        ({"name": "x", "steps": [{"name": "y", "text": "a"}], "loop": {"until": "y"}}, "at_most"),
    ],
)
def test_a_step_that_cannot_be_is_refused_before_anything_is_sent(
    house: House, speaking: Speaking, step: dict[str, Any], problem: str
) -> None:
    with pytest.raises(DocumentError, match=problem):
        house.answer(house.write("job.json", document(step)))
    assert speaking.bodies == []
