"""What becomes of rows whose call failed, strategy by strategy, from the document to the result."""

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
from llm_jobs_tests.servers.hooks import hook
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Speaking

SCHEMA = {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}}
LABEL = {"name": "label", "text": "label {{ text }}"}
PER_KIND = {
    "name": "per_kind",
    "reduce": {"by": ["kind"], "aggregate": {"n": "count"}},
    "text": "{% for row in rows %}{{ row.label }};{% endfor %}",
}


def document(
    *texts: str, handling: Mapping[str, Any], steps: Sequence[Mapping[str, Any]] = (LABEL,), **members: Any
) -> dict[str, Any]:
    rows = [{"id": number, "kind": "a", "text": text} for number, text in enumerate(texts)]
    fixed = {"name": "handled", "model": MODEL, "input": {"rows": rows}, "error_handling": dict(handling)}
    return {"job": {**fixed, "execution": {"concurrency": 1}, "steps": list(steps), **members}}


def strategy(name: str, **more: Any) -> dict[str, Any]:
    return {"on_prompt_failure": {"strategy": name, **more}}


def statuses(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["llm_status"] for row in rows]


def test_retry_ends_the_row_alone_and_asks_it_again_in_the_next_run(house: House, speaking: Speaking) -> None:
    value = document("one", "FAIL", "two", handling=strategy("retry"))
    report, rows = answered(house, value)
    assert (report.status, statuses(rows)) == ("partial", ["succeeded", "failed", "succeeded"])
    before = len(speaking.bodies)
    answered(house, value)
    assert [asked(body) for body in speaking.bodies[before:]] == ["label FAIL"]


@pytest.mark.parametrize("steps", [(LABEL,), (LABEL, {"name": "long", "text": "lengthen {{ label }}"})])
def test_fail_stops_at_the_first_failed_row_and_keeps_what_was_answered(
    house: House, speaking: Speaking, steps: Sequence[Mapping[str, Any]]
) -> None:
    texts = ["one", "FAIL", *(f"text {number}" for number in range(400))]
    report, rows = answered(house, document(*texts, handling=strategy("fail"), steps=steps))
    assert len(speaking.bodies) < 20
    assert report.status in ("partial", "failed")
    assert "on_prompt_failure: fail" in (report.error or "")
    assert len(rows) == 402
    assert rows[1]["llm_status"] == "failed"
    assert set(statuses(rows)) <= {"succeeded", "failed", "cancelled"}
    assert statuses(rows).count("failed") == 1
    assert "stopped at the first row that failed" in rows[-1]["llm_error"]


def test_what_a_stop_left_unasked_is_asked_by_the_next_run_and_nothing_twice(house: House, speaking: Speaking) -> None:
    texts = ["FAIL", *(f"text {number}" for number in range(30))]
    answered(house, document(*texts, handling=strategy("fail")))
    _, rows = answered(house, document(*texts, handling=strategy("retry")))
    assert statuses(rows) == ["failed", *["succeeded"] * 30]
    asked_of = [asked(body) for body in speaking.bodies]
    assert all(asked_of.count(f"label {text}") == 1 for text in texts[1:])


def test_a_rule_that_saves_the_row_stops_nothing(house: House) -> None:
    steps = [{"name": "label", "first_of": [LABEL | {"name": "first"}, {"name": "second", "text": "else"}]}]
    report, rows = answered(house, document("FAIL", "one", handling=strategy("fail"), steps=steps))
    assert (report.status, rows[0]["label"]) == ("done", "[else]")


@pytest.mark.parametrize("threshold", [2, "5%"])
def test_more_failures_than_the_threshold_stop_the_job(house: House, speaking: Speaking, threshold: object) -> None:
    texts = [*(f"text {number}" for number in range(30)), *["FAIL"] * 3, *(f"more {number}" for number in range(400))]
    texts[30:33] = ["FAIL 1", "FAIL 2", "FAIL 3"]
    report, rows = answered(house, document(*texts, handling={"failure_threshold": threshold}))
    assert report.status == "partial"
    assert "failure_threshold" in (report.error or "")
    assert 30 <= report.succeeded < 60
    assert len(speaking.bodies) < 70
    assert statuses(rows)[-1] == "cancelled"
    assert {(row["llm_attempts"], row["llm_reused"]) for row in rows if row["llm_status"] == "cancelled"} == {
        (0, False)
    }


def test_as_many_failures_as_the_threshold_allows_stop_nothing(house: House) -> None:
    texts = ["FAIL 1", "FAIL 2", *(f"text {number}" for number in range(38))]
    report, _ = answered(house, document(*texts, handling={"failure_threshold": 2}))
    assert (report.succeeded, report.failed) == (38, 2)


def test_a_stopped_job_says_so_in_the_ledger(house: House) -> None:
    report, _ = answered(house, document("FAIL", "one", handling=strategy("fail")))
    with house.entry.open_services() as services:
        [record] = services.ledger.results([report.job_hash])[report.job_hash]
    assert "stopped at the first row" in str(record.facts["stopped"])


def test_skip_makes_later_tables_without_the_row_and_the_job_says_so(house: House) -> None:
    value = document("one", "FAIL", "two", handling=strategy("skip"), steps=(LABEL, PER_KIND))
    report, rows = answered(house, value)
    assert [(row["n"], row["llm_status"], row["per_kind"]) for row in rows] == [
        (2, "succeeded", "[[label one];[label two];]")
    ]
    assert (report.status, report.succeeded) == ("partial", 1)
    assert report.result is not None
    [before] = Path(report.result).parent.glob("*.label.parquet")
    assert pq.read_table(before).column("llm_status").to_pylist() == ["succeeded", "failed", "succeeded"]
    with house.entry.open_services() as services:
        [record] = services.ledger.results([report.job_hash])[report.job_hash]
    assert record.facts["skipped"] == 1


def test_what_skip_left_out_is_asked_by_the_next_run_and_nothing_else(house: House, speaking: Speaking) -> None:
    value = document("one", "FAIL", "two", handling=strategy("skip"), steps=(LABEL, PER_KIND))
    report, _ = answered(house, value)
    assert (report.rows, report.succeeded, report.failed) == (1, 1, 1)
    before = len(speaking.bodies)
    answered(house, value)
    assert [asked(body) for body in speaking.bodies[before:]] == ["label FAIL"]


def test_a_fallback_value_lets_the_row_go_on_and_is_never_a_success(house: House, speaking: Speaking) -> None:
    steps = (LABEL, {"name": "long", "text": "lengthen {{ label }}"})
    value = document("one", "FAIL", handling=strategy("fallback", value="unknown"), steps=steps)
    report, rows = answered(house, value)
    assert [row["label"] for row in rows] == ["[label one]", "unknown"]
    assert rows[1]["long"] == "[lengthen unknown]"
    assert statuses(rows) == ["succeeded", "fallback"]
    assert "stands in for label (failed: " in rows[1]["llm_error"]
    assert (report.status, report.succeeded, report.failed) == ("partial", 1, 1)
    before = len(speaking.bodies)
    answered(house, value)
    assert [asked(body) for body in speaking.bodies[before:]] == ["label FAIL"]


def test_a_group_and_a_sweep_tell_of_the_fallback_values_in_them(house: House) -> None:
    swept: list[dict[str, Any]] = [
        {"name": "tones", "for_each": {"tone": ["calm", "loud"]}},
        {"name": "each", "text": "{{ tone }} {{ label }}"},
    ]
    handling = strategy("fallback", value="unknown")
    _, rows = answered(house, document("one", "FAIL", handling=handling, steps=(LABEL, *swept)))
    assert statuses(rows) == ["succeeded", "succeeded", "fallback", "fallback"]
    assert rows[3]["each"] == "[loud unknown]"
    _, rows = answered(house, document("one", "FAIL", handling=handling, steps=(LABEL, PER_KIND)))
    assert [(row["per_kind"], row["llm_status"]) for row in rows] == [("[[label one];unknown;]", "fallback")]
    assert "in 1 rows of the group" in rows[0]["llm_error"]


def test_a_fallback_value_stands_in_only_after_the_last_of_several_steps(house: House) -> None:
    first_of = [{"name": "first", "text": "label {{ text }}"}, {"name": "second", "text": "again {{ text }}"}]
    steps = [{"name": "label", "first_of": first_of}]
    _, rows = answered(house, document("one", "FAIL", handling=strategy("fallback", value="none"), steps=steps))
    assert [row["label"] for row in rows] == ["[label one]", "none"]
    assert rows[1]["first"] is None
    assert statuses(rows) == ["succeeded", "fallback"]


def test_a_fallback_value_is_what_the_schema_declares(house: House) -> None:
    steps = [{**LABEL, "schema": SCHEMA}]
    _, rows = answered(house, document("FAIL", handling=strategy("fallback", value={"score": 0}), steps=steps))
    assert [(row["score"], row["llm_status"]) for row in rows] == [(0, "fallback")]


@pytest.mark.parametrize(
    ("step", "value"), [({**LABEL, "schema": SCHEMA}, {"score": "high"}), (LABEL, 5), (LABEL, {"score": 0})]
)
def test_a_fallback_value_that_could_be_no_answer_is_refused_before_anything_is_asked(
    house: House, speaking: Speaking, step: Mapping[str, Any], value: object
) -> None:
    with pytest.raises(DocumentError) as caught:
        answered(house, document("one", handling=strategy("fallback", value=value), steps=[step]))
    [problem] = caught.value.problems
    assert problem.key == "job.error_handling.on_prompt_failure.value"
    assert speaking.bodies == []


def test_alert_tells_the_channels_and_changes_no_row(tmp_path: Path, speaking: Speaking) -> None:
    with hook() as slack:
        house = House(tmp_path, {**speaking.environment, "LLM_JOBS_SLACK_WEBHOOK_URL": slack.url})
        alerts = [{"condition": "rows > 100", "action": "slack", "channel": "#ops"}]
        _, rows = answered(house, document("one", "FAIL", handling=strategy("alert"), alerts=alerts))
    assert statuses(rows) == ["succeeded", "failed"]
    assert ["prompt_failures" in taken["text"] for taken in slack.taken] == [True]


def test_strategies_are_policy_and_no_identity(house: House) -> None:
    jobs = [
        house.accept(house.write("job.json", document("one", handling=handling)))[0]
        for handling in (strategy("retry"), strategy("fallback", value="x"), {"failure_threshold": 3})
    ]
    assert len({job.hash for job in jobs}) == 1
    assert [job_from_json(job_to_json(job)).policy.failures for job in jobs] == [job.policy.failures for job in jobs]
