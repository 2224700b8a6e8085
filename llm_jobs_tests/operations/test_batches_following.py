"""Answers of a batch that are no success: kept with their text, and followed by other calls in the next batch."""

from __future__ import annotations

from typing import Any

import pytest

from llm_jobs_tests.operations.batch_house import BatchHouse, statuses

QUESTIONS = [f"question {number}" for number in range(6)]
SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


def prompt(**members: Any) -> list[dict[str, Any]]:
    return [{"name": "said", "text": "{{ text }}", "max_tokens": 100, **members}]


def sizes(house: BatchHouse) -> list[int]:
    return [len(batch.requests) for batch in house.server.batches.values()]


@pytest.mark.parametrize(("finish", "status"), [("length", "truncated"), ("refused", "refused"), ("empty", "empty")])
def test_what_was_said_is_kept_and_not_asked_again(batch_house: BatchHouse, finish: str, status: str) -> None:
    house = batch_house
    house.server.wrong.finish = {2: finish}
    job_hash = house.submit(QUESTIONS, prompts=prompt())
    house.run(job_hash)
    house.server.finish()
    report = house.run(job_hash)
    rows = house.rows(report)
    assert (report.status, statuses(rows)[2], statuses(rows).count("succeeded")) == ("partial", status, 5)
    assert (rows[2]["llm_raw"] or "") == ("" if finish == "empty" else "echo: question 2")
    assert (sizes(house), house.server.online, set(house.server.paid.values())) == ([6], 0, {1})


def test_a_larger_limit_is_asked_for_in_the_next_batch(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.finish = {1: "length", 4: "length"}
    rules = {"truncated": {"ask_again": {"max_tokens": "2x", "up_to": 1000}}}
    job_hash = house.submit(QUESTIONS, prompts=prompt(), on_status=rules)
    house.run(job_hash)
    house.server.finish()
    house.server.wrong.finish = {}
    assert "2 calls were submitted in 1 batch" in (house.run(job_hash).error or "")
    limits = [body.get("max_tokens") for _, _, body in list(house.server.batches.values())[1].requests]
    assert limits == [200, 200]
    house.server.finish()
    report = house.run(job_hash)
    assert (report.status, sizes(house), house.server.online) == ("done", [6, 2], 0)
    assert set(house.server.paid.values()) == {1}
    assert [(row["llm_reused"], row["llm_attempts"]) for row in house.rows(report)] == [
        (False, 1 + (at in (1, 4))) for at in range(6)
    ]
    assert (report.calls_sent, report.calls_reused) == (8, 0)


def test_a_repair_is_asked_for_in_the_next_batch(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS[:3], prompts=prompt(schema=SCHEMA), on_status={"invalid": "repair"})
    house.run(job_hash)
    house.server.finish()
    assert "3 calls were submitted in 1 batch" in (house.run(job_hash).error or "")
    _, _, body = list(house.server.batches.values())[1].requests[0]
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    house.server.finish()
    report = house.run(job_hash)
    assert (report.status, statuses(house.rows(report))) == ("failed", ["invalid"] * 3)
    assert (sizes(house), house.server.online, set(house.server.paid.values())) == ([3, 3], 0, {1})
