"""Groups that are too large for one question: asked in parts, then about the answers, until one is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.errors import DocumentError
from llm_jobs_tests.cli.house import House, facts
from llm_jobs_tests.operations.spoken import MODEL, answered
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Said, Speaking, speaking_server

LIST = "Shorten: {% for row in rows %}{{ row.text }} {% endfor %}"
COMBINE = {"text": "Combine: {% for row in rows %}{{ row.short }} {% endfor %}"}
WORD = "word{:03}" + "x" * 60  # some 70 bytes: three of them and the prompt are 110 tokens by the bytes of the request


def said(body: Mapping[str, Any]) -> Said:
    """How many words were asked about, in all: what an answer says that was combined counts as what it says."""
    question = asked(body)
    if "FAIL" in question:
        return 400
    words = question.partition(": ")[2].split()
    total = sum(int(word) if word.isdigit() else 1 for word in words)
    return str(total)


def words(count: int) -> list[str]:
    return [WORD.format(number) for number in range(count)]


def document(texts: Sequence[str], text: str = LIST, *, by: Sequence[str] = (), **reduce: Any) -> dict[str, Any]:
    rows = [{"kind": "ab"[number % 2], "text": each} for number, each in enumerate(texts)]
    step = {"name": "short", "reduce": {"by": list(by), **reduce}, "text": text}
    return {"job": {"name": "levels", "model": MODEL, "input": {"rows": rows}, "steps": [step]}}


def test_a_group_that_fits_is_one_question(house: House, speaking: Speaking) -> None:
    _, [row] = answered(house, document(words(20), max_input_tokens=2000, combine=COMBINE))
    assert (row["short"], len(speaking.bodies)) == ("20", 1)


def test_a_group_that_does_not_fit_is_asked_in_levels_until_one_answer_is_left(
    house: House, speaking: Speaking
) -> None:
    report, [row] = answered(house, document(words(700), max_input_tokens=120, combine=COMBINE))
    assert (row["short"], row["llm_status"]) == ("700", "succeeded")
    questions = [asked(body) for body in speaking.bodies]
    levels = [sum(question.startswith(mark) for question in questions) for mark in ("Shorten", "Combine")]
    assert levels[0] > 150
    assert levels[1] >= 2
    assert report.calls_sent == len(questions) == sum(levels)
    assert all(len(question) < 3 * 120 for question in questions)
    assert row["llm_prompt_tokens"] == report.prompt_tokens


def test_every_part_is_reused_and_rows_that_are_added_ask_only_what_is_new(house: House, speaking: Speaking) -> None:
    answered(house, document(words(100), max_input_tokens=120, combine=COMBINE))
    before = len(speaking.bodies)
    report, [row] = answered(house, document(words(103), max_input_tokens=120, combine=COMBINE))
    assert row["short"] == "103"
    new = [asked(body) for body in speaking.bodies[before:]]
    assert sum(question.startswith("Shorten") for question in new) <= 2
    assert report.calls_reused > 20
    again, _ = answered(house, document(words(103), max_input_tokens=120, combine=COMBINE) | {})
    assert again.calls_sent == 0


def test_the_same_prompt_puts_the_answers_together_where_nothing_else_is_said(house: House) -> None:
    text = "Shorten: {% for row in rows %}{{ row.short if row.short is defined else row.text }} {% endfor %}"
    _, [row] = answered(house, document(words(30), text, max_input_tokens=120))
    assert row["short"] == "30"


def test_each_group_has_levels_of_its_own_and_an_aggregate_is_of_all_its_rows(house: House) -> None:
    aggregate = {"n": "count"}
    value = document(words(61), by=["kind"], aggregate=aggregate, max_input_tokens=120, combine=COMBINE)
    _, rows = answered(house, value)
    assert [(row["kind"], row["n"], row["short"]) for row in rows] == [("a", 31, "31"), ("b", 30, "30")]


def test_the_window_of_the_model_is_the_limit_where_the_document_says_none(house: House, speaking: Speaking) -> None:
    house.home.mkdir(exist_ok=True)
    (house.home / "models.yaml").write_text("small: {provider: openai, model: gpt-4.1-mini, context_tokens: 3000}\n")
    value = document(words(400), combine=COMBINE)
    value["job"]["model"] = "small"
    _, [row] = answered(house, value)
    assert row["short"] == "400"
    assert 4 <= len(speaking.bodies) <= 10
    assert all(len(asked(body)) < 3 * 3000 for body in speaking.bodies)


def test_a_row_that_is_too_long_alone_is_its_group_s_error_and_no_other_s(house: House, speaking: Speaking) -> None:
    texts = words(12)
    texts[2] = "long" * 200
    _, rows = answered(house, document(texts, by=["kind"], max_input_tokens=120, combine=COMBINE))
    assert [row["llm_status"] for row in rows] == ["invalid_input", "succeeded"]
    assert "row 2 of the group is too long" in rows[0]["llm_error"]
    assert all(len(asked(body)) < 3 * 120 for body in speaking.bodies)


def test_a_part_that_fails_fails_the_group_and_is_all_that_is_asked_again(house: House, speaking: Speaking) -> None:
    texts = words(20)
    texts[9] = "FAIL"
    value = document(texts, max_input_tokens=120, combine=COMBINE)
    report, [row] = answered(house, value)
    assert (report.status, row["llm_status"]) == ("failed", "failed")
    assert "at level 1: " in row["llm_error"]
    before = len(speaking.bodies)
    answered(house, value)
    assert ["FAIL" in asked(body) for body in speaking.bodies[before:]] == [True]


def test_answers_that_do_not_shrink_end_in_an_error(tmp_path: Path) -> None:
    with speaking_server(lambda body: "x" * 300) as speaking:
        house = House(tmp_path, dict(speaking.environment))
        _, [row] = answered(house, document(words(20), max_input_tokens=160, combine=COMBINE))
    assert row["llm_status"] == "invalid_input"
    assert "too long to be put together" in row["llm_error"]


def test_typed_answers_are_rows_of_the_next_level(tmp_path: Path) -> None:
    schema = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}
    with speaking_server(lambda body: f'{{"total": {said(body)}}}') as speaking:
        house = House(tmp_path, dict(speaking.environment))
        combine = {"text": "Combine: {% for row in rows %}{{ row.total }} {% endfor %}"}
        value = document(words(30), max_input_tokens=160, combine=combine)
        value["job"]["steps"][0]["schema"] = schema
        _, [row] = answered(house, value)
    assert row["total"] == 30


def test_a_failed_group_takes_the_fallback_value(house: House) -> None:
    value = document([*words(20), "FAIL"], max_input_tokens=120, combine=COMBINE)
    value["job"]["error_handling"] = {"on_prompt_failure": {"strategy": "fallback", "value": "unknown"}}
    _, [row] = answered(house, value)
    assert (row["short"], row["llm_status"]) == ("unknown", "fallback")


def test_a_plan_tells_the_parts_and_a_job_that_is_answered_needs_no_call(house: House) -> None:
    path = house.write("job.json", document(words(30), max_input_tokens=120, combine=COMBINE))
    [before] = facts(house.invoke("plan", str(path), "--json").output)
    house.answer(path)
    [after] = facts(house.invoke("plan", str(path), "--json").output)
    assert (before["calls"]["new"], before["calls"]["reused"]) == (8, 0)
    assert (after["calls"]["new"], after["calls"]["reused"]) == (0, 9)


@pytest.mark.parametrize("form", ["yaml", "python", "json"])
def test_what_a_group_says_of_levels_is_kept_by_every_form_of_a_graph(house: House, form: str) -> None:
    path = house.write("job.json", document(["one"], max_input_tokens=500, combine=COMBINE))
    printed = house.invoke("graph", str(path), "--format", form)
    assert printed.exit_code == 0, printed.output
    other = house.write(f"other.{'py' if form == 'python' else form}", printed.stdout)
    if form == "python":
        printed = house.invoke("graph", str(other), "--format", "yaml")
        other = house.write("again.yaml", printed.stdout)
    assert house.accept(other)[0].hash == house.accept(path)[0].hash


def test_the_limit_is_identity_only_where_it_is_stated(house: House) -> None:
    plain, limited, combined = (
        house.accept(house.write("job.json", document(["one"], **reduce)))[0]
        for reduce in ({}, {"max_input_tokens": 500}, {"combine": COMBINE})
    )
    assert len({plain.hash, limited.hash, combined.hash}) == 3
    assert job_from_json(job_to_json(combined)) == combined


@pytest.mark.parametrize(
    ("reduce", "key", "what"),
    [
        ({"max_input_tokens": 0}, "reduce.max_input_tokens", "greater than or equal to 1"),
        ({"max_input_tokens": "many"}, "reduce.max_input_tokens", "should be a whole number"),
        ({"max_tokens": 5}, "reduce.max_tokens", "unknown key"),
        ({"combine": "all"}, "reduce.combine", "mapping"),
        ({"combine": {}}, "reduce.combine", "one of text and messages"),
    ],
)
def test_a_mistake_has_its_key(house: House, reduce: Mapping[str, Any], key: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        house.accept(house.write("job.json", document(["one"], **reduce)))
    [problem] = caught.value.problems
    assert problem.key == f"job.steps[0].{key}"
    assert what in problem.what


def test_a_group_that_asks_nothing_has_no_levels(house: House) -> None:
    step = {"name": "groups", "reduce": {"by": ["kind"], "aggregate": {"n": "count"}, "max_input_tokens": 9}}
    value = document(["one"])
    value["job"]["steps"] = [step]
    with pytest.raises(DocumentError, match="asks nothing"):
        house.accept(house.write("job.json", value))


def test_what_combines_reads_only_what_a_group_has(house: House) -> None:
    with pytest.raises(DocumentError, match="a column that the table does not have"):
        house.accept(house.write("job.json", document(["one"], combine={"text": "{{ kinds }}"})))
