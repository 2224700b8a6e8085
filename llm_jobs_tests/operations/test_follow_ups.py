"""Documents that say what follows an answer, from the text to the result, against a real server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.operations.budgets import check_caps
from llm_jobs.operations.describe import find_job
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.preflight import check_environment
from llm_jobs.operations.records import JobReport
from llm_jobs.operations.so_far import answered_so_far, is_answered
from llm_jobs_tests.cli.house import House
from llm_jobs_tests.servers.models import asked
from llm_jobs_tests.servers.speaking import Said, Speaking, Speech, speaking_server

Body = Mapping[str, Any]
SCORE = {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer", "maximum": 5}}}
GROWING = {"truncated": {"ask_again": {"max_tokens": "2x", "up_to": 1000}}}


def house_of(tmp_path: Path, speaking: Speaking) -> House:
    return House(tmp_path, dict(speaking.environment))


def document(prompt: Mapping[str, Any], *texts: str, **members: Any) -> dict[str, Any]:
    rows = [{"text": text} for text in texts or ("hello",)]
    asked = {"name": "said", "text": "{{ text }}", **prompt}
    return {"job": {"name": "job", "input": {"rows": rows}, "prompts": [asked], **members}}


def answered(house: House, value: Mapping[str, Any]) -> tuple[JobReport, list[dict[str, Any]]]:
    (report,) = house.answer(house.write("job.json", value))
    assert report.result is not None
    return report, pq.read_table(report.result).to_pylist()


def needs(tokens: int, name: str) -> Speech:
    return lambda body: "whole" if body[name] >= tokens else ("wh", "length")


@pytest.mark.parametrize(
    ("model", "operation", "limit"),
    [
        ("openai/gpt-4.1-mini", "chat", "max_tokens"),
        ("openai/gpt-5-mini", "chat", "max_completion_tokens"),
        ("openai/gpt-4.1-mini", "responses", "max_output_tokens"),
        ("anthropic/claude-haiku-4-5", "chat", "max_tokens"),
    ],
)
def test_a_truncated_answer_is_asked_again_with_a_larger_limit_under_the_vendor_s_name(
    tmp_path: Path, model: str, operation: str, limit: str
) -> None:
    prompt = {"model": model, "operation": operation, "parameters": {limit: 100}, "on_status": GROWING}
    with speaking_server(needs(350, limit)) as speaking:
        house = house_of(tmp_path, speaking)
        report, (row,) = answered(house, document(prompt))
        assert [body[limit] for body in speaking.bodies] == [100, 200, 400]
        assert (row["said"], row["llm_status"], row["llm_raw"], row["llm_attempts"]) == ("whole", "succeeded", None, 3)
        assert (row["llm_prompt_tokens"], report.calls_sent) == (3 * (1 if "claude" not in model else 6), 3)
        assert row["llm_model_reason"] is None
        again, (same, other) = answered(house, document(prompt, "hello", "another"))
        assert (again.calls_sent, same["said"], same["llm_reused"], other["llm_reused"]) == (3, "whole", True, False)
        with house.entry.open_services() as services:
            submission = find_job(services, "job")
            assert is_answered(services, submission)
            shown, _ = answered_so_far(services, submission).read_all().to_pylist()
            assert (shown["said"], shown["llm_prompt_tokens"]) == ("whole", row["llm_prompt_tokens"])


def test_a_truncated_answer_is_never_asked_for_again_as_it_was_unless_an_epoch_says_so(tmp_path: Path) -> None:
    prompt = {"model": "openai/m", "max_tokens": 100}
    with speaking_server(needs(350, "max_tokens")) as speaking:
        house = house_of(tmp_path, speaking)
        for _ in range(3):
            report, (row,) = answered(house, document(prompt))
            assert (row["llm_status"], row["llm_raw"], row["said"]) == ("truncated", "wh", "wh")
        assert (len(speaking.bodies), report.calls_sent) == (1, 0)
        _, (row,) = answered(house, document({**prompt, "on_status": GROWING}))
        assert row["llm_status"] == "succeeded"
        assert [body["max_tokens"] for body in speaking.bodies] == [100, 200, 400]
        answered(house, document(prompt, epoch="again"))
        assert len(speaking.bodies) == 4


def test_a_limit_grows_no_further_than_the_longest_answer_that_the_catalogue_states(tmp_path: Path) -> None:
    prompt = {"model": "openai/m", "max_tokens": 100, "on_status": GROWING}
    with speaking_server(needs(5000, "max_tokens")) as speaking:
        house = house_of(tmp_path, speaking)
        house.home.mkdir()
        (house.home / "models.yaml").write_text("openai/m: {provider: openai, model: m, max_output_tokens: 300}\n")
        _, (row,) = answered(house, document(prompt))
        assert ([body["max_tokens"] for body in speaking.bodies], row["llm_status"]) == ([100, 200, 300], "truncated")
        fixed = {**prompt, "on_status": {"truncated": {"ask_again": {"max_tokens": 301}}}}
        with pytest.raises(DocumentError, match="the longest answer of the model has 300"):
            house.accept(house.write("fixed.json", document(fixed)))


def test_a_malformed_answer_is_repaired_and_the_row_has_its_typed_columns(tmp_path: Path) -> None:
    def speech(body: Body) -> Said:
        return '{"score": 7}' if len(body["messages"]) == 1 else '{"score": 5}'

    prompt = {"model": "openai/m", "schema": SCORE, "on_status": {"invalid": {"repair": {"times": 2}}}}
    with speaking_server(speech) as speaking:
        _, (row,) = answered(house_of(tmp_path, speaking), document(prompt))
    assert (row["score"], row["llm_status"], row["llm_error"], row["llm_raw"]) == (5, "succeeded", None, None)
    said, complaint = speaking.bodies[1]["messages"][-2:]
    assert said == {"role": "assistant", "content": '{"score": 7}'}
    assert "the answer.score: 7 is greater than the maximum of 5 (declared by properties.score.maximum)" in asked(
        {"messages": [complaint]}
    )


def test_a_repaired_row_is_neither_asked_again_nor_planned_again(tmp_path: Path) -> None:
    def speech(body: Body) -> Said:
        return '{"score": 7}' if len(body["messages"]) == 1 else '{"score": 5}'

    prompt = {"model": "openai/m", "schema": SCORE, "on_status": {"invalid": "repair"}}
    with speaking_server(speech) as speaking:
        house = house_of(tmp_path, speaking)
        _, (row,) = answered(house, document(prompt))
        more = document(prompt, "hello", "another")
        house.accept(house.write("job.json", more))
        with house.entry.open_services() as services:
            (shown,) = answered_so_far(services, find_job(services, "job")).read_all().to_pylist()
        assert (shown["score"], shown["llm_call_hash"]) == (5, row["llm_call_hash"])
        report, (same, _) = answered(house, more)
        assert (report.calls_sent, len(speaking.bodies)) == (2, 4)
        assert (same["score"], same["llm_reused"], same["llm_cost_usd"]) == (5, True, 0.0)


def test_without_a_rule_a_malformed_answer_keeps_its_text_its_reason_and_its_cost(tmp_path: Path) -> None:
    with speaking_server(lambda body: '{"score": 7}') as speaking:
        _, (row,) = answered(house_of(tmp_path, speaking), document({"model": "openai/gpt-4.1-mini", "schema": SCORE}))
    assert (row["score"], row["llm_status"], row["llm_raw"]) == (None, "invalid", '{"score": 7}')
    assert "properties.score.maximum" in row["llm_error"]
    assert row["llm_completion_tokens"] > 0


@pytest.mark.parametrize("native", ["on", "off"])
def test_a_schema_that_is_not_sent_is_checked_all_the_same_and_is_another_call(tmp_path: Path, native: str) -> None:
    prompt = {"model": "openai/m", "schema": SCORE, "native": native}
    with speaking_server(lambda body: '```json\n{"score": 3}\n```' if native == "off" else '{"score": 3}') as speaking:
        _, (row,) = answered(house_of(tmp_path, speaking), document(prompt))
    assert ("response_format" in speaking.bodies[0]) == (native == "on")
    assert (row["score"], row["llm_status"]) == (3, "succeeded")


def test_the_second_of_a_list_answers_when_the_first_fails_for_ever_and_the_row_says_so(tmp_path: Path) -> None:
    def speech(body: Body) -> Said:
        return 500 if body["model"] == "broken" else "yes"

    execution = {"retry_on_failure": 1}
    value = document({"fallback": ["openai/broken", "anthropic/well"]}, "a", "b", execution=execution)
    with speaking_server(speech) as speaking:
        house = house_of(tmp_path, speaking)
        report, rows = answered(house, value)
        assert [row["said"] for row in rows] == ["yes", "yes"]
        assert {row["llm_model"] for row in rows} == {"anthropic/well"}
        assert {row["llm_model_answered"] for row in rows} == {"well-20260101"}
        assert {row["llm_model_reason"] for row in rows} == {"fallback: openai/broken failed"}
        assert speaking.asked == {"broken": 4, "well": 2}
        assert "max_tokens" in speaking.bodies[-1]  # which this vendor requires, and the other does not
        again, _ = answered(house, {"job": {**value["job"], "sample": 2}})
        assert (again.calls_sent, report.calls_sent, speaking.asked["broken"]) == (6, 6, 8)


def test_weights_are_the_document_s_else_the_catalogue_s_and_the_same_in_every_job(tmp_path: Path) -> None:
    texts = [str(number) for number in range(60)]
    with speaking_server(lambda body: str(body["model"])) as speaking:
        house = house_of(tmp_path, speaking)
        house.home.mkdir()
        (house.home / "models.yaml").write_text("openai/b: {provider: openai, model: b, weight: 1000000}\n")
        _, rows = answered(house, document({"models": {"openai/a": 1, "openai/b": None}}, *texts))
        assert {row["said"] for row in rows} == {"b"}
        _, even = answered(house, document({"models": {"openai/a": 1, "openai/b": 1}}, *texts))
        assert {row["said"] for row in even} == {"a", "b"}
        report, other = answered(house, document({"models": {"openai/b": 2, "openai/a": 2}}, *texts[::-1]))
        assert [row["said"] for row in other[::-1]] == [row["said"] for row in even]
        assert report.calls_sent == 0
        assert {row["llm_model_reason"] for row in [*rows, *even, *other]} == {"weighted"}


def test_a_weight_that_is_set_holds_for_what_is_asked_next_and_buys_nothing_again(tmp_path: Path) -> None:
    before, after = [str(number) for number in range(40)], [str(number) for number in range(40, 80)]
    models = {"models": {"openai/a": None, "openai/b": None}}
    with speaking_server(lambda body: str(body["model"])) as speaking:
        house = house_of(tmp_path, speaking)
        _, rows = answered(house, document(models, *before))
        assert {row["said"] for row in rows} == {"a", "b"}
        assert house.invoke("models", "set", "openai/a", "--weight", "1000000000").exit_code == 0
        report, later = answered(house, document(models, *before, *after))
        assert [row["said"] for row in later] == [row["said"] for row in rows] + ["a"] * 40
        assert report.calls_sent == 40


def test_rules_are_policy_and_the_set_of_models_is_identity(tmp_path: Path) -> None:
    house = House(tmp_path)

    def job_hash(prompt: Mapping[str, Any], **members: Any) -> str:
        (job,) = house.accept(house.write("job.json", document({"model": "simulated", **prompt}, **members)))
        return job.hash

    plain = job_hash({})
    assert plain == job_hash({"on_status": GROWING})
    assert plain == job_hash({"mode": "batch"}, budget={"max_cost_usd": 1}, mode="batch", priority="hot")
    pairs: list[dict[str, Any]] = [
        {"models": {"simulated/a": 1, "simulated/b": 1}},
        {"models": {"simulated/a": 2, "simulated/b": 1}},
    ]
    lists: list[dict[str, Any]] = [
        {"fallback": ["simulated/a", "simulated/b"]},
        {"fallback": ["simulated/b", "simulated/a"]},
    ]
    choices = [job_hash({"model": None, **prompt}) for prompt in [*pairs, *lists]]
    assert len({plain, *choices}) == 5
    assert job_hash({"model": None, "models": {"simulated/b": 1, "simulated/a": 1}}) == choices[0]
    assert job_hash({"model": None, "fallback": ["simulated"]}) == plain
    assert job_hash({"schema": SCORE}) != job_hash({"schema": SCORE, "native": "off"})


def test_a_model_on_the_command_line_stands_for_all_that_the_document_names(tmp_path: Path) -> None:
    house = House(tmp_path)
    value = document({"models": {"simulated/a": 1, "simulated/b": 1}})
    (plain,) = house.accept(house.write("one.json", document({"model": "simulated"})))
    (chosen,) = house.accept(house.write("two.json", value), Overrides(models=("simulated",)))
    assert chosen.hash == plain.hash


def test_every_model_s_key_is_needed_before_anything_is_spent(tmp_path: Path) -> None:
    with speaking_server(lambda body: "yes") as speaking:
        house = house_of(tmp_path, speaking)
        del house.variables["ANTHROPIC_BASE_URL"]
        jobs = house.accept(house.write("job.json", document({"fallback": ["openai/a", "anthropic/b"]})))
        rule = document({"model": "openai/a", "on_status": {"refused": {"model": "anthropic/b"}}})
        jobs += house.accept(house.write("rule.json", rule))
        del house.variables["ANTHROPIC_API_KEY"]
        with house.entry.open_services() as services:
            for job in jobs:
                with pytest.raises(SetupError, match="ANTHROPIC_API_KEY"):
                    check_environment(services, [job])


def test_a_list_of_models_needs_one_server_that_listens(tmp_path: Path) -> None:
    with speaking_server(lambda body: "yes") as speaking:
        house = house_of(tmp_path, speaking)
        house.variables["ANTHROPIC_BASE_URL"] = "http://127.0.0.1:9"
        prompts = ({"fallback": ["anthropic/b", "openai/a"]}, {"model": "anthropic/b"})
        listed, alone = (house.accept(house.write("job.json", document(prompt))) for prompt in prompts)
        with house.entry.open_services() as services:
            check_environment(services, listed)
            with pytest.raises(SetupError, match=r"no server answers at http://127\.0\.0\.1:9"):
                check_environment(services, alone)


def test_a_cap_holds_for_the_models_that_rules_name_too(tmp_path: Path) -> None:
    with speaking_server(lambda body: "yes") as speaking:
        house = house_of(tmp_path, speaking)
        prompt = {"model": "simulated", "max_tokens": 5, "on_status": {"empty": {"model": "openai/unpriced"}}}
        jobs = house.accept(house.write("job.json", document(prompt, budget={"max_cost_usd": 1})))
        with house.entry.open_services() as services, pytest.raises(SetupError, match="openai/unpriced"):
            check_caps(services, jobs[0])
