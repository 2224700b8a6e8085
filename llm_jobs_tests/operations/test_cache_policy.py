"""A cache policy filters which recorded answers are read and deletes none, from the document to the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from llm_jobs.documents.frozen import job_from_json, job_to_json
from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import DocumentError
from llm_jobs.operations.plan import JobPlan, plan_named
from llm_jobs.operations.why import why_row
from llm_jobs.tasks.base import Schema, Surroundings, Task
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.operations.batch_house import BatchHouse
from llm_jobs_tests.operations.graph_house import GraphHouse
from llm_jobs_tests.operations.spoken import MODEL, answered, echoed
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Said, Speaking

OTHER = "openai/gpt-4.1"
FIRST = {"name": "first", "text": "first {{ text }}"}
SECOND = {"name": "second", "text": "second {{ text }}", "model": OTHER}
PER_KIND = {
    "name": "all",
    "reduce": {"by": []},
    "text": "{% for row in rows %}{{ row.first }}{{ row.second }}{% endfor %}",
}
GRAPH = (FIRST, SECOND, PER_KIND)

Steps = Sequence[Mapping[str, Any]]


def said(body: Mapping[str, Any]) -> Said:
    """What the server of this module says."""
    return ("cut", "length") if "CUT" in asked(body) else echoed(body)


def document(*texts: str, cache: Mapping[str, Any] | None, steps: Steps = (FIRST,), **members: Any) -> dict[str, Any]:
    rows = [{"text": text} for text in texts]
    key = "steps" if len(steps) == 3 else "prompts"
    said = {} if cache is None else {"cache": dict(cache)}
    return {"job": {"name": "cached", "model": MODEL, "input": {"rows": rows}, key: list(steps), **said, **members}}


def planned(house: House, value: Mapping[str, Any]) -> JobPlan:
    path = house.write("job.json", value)
    with house.entry.open_services() as services:
        [plan] = plan_named(services, str(path))
        return plan


def sent(house: House, value: Mapping[str, Any]) -> int:
    """The calls that a run of the document sends, which its plan told."""
    plan = planned(house, value)
    assert planned(house, value) == plan, "a plan changes nothing"
    before = plan.calls.new
    report, rows = answered(house, value)
    assert (report.status, {row["llm_status"] for row in rows}) == ("done", {"succeeded"})
    if not plan.calls.unknown:
        assert report.calls_sent == before
    return report.calls_sent


def test_answers_of_the_last_runs_are_read_and_older_ones_asked_anew(house: House, speaking: Speaking) -> None:
    value = document("a", "b", cache={"last_runs": 2})
    assert [sent(house, value) for _ in range(7)] == [2, 0, 0, 2, 0, 0, 2]
    assert len(speaking.bodies) == 6


def test_without_a_policy_a_finished_job_is_not_asked_again(house: House) -> None:
    value = document("a", "b", cache=None)
    assert [sent(house, value) for _ in range(3)] == [2, 0, 0]


def test_a_model_that_is_excepted_is_asked_in_every_run_and_others_are_not(house: House, speaking: Speaking) -> None:
    value = document("a", "b", cache={"except": [{"model": OTHER}]}, steps=(FIRST, SECOND))
    assert [sent(house, value) for _ in range(3)] == [4, 2, 2]
    assert speaking.asked == {"gpt-4.1-mini": 2, "gpt-4.1": 6}


def test_both_answers_stay_of_record_and_a_job_without_policy_reads_the_first(house: House) -> None:
    _, [old] = answered(house, document("a", cache=None))
    _, [new] = answered(house, document("a", cache={"last_runs": 0}))
    assert new["llm_call_hash"] != old["llm_call_hash"]
    report, [read] = answered(house, document("a", cache=None, sample=1, steps=(FIRST,), name="another"))
    assert (report.calls_sent, read["llm_call_hash"]) == (0, old["llm_call_hash"])
    with house.entry.open_services() as services:
        found = services.ledger.look_up([old["llm_call_hash"], new["llm_call_hash"]])
        audit = services.ledger.audit()
    assert len(found) == 2
    assert (audit.answers, audit.paid_twice, audit.inconsistencies) == (2, 0, ())


def test_rows_of_one_run_that_ask_the_same_share_one_answer(house: House) -> None:
    value = document("a", "a", "b", cache={"last_runs": 0})
    assert [sent(house, value) for _ in range(3)] == [2, 2, 2]


def test_a_run_that_did_not_end_well_is_gone_on_with_and_asks_only_what_is_missing(
    house: House, speaking: Speaking
) -> None:
    value = document("a", "b", cache={"last_runs": 0})
    sent(house, value)
    failing = document("a", "FAIL", "b", cache={"last_runs": 0})
    report, _ = answered(house, failing)
    assert (report.status, report.calls_sent) == ("partial", 3)
    before = len(speaking.bodies)
    report, _ = answered(house, failing)
    assert [asked(body) for body in speaking.bodies[before:]] == ["first FAIL"]


def test_the_same_run_named_by_its_hash_asks_nothing_again(house: House) -> None:
    value = document("a", cache={"last_runs": 0})
    path = house.write("job.json", value)
    [report] = house.answer(path)
    told = house.invoke("results", str(path), "--json")
    assert told.exit_code == 0, told.output
    assert house.accept(path)[0].hash != report.job_hash


def test_a_job_that_may_read_all_has_the_hash_that_it_had(house: House) -> None:
    [plain] = house.accept(house.write("job.json", document("a", cache=None)))
    [filtered] = house.accept(house.write("job.json", document("a", cache={"last_runs": 3})))
    assert filtered.hash == plain.hash
    assert job_from_json(job_to_json(filtered)) == filtered


@pytest.mark.parametrize("cache", [{"last_runs": 0}, {"last_runs": 1}])
def test_a_graph_asks_anew_what_is_too_old_in_every_table(house: House, cache: Mapping[str, Any]) -> None:
    value = document("a", "b", cache=cache, steps=GRAPH)
    again = 5 if cache["last_runs"] == 0 else 0
    assert [sent(house, value) for _ in range(3)] == [5, again, 5]


def test_a_step_says_it_for_itself(house: House, speaking: Speaking) -> None:
    steps = (FIRST, {**SECOND, "cache": {"last_runs": 0}}, PER_KIND)
    value = document("a", "b", cache={"last_runs": 50}, steps=steps)
    sent(house, value)
    before = len(speaking.bodies)
    assert sent(house, value) == 2  # the answers are the same words, so the group's question is answered
    assert {asked(body) for body in speaking.bodies[before:]} == {"second a", "second b"}


def test_a_list_of_models_asks_anew_only_what_none_may_be_read_of(house: House, speaking: Speaking) -> None:
    steps = ({**FIRST, "fallback": [MODEL, OTHER]},)
    value = document("a", cache={"except": [{"model": MODEL}]}, steps=steps)
    assert [sent(house, value) for _ in range(2)] == [1, 1]
    assert speaking.asked == {"gpt-4.1-mini": 2}


def test_why_names_the_cache_where_a_question_is_asked_anew(house: House) -> None:
    value = document("a", cache={"last_runs": 0})
    sent(house, value)
    path = house.write("job.json", value)
    with house.entry.open_services() as services:
        [why] = why_row(services, "0", str(path))
    assert [call.state for call in why.calls] == ["new"]
    near = why.calls[0].nearest
    assert near is not None
    assert [each.path for each in near.differences] == ["renewal"]
    assert near.because == ("cache",)


@pytest.mark.parametrize(
    ("cache", "told"),
    [
        ({}, "says nothing"),
        ({"last_runs": -1}, "greater than or equal to 0"),
        ({"except": []}, "at least 1"),
        ({"except": [{"modle": MODEL}]}, "model"),
        ({"except": [{"model": "openai/gpt-4.1-mni"}]}, MODEL),
    ],
)
def test_a_policy_that_means_nothing_is_refused_with_its_reason(
    house: House, speaking: Speaking, cache: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(DocumentError, match=told):
        house.accept(house.write("job.json", document("a", cache=cache)))
    assert not speaking.bodies


class Dice(Task):
    """What it says differs each time, so it is recorded."""

    name = "dice"
    description = "How often it was thrown."
    inputs: ClassVar[Mapping[str, Schema]] = {"text": {"type": "string"}}
    outputs: ClassVar[Mapping[str, Schema]] = {"thrown": {"type": "integer"}}
    recorded: ClassVar[bool] = True

    def __init__(self) -> None:
        self.thrown = 0

    def run(self, inputs: Mapping[str, JsonValue], surroundings: Surroundings) -> Mapping[str, JsonValue]:
        self.thrown += 1
        return {"thrown": self.thrown}


@pytest.mark.parametrize("cache", [{"last_runs": 0}, {"except": [{"model": "task/dice"}]}])
def test_a_recorded_task_is_computed_anew_as_a_model_is_asked(tmp_path: Path, cache: Mapping[str, Any]) -> None:
    house, dice = GraphHouse(tmp_path), Dice()
    steps = [{"name": "thrown", "task": "dice", "inputs": {"text": "{{ text }}"}, "cache": dict(cache)}]
    path = house.write("job.json", {"job": {"name": "dice", "input": {"rows": [{"text": "a"}]}, "steps": steps}})
    assert [house.rows(path, dice)[0]["thrown.thrown"] for _ in range(3)] == [1, 2, 3]


def test_a_run_in_batches_asks_anew_what_is_too_old(openai_house: BatchHouse) -> None:
    for runs in (1, 2, 3):
        job_hash = openai_house.submit(["a", "b"], cache={"last_runs": 0})
        assert openai_house.run(job_hash).status == "waiting"
        openai_house.server.finish()
        assert openai_house.run(job_hash).status == "done"
        assert (len(openai_house.server.batches), sum(openai_house.server.paid.values())) == (runs, 2 * runs)


def test_an_answer_that_was_cut_off_too_long_ago_is_asked_anew_once(house: House, speaking: Speaking) -> None:
    answered(house, document("CUT", cache=None))
    counts = []
    for _ in range(2):
        report, rows = answered(house, document("CUT", "b", cache={"last_runs": 0}, name="again"))
        counts.append((report.calls_sent, [row["llm_status"] for row in rows]))
    # The second time goes on with the first, whose answers it may read.
    assert counts == [(2, ["truncated", "succeeded"]), (0, ["truncated", "succeeded"])]
    assert len(speaking.bodies) == 3


def test_what_a_rule_goes_on_from_is_recent_too(house: House, speaking: Speaking) -> None:
    value = document("CUT", cache={"last_runs": 0}, on_status={"truncated": {"model": OTHER}})
    answered(house, value)
    before = len(speaking.bodies)
    answered(house, {"job": {**value["job"], "name": "again"}})
    assert len(speaking.bodies) - before == 0, "the same unfinished run, under another name"
    answered(house, {"job": {**value["job"], "name": "more", "sample": 2}})
    assert Counter(body["model"] for body in speaking.bodies[before:]) == {"gpt-4.1-mini": 2, "gpt-4.1": 2}
