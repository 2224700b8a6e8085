"""What a plan tells of rows, calls, cost and time, case by case; `test_plan_truth` holds it against what is sold."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.job import Mode
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.move import move_job
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.plan import FieldCost, JobPlan, plan_named
from llm_jobs_tests.cli.house import House, facts, job

PRICE = "price: {input_per_million_usd: 100, output_per_million_usd: 1000}"
TEXTS = ("good", "bad", "so so", "fine", "awful")
ROWS = [{"id": number, "text": text} for number, text in enumerate(TEXTS, 1)]
TWO: list[dict[str, Any]] = [
    {"name": "first", "text": "First: {{ text }}", "max_tokens": 90},
    {"name": "second", "text": "Then {{ first }}"},
]


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.home.mkdir()
    models(made, f"simulated: {{provider: simulated, {PRICE}}}")
    return made


def models(house: House, text: str) -> None:
    (house.home / "models.yaml").write_text(text, encoding="utf-8")


def plan(
    house: House, document: dict[str, Any], overrides: Overrides = NO_OVERRIDES, *, against: str | None = None
) -> JobPlan:
    house.write("reviews.yaml", document)
    with house.entry.open_services() as services:
        [found] = plan_named(services, "reviews.yaml", overrides, against=against)
    return found


def answered(house: House, document: dict[str, Any]) -> str:
    [report] = house.answer(house.write("reviews.yaml", document))
    return report.job_hash


def changed(rows: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    return job("reviews", copy.deepcopy(rows), **members)


def field(plan: JobPlan, path: str) -> FieldCost:
    [found] = [each for each in plan.changes if each.difference.path == path]
    return found


def test_of_a_document_that_nobody_ran_everything_is_new(house: House) -> None:
    found = plan(house, changed(ROWS))
    assert (found.rows.new, found.rows.total, found.rows.gone) == (5, 5, None)
    assert (found.calls.new, found.calls.reused, found.against, found.changes) == (5, 0, None, ())
    assert found.steps[0].basis == "limits"


def test_nothing_is_recorded_or_written_by_a_plan(house: House) -> None:
    (house.folder / "rows.csv").write_text("id,text\n1,good\n2,bad\n", encoding="utf-8")
    document = changed(ROWS)
    document["job"]["input"] = {"path": "rows.csv"}
    plan(house, document)
    with house.entry.open_services() as services:
        assert services.ledger.submissions() == []
        assert services.ledger.audit().intents == 0
        assert not services.settings.inputs.exists() or not list(services.settings.inputs.iterdir())
        assert list(services.settings.jobs.iterdir()) == []


def test_of_a_document_that_was_run_everything_is_reused_and_what_it_saves_is_told(house: House) -> None:
    [report] = house.answer(house.write("reviews.yaml", changed(ROWS)))
    found = plan(house, changed(ROWS))
    assert (found.rows.reused, found.calls.new, found.calls.reused) == (5, 0, 5)
    assert found.cost_usd is not None
    assert (found.cost_usd.low, found.cost_usd.high, found.seconds) == (0, 0, 0)
    assert found.saved_usd == pytest.approx(report.cost_usd)
    assert found.against is not None
    assert found.against.job_hash == report.job_hash


def test_rows_are_new_changed_reused_or_gone(house: House) -> None:
    answered(house, changed(ROWS))
    rows = [*ROWS[1:4], {"id": 5, "text": "horrible"}, {"id": 6, "text": "new"}]
    found = plan(house, changed(rows))
    assert (found.rows.new, found.rows.changed, found.rows.reused, found.rows.gone) == (1, 1, 3, 1)
    cost = field(found, "input.rows")
    assert (cost.calls, found.calls.new) == (2, 2)
    assert cost.cost_usd == found.cost_usd


def test_without_a_key_rows_are_known_by_their_values(house: House) -> None:
    rows = [{"text": text} for text in TEXTS]
    answered(house, changed(rows))
    found = plan(house, changed([*rows[:4], {"text": "horrible"}], text="Tell: {{ text }}"))
    assert (found.rows.new, found.rows.changed, found.rows.gone) == (1, 4, 1)
    assert field(found, "steps[0].messages[0].content").calls == 4
    assert field(found, "input.rows").calls == 1


def test_two_rows_that_ask_the_same_are_asked_once(house: House) -> None:
    found = plan(house, changed([*ROWS, {"id": 6, "text": "good"}]))
    assert (found.rows.total, found.calls.new, found.calls.reused) == (6, 5, 1)


def test_a_row_that_cannot_be_asked_is_told_apart(house: House) -> None:
    found = plan(house, changed([*ROWS, {"id": 6, "text": None}]))
    assert (found.rows.unaskable, found.rows.new, found.calls.new) == (1, 5, 5)


def test_calls_of_a_later_step_are_unknown_where_the_answer_before_is(house: House) -> None:
    answered(house, changed(ROWS, prompts=TWO))
    found = plan(house, changed([*ROWS, {"id": 6, "text": "new"}], prompts=TWO))
    assert (found.calls.new, found.calls.unknown, found.calls.reused) == (1, 1, 10)
    assert found.worst_cost_usd is None
    second = [TWO[0], {**TWO[1], "temperature": 0.5}]
    found = plan(house, changed(ROWS, prompts=second))
    assert (found.calls.new, found.calls.unknown, found.calls.reused) == (5, 0, 5)
    assert field(found, "steps[1].parameters.temperature").calls == 5


def test_more_samples_cost_what_is_more(house: House) -> None:
    answered(house, changed(ROWS))
    found = plan(house, changed(ROWS, sample=3))
    assert (found.rows.total, found.rows.reused, found.rows.new, found.calls.new) == (15, 5, 10, 10)
    assert field(found, "sample").calls == 10


@pytest.mark.parametrize(("option", "path"), [({"epoch": "w47"}, "epoch"), ({"models": ("simulated/x",)}, None)])
def test_what_the_command_line_says_is_planned(house: House, option: dict[str, Any], path: str | None) -> None:
    answered(house, changed(ROWS))
    found = plan(house, changed(ROWS), Overrides(**option))
    assert found.calls.new == 5
    assert field(found, path or "steps[0].model.upstream").calls == 5


def test_what_is_no_identity_costs_nothing(house: House) -> None:
    answered(house, changed(ROWS))
    document = changed(ROWS, priority="hot")
    document["job"]["name"] = "opinions"
    found = plan(house, document)
    assert {each.difference.path: each.calls for each in found.changes} == {"name": 0, "priority": 0}
    assert found.calls.new == 0


def test_a_plan_is_against_the_job_that_is_named(house: House) -> None:
    first = answered(house, changed(ROWS))
    answered(house, changed(ROWS, text="Tell: {{ text }}"))
    third = changed(ROWS, text="Write: {{ text }}")
    assert field(plan(house, third), "steps[0].messages[0].content").difference.old == "Tell: {{ text }}"
    against = plan(house, third, against=first[:10])
    assert field(against, "steps[0].messages[0].content").difference.old == "Say: {{ text }}"


def test_a_failed_row_is_asked_again(house: House) -> None:
    house.accept(house.write("reviews.yaml", changed(ROWS)))
    found = plan(house, changed(ROWS))
    assert (found.rows.again, found.rows.new) == (5, 0)


def test_an_unpriced_model_has_no_cost_and_the_rest_is_told(house: House) -> None:
    models(house, "mine: {provider: openai, base_url: 'http://127.0.0.1:9/v1'}")
    document = changed(ROWS)
    document["job"]["model"] = "mine"
    found = plan(house, document)
    assert (found.cost_usd, found.worst_cost_usd) == (None, None)
    assert found.calls.new == 5
    assert found.output_tokens.expected > 0


@pytest.mark.parametrize(
    ("quota", "seconds", "words"),
    [
        ("requests_per_minute: 10", 30, "10 requests per minute"),
        ("requests_per_day: 10", 43_200, "10 requests per day"),
        ("output_tokens_per_minute: 100", 150, "100 output tokens per minute"),
    ],
)
def test_time_is_what_the_quota_allows(house: House, quota: str, seconds: float, words: str) -> None:
    models(house, f"simulated: {{provider: simulated, {PRICE}, quota: {{{quota}}}}}")
    document = changed(ROWS)
    document["job"]["prompts"][0]["max_tokens"] = 100
    found = plan(house, document)
    assert found.seconds == pytest.approx(seconds)
    assert words in (found.bounded_by or "")


def test_where_neither_quota_nor_latency_is_known_the_time_is_not(house: House) -> None:
    assert plan(house, changed(ROWS)).seconds is None
    answered(house, changed(ROWS))
    assert plan(house, changed(ROWS, text="Tell: {{ text }}")).seconds is not None


def test_a_batch_costs_half_and_takes_a_day(house: House) -> None:
    online, batch = plan(house, changed(ROWS)), plan(house, changed(ROWS, mode="batch"))
    assert online.cost_usd is not None
    assert batch.cost_usd is not None
    assert batch.cost_usd.expected == pytest.approx(online.cost_usd.expected / 2)
    assert "24 hours" in (batch.bounded_by or "")


def test_at_most_a_batch_costs_half_too(house: House) -> None:
    document = changed(ROWS)
    document["job"]["prompts"][0]["max_tokens"] = 10
    online = plan(house, document)
    document["job"]["mode"] = "batch"
    assert online.worst_cost_usd
    assert plan(house, document).worst_cost_usd == pytest.approx(online.worst_cost_usd / 2)


@pytest.mark.parametrize(("mode", "to"), [("online", "batch"), ("batch", "online")])
def test_a_job_that_was_moved_is_planned_as_it_is_asked_now(house: House, mode: str, to: Mode) -> None:
    wanted = plan(house, changed(ROWS, mode=to))
    house.accept(house.write("reviews.yaml", changed(ROWS, mode=mode)))
    with house.entry.open_services() as services:
        move_job(services, find_job(services, "reviews"), to)
        [moved] = plan_named(services, wanted.job_hash)
        [document] = plan_named(services, "reviews.yaml")
    for found in (moved, document):
        assert (found.cost_usd, found.bounded_by) == (wanted.cost_usd, wanted.bounded_by)
        assert [step.mode for step in found.steps] == [to]


def test_each_of_several_models_has_its_own_price(house: House) -> None:
    models(house, f"a: {{provider: simulated, {PRICE}}}\nb: {{provider: simulated, model: b}}")
    document = changed([{"text": f"text {number}"} for number in range(20)])
    del document["job"]["model"]
    document["job"]["models"] = {"a": 1, "b": 1}
    found = plan(house, document)
    costs = {step.model: step.cost_usd.expected for step in found.steps if step.cost_usd}
    assert sum(step.calls for step in found.steps) == 20
    assert costs["a"] > 0
    assert costs["b"] == 0


def test_a_limit_bounds_what_a_call_may_cost(house: House) -> None:
    document = changed(ROWS)
    document["job"]["prompts"][0]["max_tokens"] = 10
    found = plan(house, document)
    assert found.worst_cost_usd is not None
    assert found.cost_usd is not None
    assert found.worst_cost_usd > 5 * 10 * 1000e-6
    assert found.output_tokens.high <= 50


def test_the_command_prints_a_page_for_people_and_a_line_for_programs(house: House) -> None:
    answered(house, changed(ROWS))
    document = changed([*ROWS, {"id": 6, "text": "new"}], text="Tell: {{ text }}")
    document["job"]["name"] = "renamed"
    house.write("reviews.yaml", document)
    shown = house.invoke("plan", "reviews.yaml").output
    for line in (
        "6 rows: 1 new, 5 changed, 0 reused",
        "6 to ask, 0 answered already",
        "steps[0].messages[0].content  [-Say:-]{+Tell:+} {{ text }}  [5 calls, $",
        "input.rows  1 new, 5 changed, 0 gone  [1 call, $",
    ):
        assert line in shown
    [told] = facts(house.invoke("plan", "reviews.yaml", "--json").output)
    assert told["calls"] == {"total": 6, "new": 6, "reused": 0, "unknown": 0}
    assert told["cost_usd"]["low"] <= told["cost_usd"]["expected"] <= told["cost_usd"]["high"]
    assert {each["path"] for each in told["changes"]} == {"steps[0].messages[0].content", "input.rows", "name"}
    assert house.invoke("plan", "nothing.yaml").exit_code != 0


def test_a_batch_file_is_planned_line_by_line(house: House) -> None:
    def line(number: int) -> str:
        body = {"model": "simulated", "messages": [{"role": "user", "content": f"Hello {number}"}]}
        text = {"custom_id": str(number), "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(text) + "\n"

    house.answer(house.write("lines.jsonl", line(1) + line(2)))
    house.write("lines.jsonl", line(2) + line(3))
    with house.entry.open_services() as services:
        [found] = plan_named(services, "lines.jsonl")
    assert (found.calls.new, found.calls.reused, found.rows.new, found.rows.gone) == (1, 1, 1, 1)


def test_a_prompt_that_another_document_asked_is_forecast_from_its_answers(house: House) -> None:
    rows = [{"text": f"text {number}"} for number in range(60)]
    house.answer(house.write("other.yaml", changed(rows[:40])))
    same, other = plan(house, changed(rows[40:])), plan(house, changed(rows[40:], prompts=TWO[:1]))
    assert (same.steps[0].basis, same.steps[0].learned_from) == ("family", 40)
    assert other.steps[0].basis == "input"
    assert other.output_tokens.high == 20 * 90
    assert other.input_tokens.high < 2 * other.input_tokens.low
