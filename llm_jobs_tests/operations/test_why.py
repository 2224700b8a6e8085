"""`why` names the field: of the call's identity in which it differs from the one before, and of the document that it
comes from; and where nothing is asked again, what was changed all the same.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from llm_jobs.documents.json_value import JsonValue
from llm_jobs.errors import NotFound
from llm_jobs.ledger.base import Want
from llm_jobs.ledger.owners import this_process
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.plan import plan_named
from llm_jobs.operations.why import RowWhy, why_call, why_row
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.servers.speaking import speaking_server

Document = dict[str, Any]
Change = Callable[[Document], None]

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}
BASE: Document = {
    "job": {
        "name": "reviews",
        "model": "simulated",
        "input": {
            "rows": [{"id": 1, "text": "good", "n": 3, "note": "x"}, {"id": 2, "text": "bad", "n": 4, "note": "y"}]
        },
        "prompts": [
            {
                "name": "said",
                "messages": [
                    {"role": "system", "content": "Be brief and kind."},
                    {"role": "user", "content": "Rate {{ text }} from 1 to {{ n }}."},
                ],
                "temperature": 0.2,
                "max_tokens": 50,
                "parameters": {"top_p": 0.5, "seed": 1, "stop": ["END"], "reasoning": {"effort": "low"}},
            },
            {"name": "then", "text": "Is that fair: {{ said }}?", "temperature": 0.1},
        ],
    }
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A change of `BASE`, and the fields that are to be named. `call` None: nothing is asked again."""

    change: Change | None = None
    call: str | None
    because: str
    row: str = "0"
    sample: int = 0
    overrides: Overrides = NO_OVERRIDES
    models: str | None = None  # the models.yaml that is put there


def prompt(index: int, **members: Any) -> Change:
    def apply(document: Document) -> None:
        document["job"]["prompts"][index].update(members)

    return apply


def parameter(name: str, value: JsonValue) -> Change:
    def apply(document: Document) -> None:
        document["job"]["prompts"][0]["parameters"][name] = value

    return apply


def without(name: str) -> Change:
    def apply(document: Document) -> None:
        del document["job"]["prompts"][0]["parameters"][name]

    return apply


def message(index: int, **members: str) -> Change:
    def apply(document: Document) -> None:
        document["job"]["prompts"][0]["messages"][index].update(members)

    return apply


def one_more_message(document: Document) -> None:
    document["job"]["prompts"][0]["messages"].append({"role": "assistant", "content": "I would say"})


def schema(**members: Any) -> Change:
    return prompt(1, schema={**SCHEMA, **members})


def job(**members: Any) -> Change:
    def apply(document: Document) -> None:
        document["job"].update(members)

    return apply


def row(number: int, **members: Any) -> Change:
    def apply(document: Document) -> None:
        document["job"]["input"]["rows"][number].update(members)

    return apply


def reordered_and_edited(document: Document) -> None:
    document["job"]["input"]["rows"].reverse()
    document["job"]["input"]["rows"][0]["text"] = "worse"


def both(*changes: Change) -> Change:
    def apply(document: Document) -> None:
        for change in changes:
            change(document)

    return apply


MOVED = "simulated: {provider: simulated, base_url: 'http://elsewhere.example'}"

ASKED_AGAIN = {
    "temperature": Case(
        change=prompt(0, temperature=0.3), call="body.temperature", because="steps[0].parameters.temperature"
    ),
    "max_tokens": Case(
        change=prompt(0, max_tokens=51), call="body.max_tokens", because="steps[0].parameters.max_tokens"
    ),
    "top_p": Case(change=parameter("top_p", 0.6), call="body.top_p", because="steps[0].parameters.top_p"),
    "seed": Case(change=parameter("seed", 2), call="body.seed", because="steps[0].parameters.seed"),
    "stop": Case(change=parameter("stop", ["STOP"]), call="body.stop[0]", because="steps[0].parameters.stop[0]"),
    "one more stop": Case(
        change=parameter("stop", ["END", "."]), call="body.stop[1]", because="steps[0].parameters.stop[1]"
    ),
    "a nested parameter": Case(
        change=parameter("reasoning", {"effort": "high"}),
        call="body.reasoning.effort",
        because="steps[0].parameters.reasoning.effort",
    ),
    "a parameter more": Case(change=parameter("top_k", 5), call="body.top_k", because="steps[0].parameters.top_k"),
    "a parameter of null": Case(change=parameter("seed", None), call="body.seed", because="steps[0].parameters.seed"),
    "a parameter less": Case(change=without("top_p"), call="body.top_p", because="steps[0].parameters.top_p"),
    "one as text": Case(change=parameter("seed", "1"), call="body.seed", because="steps[0].parameters.seed"),
    "one as truth": Case(change=parameter("seed", True), call="body.seed", because="steps[0].parameters.seed"),
    "the system message": Case(
        change=message(0, content="Be brief."), call="body.messages[0].content", because="steps[0].messages[0].content"
    ),
    "the user message": Case(
        change=message(1, content="Judge {{ text }} from 1 to {{ n }}."),
        call="body.messages[1].content",
        because="steps[0].messages[1].content",
    ),
    "a space": Case(
        change=message(1, content="Rate {{ text }} from 1 to {{ n }}. "),
        call="body.messages[1].content",
        because="steps[0].messages[1].content",
    ),
    "a role": Case(
        change=message(0, role="developer"), call="body.messages[0].role", because="steps[0].messages[0].role"
    ),
    "a message more": Case(change=one_more_message, call="body.messages[2]", because="steps[0].messages[2]"),
    "the model": Case(change=job(model="simulated/other"), call="body.model", because="steps[0].model.upstream"),
    "the provider": Case(
        change=prompt(0, model="openai/simulated"), call="endpoint.provider", because="steps[0].model.provider"
    ),
    "--model": Case(
        overrides=Overrides(models=("simulated/third",)), call="body.model", because="steps[0].model.upstream"
    ),
    "--param": Case(
        overrides=Overrides(parameters={"temperature": 0.9}),
        call="body.temperature",
        because="steps[0].parameters.temperature",
    ),
    "a profile": Case(
        change=job(profiles={"warm": {"temperature": 0.9}}),
        overrides=Overrides(profile="warm"),
        call="body.temperature",
        because="steps[0].parameters.temperature",
    ),
    "a model of the prompt's own": Case(
        change=prompt(0, model="simulated/other"), call="body.model", because="steps[0].model.upstream"
    ),
    "the model's address": Case(models=MOVED, call="endpoint.base_url", because="steps[0].model.base_url"),
    "what the name stands for": Case(
        models="simulated: {provider: simulated, model: newer}", call="body.model", because="steps[0].model.upstream"
    ),
    "a default of the model": Case(
        models="simulated: {provider: simulated, defaults: {min_p: 0.1}}",
        call="body.min_p",
        because="steps[0].parameters.min_p",
    ),
    "the operation": Case(change=prompt(1, operation="responses"), call="endpoint.path", because="steps[1].operation"),
    "the epoch": Case(change=job(epoch="2026-W47"), call="epoch", because="epoch"),
    "--epoch": Case(overrides=Overrides(epoch="2026-W48"), call="epoch", because="epoch"),
    "one more sample": Case(change=job(sample=2), sample=1, call="sample", because="sample"),
    "a schema declared": Case(change=schema(), call="body.response_format", because="steps[1].schema"),
    "the second prompt": Case(
        change=prompt(1, text="Is it fair: {{ said }}?"),
        call="body.messages[0].content",
        because="steps[1].messages[0].content",
    ),
    "the second temperature": Case(
        change=prompt(1, temperature=0.4), call="body.temperature", because="steps[1].parameters.temperature"
    ),
    "a text of the table": Case(
        change=row(1, text="awful"), row="1", call="body.messages[1].content", because="input.rows[1].text"
    ),
    "a number of the table": Case(change=row(0, n=9), call="body.messages[1].content", because="input.rows[0].n"),
    "a row that also moved": Case(
        change=reordered_and_edited, row="id=2", call="body.messages[1].content", because="input.rows[0].text"
    ),
    "a text, and a column that no prompt reads": Case(
        change=both(row(0, text="awful", note="z")), call="body.messages[1].content", because="input.rows[0].text"
    ),
}

NOT_ASKED_AGAIN = {
    "the name": Case(change=job(name="opinions"), call=None, because="name"),
    "a label": Case(change=job(labels={"team": "search"}), call=None, because="labels.team"),
    "the version": Case(change=job(version="2.0.0"), call=None, because="version"),
    "the description": Case(change=job(description="more"), call=None, because="description"),
    "the priority": Case(change=job(priority="hot"), call=None, because="priority"),
    "the concurrency": Case(change=job(execution={"concurrency": 3}), call=None, because="concurrency"),
    "the retries": Case(change=job(execution={"retry_on_failure": 3}), call=None, because="max_retries"),
    "the time allowed": Case(change=job(execution={"timeout": 30}), call=None, because="timeout_s"),
    "the budget": Case(change=job(budget={"max_cost_usd": 5}), call=None, because="budget"),
    "the output": Case(change=job(output={"path": "out.csv", "destination": "file"}), call=None, because="output"),
    "the column's name": Case(change=prompt(1, name="verdict"), call=None, because="steps[1].name"),
    "a transport field": Case(change=parameter("user", "ada"), call=None, because="steps[0].parameters.user"),
    "an idle column": Case(change=row(0, note="z"), call=None, because="input.rows"),
    "the order": Case(
        change=lambda document: document["job"]["input"]["rows"].reverse(), call=None, because="input.rows"
    ),
}


def explained(house: House, case: Case) -> RowWhy:
    """The row after the change, of a document whose job before was answered."""
    house.answer(house.write("reviews.yaml", BASE))
    changed = copy.deepcopy(BASE)
    if case.change is not None:
        case.change(changed)
    house.write("reviews.yaml", changed)
    if case.models is not None:
        (house.home / "models.yaml").write_text(case.models, encoding="utf-8")
    with house.entry.open_services() as services:
        [found] = why_row(services, case.row, "reviews.yaml", case.overrides, sample=case.sample)
    return found


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, {"OPENAI_BASE_URL": "http://127.0.0.1:1/v1"})


def test_there_are_more_than_forty_fields() -> None:
    assert len(ASKED_AGAIN) + len(NOT_ASKED_AGAIN) > 50


@pytest.mark.parametrize("case", ASKED_AGAIN.values(), ids=ASKED_AGAIN)
def test_the_field_that_makes_another_question_is_named(house: House, case: Case) -> None:
    found = explained(house, case)
    call = found.calls[-1]
    assert (call.state, call.nearest is not None) == ("new", True)
    assert call.nearest is not None
    assert case.call in [each.path for each in call.nearest.differences]
    assert list(call.nearest.because)[:1] == [case.because]
    assert len(call.nearest.because) == 1 or case.because.startswith("steps[0].model")


@pytest.mark.parametrize("case", NOT_ASKED_AGAIN.values(), ids=NOT_ASKED_AGAIN)
def test_a_field_that_asks_nothing_again_is_named_as_such(house: House, case: Case) -> None:
    found = explained(house, case)
    assert [call.state for call in found.calls] == ["answered", "answered"]
    assert {each.path for each in found.changes} == {case.because}
    assert all(each.effect != "calls" for each in found.changes)


def test_an_answered_row_tells_where_when_and_at_what_cost(house: House) -> None:
    [report] = house.answer(house.write("reviews.yaml", BASE))
    with house.entry.open_services() as services:
        [found] = why_row(services, "id=2", "reviews.yaml")
        [trace] = why_call(services, found.calls[0].call_hash)
    assert (found.row, trace.job_hash, trace.is_answer) == (1, report.job_hash, True)
    assert trace.facts is not None
    assert (trace.facts.cost_usd, trace.facts.status) == (0, "succeeded")
    assert trace.recorded_ns is not None


def test_a_call_hash_finds_its_row(house: House) -> None:
    [report] = house.answer(house.write("reviews.yaml", BASE))
    with house.entry.open_services() as services:
        [second] = why_row(services, "1", report.job_hash)
        [found] = why_row(services, second.calls[1].call_hash, "reviews.yaml")
        assert found.row == 1
        with pytest.raises(NotFound, match="no row of job"):
            why_row(services, "0" * 32, "reviews.yaml")
        with pytest.raises(NotFound, match="holds no call"):
            why_call(services, "0" * 32)


@pytest.mark.parametrize("named", ["2", "id=9", "first"])
def test_a_row_that_is_not_there_is_an_error(house: House, named: str) -> None:
    house.accept(house.write("reviews.yaml", BASE))
    with house.entry.open_services() as services, pytest.raises(NotFound):
        why_row(services, named, "reviews.yaml")


def test_a_row_like_none_before_has_no_nearest_call(house: House) -> None:
    house.write("reviews.yaml", BASE)
    with house.entry.open_services() as services:
        [found] = why_row(services, "0", "reviews.yaml")
    assert [(call.state, call.nearest) for call in found.calls] == [("new", None)]


def test_the_nearest_of_several_recorded_calls_is_the_one_with_the_fewest_differences(house: House) -> None:
    [first] = house.answer(house.write("reviews.yaml", BASE))
    far = copy.deepcopy(BASE)
    both(prompt(0, temperature=0.9), message(1, content="Judge {{ text }} by {{ n }}."))(far)
    house.answer(house.write("reviews.yaml", far))
    near = copy.deepcopy(BASE)
    parameter("seed", 5)(near)
    house.write("reviews.yaml", near)
    with house.entry.open_services() as services:
        [found] = why_row(services, "0", "reviews.yaml")
    nearest = found.calls[-1].nearest
    assert nearest is not None
    assert (nearest.job_hash, [each.path for each in nearest.differences]) == (first.job_hash, ["body.seed"])


def test_of_a_batch_file_the_member_of_the_line_is_named(house: House) -> None:
    def lines(temperature: float) -> str:
        body = {"model": "simulated", "messages": [{"role": "user", "content": "Hello"}], "temperature": temperature}
        line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": body}
        return json.dumps(line) + "\n"

    house.answer(house.write("lines.jsonl", lines(0.5)))
    house.write("lines.jsonl", lines(0.7))
    with house.entry.open_services() as services:
        [found] = why_row(services, "custom_id=a", "lines.jsonl")
    [call] = found.calls
    assert call.nearest is not None
    assert [each.path for each in call.nearest.differences] == ["body.temperature"]
    assert call.nearest.because == ("input.rows[0].body",)


@pytest.mark.parametrize(
    ("is_killed", "state", "words"),
    [(False, "in flight", "being asked at this moment"), (True, "lost", "maybe paid; it would be asked again")],
)
def test_a_call_is_in_flight_only_while_who_asks_it_runs(house: House, is_killed: bool, state: str, words: str) -> None:
    [job] = house.accept(house.write("reviews.yaml", BASE))
    identity = replace(this_process(), started=1.0) if is_killed else this_process()
    with house.entry.open_services() as services:
        [before] = why_row(services, "0", "reviews.yaml")
        want = Want(
            call_hash=before.calls[0].call_hash, job_hash=job.hash, submission_id=1, provider="simulated", model="m"
        )
        services.ledger.exchange(services.ledger.open_owner(identity), outcomes=[], wants=[want])
        [found] = why_row(services, "0", "reviews.yaml")
        [attempt] = why_call(services, want.call_hash)
    assert (found.calls[0].state, attempt.is_lost) == (state, is_killed)
    shown = house.invoke("why", "0", "reviews.yaml").output
    assert words in shown
    assert ("it may have been paid" in shown) == is_killed


def test_of_calls_that_follow_each_other_only_the_last_would_be_asked_again(tmp_path: Path) -> None:
    rules = {"refused": ["ask_again", {"model": "openai/other"}]}
    prompt = {"name": "said", "text": "{{ text }}", "model": "openai/m", "on_status": rules}
    document = {"job": {"name": "refused", "input": {"rows": [{"text": "no"}]}, "prompts": [prompt]}}
    with speaking_server(lambda body: ("I cannot", "refused")) as speaking:
        house = House(tmp_path, dict(speaking.environment))
        path = house.write("refused.yaml", document)
        house.answer(path)
        with house.entry.open_services() as services:
            [found] = why_row(services, "0", "refused.yaml")
            [plan] = plan_named(services, "refused.yaml")
        asked = len(speaking.bodies)
        house.answer(path)
        assert len(speaking.bodies) - asked == plan.calls.new == 1
    assert [call.state for call in found.calls] == ["followed", "followed", "failed"]
    assert [each.facts.status for call in found.calls for each in call.traces if each.facts] == ["refused"] * 3
