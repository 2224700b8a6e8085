"""What a graph would ask, told before it is asked: a plan states what a run then does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.documents.job import Job
from llm_jobs.errors import DocumentError
from llm_jobs.operations.dry_run import DryRow, Hidden, dry_rows
from llm_jobs.operations.examine import examine_named
from llm_jobs.operations.plan import JobPlan, plan_named
from llm_jobs.operations.planned_table import planned_table
from llm_jobs.operations.services import Services
from llm_jobs.operations.so_far import answered_so_far, is_answered, prepared_steps
from llm_jobs.operations.why import why_row
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.spoken import MODEL
from llm_jobs_tests.operations.test_graphs import PART, PARTS, PER_KIND, ROWS, SHORT, document
from llm_jobs_tests.servers.speaking import Speaking

MOOD = {"name": "mood", "text": "mood of {{ part }}", "needs": []}
BOTH = {"name": "both", "text": "{{ short }} and {{ mood }}", "needs": ["short", "mood"], "when": "kind == 'a'"}
GRAPH: tuple[Mapping[str, Any], ...] = (PARTS, PART, SHORT | {"needs": []}, MOOD, BOTH, PER_KIND)


def planned(house: House, value: Mapping[str, Any]) -> JobPlan:
    path = house.write("job.json", value)
    with house.entry.open_services() as services:
        [plan] = plan_named(services, str(path))
        return plan


def run(house: House, value: Mapping[str, Any]) -> int:
    [report] = house.answer(house.write("job.json", value))
    return report.calls_sent


def test_a_graph_that_was_never_asked_tells_its_first_calls_and_what_waits_for_them(house: House) -> None:
    plan = planned(house, document(*GRAPH))
    assert (plan.calls.new, plan.calls.reused) == (8, 0)  # two steps over four parts
    assert plan.calls.unknown == 3 + 2  # both, of three parts; one group per kind
    assert run(house, document(*GRAPH)) == 8 + 3 + 2


def test_a_graph_that_was_answered_would_ask_nothing(house: House) -> None:
    run(house, document(*GRAPH))
    plan = planned(house, document(*GRAPH))
    assert (plan.calls.new, plan.calls.unknown, plan.calls.reused) == (0, 0, 13)
    assert plan.cost_usd is not None
    assert plan.cost_usd.high == 0


def test_a_group_that_lacks_an_answer_waits_and_the_other_is_known(house: House) -> None:
    run(house, document(*GRAPH))
    rows = [dict(row) for row in ROWS]
    rows[2]["text"] = "five"
    plan = planned(house, document(*GRAPH, rows=rows))
    assert (plan.calls.new, plan.calls.unknown) == (2, 2)  # short and mood of five; then both, and the group of a
    assert run(house, document(*GRAPH, rows=rows)) == 4


def test_no_group_is_made_of_a_part_of_its_rows_where_rows_wait_in_several_tables(house: House) -> None:
    tell = {"name": "told", "text": "tell {{ text }}"}
    steps = (tell, PARTS, PART, SHORT, PER_KIND)
    rows = [{"id": number, "kind": kind, "text": kind + str(number)} for number, kind in enumerate("aab")]
    run(house, document(*steps, rows=rows[1:2]))
    run(house, document(tell, rows=rows[2:]))
    plan = planned(house, document(*steps, rows=rows))
    assert plan.calls.new == 1 + 1  # the first step of one row, the part of another
    assert plan.calls.unknown == 1 + 2  # the part of the first row; both groups
    assert run(house, document(*steps, rows=rows)) == 5


def test_rows_behind_those_that_were_looked_at_may_have_asked_already(house: House) -> None:
    steps = (SHORT | {"text": "shorten {{ text }}", "needs": []}, MOOD | {"text": "mood of {{ text }}"})
    rows: list[dict[str, Any]] = [{"id": n, "kind": "a", "text": f"text {n % 500}"} for n in range(700)]
    run(house, document(*steps, rows=[row for row in rows if row["id"] % 3]))
    plan = planned(house, document(*steps, rows=rows))
    assert plan.calls.total == 2 * 700
    assert run(house, document(*steps, rows=rows)) == plan.calls.new


def test_rows_that_a_filter_drops_and_rows_with_answers_are_those_of_the_table_before(house: House) -> None:
    keep = {"name": "some", "filter": "kind != 'c'"}
    rows = [{"kind": kind, "text": f"text {number}"} for number, kind in enumerate("abcab")]
    tell = {"name": "told", "text": "tell {{ text }}"}
    run(house, document(tell, keep, rows=rows))
    again = planned(house, document(tell, keep, rows=rows)).rows
    assert (again.total, again.reused, again.gone) == (4, 4, 0)
    more = planned(house, document(tell, keep, SHORT | {"text": "shorten {{ told }}"}, rows=rows)).rows
    assert (more.changed, more.new, more.gone) == (4, 0, 0)


def test_a_changed_step_is_asked_again_and_what_reads_it_is_told_to_wait(house: House) -> None:
    run(house, document(*GRAPH))
    steps = [*GRAPH[:-1], {**PER_KIND, "text": "sum up {{ rows | length }}"}]
    plan = planned(house, document(*steps))
    assert (plan.calls.new, plan.calls.unknown, plan.calls.reused) == (2, 0, 11)
    assert [change.difference.path for change in plan.changes if change.calls]


def changed(random: Random) -> dict[str, Any]:
    """The graph with one or two changes, of rows, texts, conditions or steps."""
    value = deepcopy(document(*GRAPH))
    job = value["job"]
    for _ in range(random.choice((1, 1, 2))):
        kind = random.randrange(6)
        if kind == 0:
            job["input"]["rows"].append({"id": 9, "kind": random.choice("abc"), "text": f"new {random.random()}"})
        elif kind == 1:
            random.choice(job["input"]["rows"])["text"] = f"other {random.random()}"
        elif kind == 2:
            step = random.choice([step for step in job["steps"] if "text" in step])
            step["text"] = f"{random.random()} {step['text']}"
        elif kind == 3:
            job["steps"][4]["when"] = random.choice(("kind == 'b'", "id > 1", "true"))
        elif kind == 4 and len(job["steps"]) == len(GRAPH):
            job["steps"].append({"name": f"more{random.randrange(9)}", "text": "more of {{ per_kind }}"})
        else:
            job["input"]["rows"].pop(random.randrange(len(job["input"]["rows"])))
            job["input"]["rows"] = job["input"]["rows"] or [{"id": 1, "kind": "a", "text": "alone"}]
    return value


def test_over_seeded_changes_what_is_stated_as_new_is_asked_and_the_rest_lies_within_what_waits(house: House) -> None:
    run(house, document(*GRAPH))
    exact = 0
    for seed in range(24):
        value = changed(Random(seed))
        plan = planned(house, value)
        sent = run(house, value)
        assert plan.calls.new <= sent <= plan.calls.new + plan.calls.unknown, (seed, plan.calls, sent)
        exact += sent == plan.calls.new + plan.calls.unknown
    assert exact >= 18  # else a change made or emptied a group that depends on answers


def test_validate_tells_the_first_request_of_a_graph_and_about_how_many_calls_there_are(house: House) -> None:
    path = house.write("job.json", document(*GRAPH))
    with house.entry.open_services() as services:
        [examined] = examine_named(services, str(path))
    assert examined.problem is None
    assert examined.request is not None
    assert examined.request["messages"][0]["content"] == "shorten one"  # type: ignore[index, call-overload]
    assert examined.calls == 13


def test_results_of_a_graph_under_way_are_the_rows_whose_every_answer_is_there(house: House) -> None:
    run(house, document(*GRAPH))
    rows = [dict(row) for row in ROWS]
    rows[2]["text"] = "five"
    [job] = house.accept(house.write("job.json", document(*GRAPH, rows=rows)))
    with house.entry.open_services() as services:
        [submission] = services.ledger.submissions(job_hash=job.hash)
        table = answered_so_far(services, submission).read_all().to_pylist()
        assert [row["kind"] for row in table] == ["b"]
        assert not is_answered(services, submission)
    run(house, document(*GRAPH, rows=rows))
    with house.entry.open_services() as services:
        assert is_answered(services, submission)
        assert [row["kind"] for row in answered_so_far(services, submission).read_all().to_pylist()] == ["a", "b"]
        assert job_from_json(submission.job) == job


def test_a_graph_is_not_asked_in_batches_and_says_so_before_anything_is_sent(house: House, speaking: Speaking) -> None:
    with pytest.raises(DocumentError, match="a graph"):
        house.accept(house.write("job.json", document(*GRAPH, mode="batch")))
    assert speaking.bodies == []


def test_each_model_of_a_sweep_is_counted_by_itself(house: House) -> None:
    steps = ({"name": "answer", "text": "{{ text }}", "for_each_model": [MODEL, "openai/gpt-4.1-nano"]},)
    plan = planned(house, document(*steps))
    assert {(step.model, step.calls) for step in plan.steps} == {(MODEL, 3), ("openai/gpt-4.1-nano", 3)}


def test_why_tells_of_a_row_of_a_graph_what_is_answered_and_what_is_new(house: House) -> None:
    run(house, document(*GRAPH))
    steps = [*GRAPH[:3], {**MOOD, "text": "temper of {{ part }}"}, *GRAPH[4:]]
    path = house.write("job.json", document(*steps))
    with house.entry.open_services() as services:
        [why] = why_row(services, "2", str(path))
    assert [(call.step_name, call.state) for call in why.calls] == [("short", "answered"), ("mood", "new")]
    assert "steps[1].messages[0].content" in {change.path for change in why.changes}


def why(house: House, value: Mapping[str, Any], row: str) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Of each call of a row that would be asked: its step, its state, in what it differs from the nearest recorded
    call, and because of what."""
    path = house.write("job.json", value)
    with house.entry.open_services() as services:
        [found] = why_row(services, row, str(path))
    return [
        (call.step_name, call.state, tuple(each.path for each in near.differences), near.because)
        for call in found.calls
        if (near := call.nearest) is not None
    ]


def test_why_finds_the_nearest_call_of_a_graphs_row_where_its_step_was_changed(house: House) -> None:
    run(house, document(*GRAPH))
    value = document(*GRAPH[:3], {**MOOD, "text": "temper of {{ part }}"}, *GRAPH[4:])
    assert why(house, value, "2") == [
        ("mood", "new", ("body.messages[0].content",), ("steps[1].messages[0].content",)),
    ]


def test_why_finds_the_row_with_the_same_key_wherever_it_stands(house: House) -> None:
    steps = (SHORT | {"text": "shorten {{ text }}"}, {"name": "all", "reduce": {"aggregate": {"n": "count"}}})
    run(house, document(*steps))
    rows = [{**ROWS[2], "text": "another"}, ROWS[0]]
    assert why(house, document(*steps, rows=rows), "0") == [
        ("short", "new", ("body.messages[0].content",), ("input.rows[0].text",))
    ]
    with house.entry.open_services() as services:
        [found] = why_row(services, "0", str(house.folder / "job.json"))
    near = found.calls[0].nearest
    assert near is not None
    assert near.differences[0].old == "shorten four"


def test_why_names_the_answer_that_made_a_later_question_another(house: House) -> None:
    before = (
        {"name": "short", "text": "shorten {{ text }}"},
        {"name": "long", "text": "lengthen {{ short }}"},
        PER_KIND,
    )
    run(house, document(*before))
    after = ({"name": "short", "text": "cut {{ text }}"}, *before[1:])
    path = house.write("other.json", document(*after[:1], PER_KIND, name="other"))
    house.answer(path)  # so that the first answer is known
    assert why(house, document(*after), "id=2") == [
        ("long", "new", ("body.messages[0].content",), ("the answer of steps[0]",))
    ]


def test_why_finds_a_group_by_the_columns_that_it_goes_by(house: House) -> None:
    steps = (SHORT | {"text": "shorten {{ text }}"}, PER_KIND)
    run(house, document(*steps))
    value = document(steps[0], {**PER_KIND, "text": "put together: " + str(PER_KIND["text"])})
    [job] = house.accept(house.write("job.json", value))
    with house.entry.open_services() as services:
        rows = [each for batch in dry(services, job) for each in batch if isinstance(each, DryRow) and each.table == 1]
    wanted = next(each.walked for each in rows if each.walked.values["kind"] == "b").visits[-1].call.call_hash
    assert why(house, value, wanted) == [
        ("per_kind", "new", ("body.messages[0].content",), ("steps[1].messages[0].content",))
    ]


def test_why_of_a_graph_says_where_nothing_like_it_was_recorded(house: House) -> None:
    assert why(house, document(*GRAPH), "0") == []


def dry(services: Services, job: Job) -> Iterator[list[DryRow | Hidden]]:
    with planned_table(services, job, document=None) as table:
        yield from dry_rows(services, job, table, prepared_steps(services, job))
