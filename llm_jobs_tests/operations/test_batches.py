"""Jobs in mode batch at both vendors when all goes well: submit, end, collect, result, and nothing paid twice."""

from __future__ import annotations

import base64
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest

from llm_jobs.events import CallRecorded, CallReused
from llm_jobs.operations.describe import job_lines
from llm_jobs.operations.records import JobReport
from llm_jobs.providers.base import BYTES_PER_TOKEN
from llm_jobs_tests.operations.batch_house import MODELS, BatchHouse, statuses
from llm_jobs_tests.pictures import png

QUESTIONS = [f"question {number}" for number in range(20)]


def test_a_batch_job_waits_and_then_has_its_result(batch_house: BatchHouse) -> None:
    job_hash = batch_house.submit(QUESTIONS)
    first = batch_house.run(job_hash)
    assert (first.status, first.result) == ("waiting", None)
    assert "20 calls were submitted in 1 batch" in (first.error or "")
    again = batch_house.run(job_hash)
    assert again.status == "waiting"
    assert "in_progress" in (again.error or "")
    batch_house.server.finish()
    done = batch_house.run(job_hash)
    assert (done.status, done.rows, done.succeeded) == ("done", 20, 20)
    assert (done.calls_sent, done.calls_reused) == (20, 0), "the job bought them, if not in this run"
    rows = batch_house.rows(done)
    assert [row["said"] for row in rows] == [f"echo: {question}" for question in QUESTIONS]
    assert {(row["llm_reused"], row["llm_attempts"]) for row in rows} == {(False, 1)}
    assert set(batch_house.server.paid.values()) == {1}
    assert (len(batch_house.server.paid), batch_house.server.online, len(batch_house.server.batches)) == (20, 0, 1)
    audit = batch_house.audit()
    assert (audit.answers, audit.paid_twice, audit.unrecorded, audit.inconsistencies) == (20, 0, 0, ())


def test_the_call_is_the_same_online_and_in_a_batch(batch_house: BatchHouse) -> None:
    online = batch_house.submit(QUESTIONS[:5], name="online", mode="online")
    assert batch_house.run(online).status == "done"
    batch = batch_house.submit(QUESTIONS[:12], name="batch")
    assert "7 calls were submitted in 1 batch" in (batch_house.run(batch).error or "")
    batch_house.server.finish()
    assert batch_house.run(batch).status == "done"
    later = batch_house.submit(QUESTIONS[:12], name="later", mode="online", sample=1, version="2")
    assert batch_house.run(later).status == "done"
    assert (batch_house.server.online, len(batch_house.server.paid), set(batch_house.server.paid.values())) == (
        5,
        12,
        {1},
    )


def test_a_job_of_two_steps_goes_round_once_per_step(batch_house: BatchHouse) -> None:
    prompts = [{"name": "first", "text": "{{ text }}"}, {"name": "second", "text": "then {{ first }}"}]
    job_hash = batch_house.submit(QUESTIONS[:4], prompts=prompts)
    for _ in range(2):
        assert batch_house.run(job_hash).status == "waiting"
        batch_house.server.finish()
    done = batch_house.run(job_hash)
    assert done.status == "done"
    assert batch_house.rows(done)[0]["second"] == "echo: then echo: question 0"
    assert (len(batch_house.server.batches), len(batch_house.server.paid)) == (2, 8)


def test_equal_questions_are_asked_once(batch_house: BatchHouse) -> None:
    job_hash = batch_house.submit(["same"] * 30 + ["other"])
    batch_house.run(job_hash)
    batch_house.server.finish()
    done = batch_house.run(job_hash)
    assert (done.status, done.rows, len(batch_house.server.paid)) == ("done", 31, 2)


def test_the_run_that_makes_the_result_tells_what_its_batches_answered_and_each_once(batch_house: BatchHouse) -> None:
    def finished() -> tuple[JobReport, list[tuple[bool, int]], Counter[type]]:
        batch_house.run(job_hash)
        batch_house.server.finish()
        batch_house.told.clear()
        report = batch_house.run(job_hash)
        rows = [(row["llm_reused"], row["llm_attempts"]) for row in batch_house.rows(report)]
        return report, rows, Counter(map(type, batch_house.told))

    batch_house.server.wrong.errors = {1: 400}
    batch_house.server.wrong.finish = {2: "length"}
    job_hash = batch_house.submit(["same", "bad", "long", "same"])
    report, rows, told = finished()
    assert rows == [(False, 1), (False, 0), (False, 1), (True, 0)]
    assert (report.calls_sent, told[CallRecorded], told[CallReused]) == (2, 2, 1)
    batch_house.server.wrong.errors = {}
    report, rows, told = finished()
    assert rows == [(False, 1), (False, 1), (False, 1), (True, 0)]
    assert (report.calls_sent, told[CallRecorded], told[CallReused]) == (1, 1, 3), "the run before told the others"


def test_two_jobs_that_want_the_same_calls_buy_them_once(batch_house: BatchHouse) -> None:
    one, two = batch_house.submit(QUESTIONS, name="one"), batch_house.submit([*QUESTIONS[5:], "more"], name="two")
    batch_house.run(one)
    second = batch_house.run(two)
    assert "1 call was submitted in 1 batch" in (second.error or "")
    assert "15 calls asked by others already" in (second.error or "")
    batch_house.server.finish()
    assert (batch_house.run(one).status, batch_house.run(two).status) == ("done", "done")
    assert (len(batch_house.server.paid), set(batch_house.server.paid.values())) == (21, {1})


@pytest.mark.parametrize(("stated", "factor"), [({}, 0.5), ({"batch_price_factor": 0.25}, 0.25)])
def test_the_price_is_a_part_of_the_online_price(
    batch_house: BatchHouse, stated: dict[str, float], factor: float
) -> None:
    price = {"input_per_million_usd": 2.0, "output_per_million_usd": 4.0}
    model = {"provider": batch_house.vendor, "model": "m", "price": price, **stated}
    batch_house.house.home.mkdir(parents=True)
    (batch_house.house.home / "models.yaml").write_text(json.dumps({"priced": model}), encoding="utf-8")
    costs = []
    for mode in ("online", "batch"):
        job_hash = batch_house.submit([f"{mode} words here"], name=mode, mode=mode, model="priced")
        batch_house.run(job_hash)
        batch_house.server.finish()
        batch_house.run(job_hash)
        with batch_house.services() as services:
            costs.append(services.ledger.spend([job_hash])[job_hash].cost_usd)
            [line] = job_lines(services, services.ledger.submissions(job_hash=job_hash))
            assert line.cost_usd == pytest.approx(costs[-1])
        assert line.result is not None
        assert pq.read_table(line.result)["llm_cost_usd"].to_pylist() == [pytest.approx(costs[-1])]
    assert costs[0]
    assert costs[1] == pytest.approx(costs[0] * factor)


def test_a_poll_collects_and_a_later_run_asks_nothing(batch_house: BatchHouse) -> None:
    job_hash = batch_house.submit(QUESTIONS)
    batch_house.run(job_hash)
    batch_house.server.finish()
    assert [each.problem for each in batch_house.poll()] == [None]
    [state] = batch_house.batches()
    assert (state.phase, state.owns) == ("collected", False)
    batch_house.server.seen.clear()
    assert batch_house.run(job_hash).status == "done"
    assert batch_house.server.seen == []
    assert statuses(batch_house.rows(batch_house.run(job_hash))) == ["succeeded"] * 20


def test_a_key_goes_to_the_vendor_and_nowhere_else(batch_house: BatchHouse) -> None:
    job_hash = batch_house.submit(QUESTIONS[:2])
    batch_house.run(job_hash)
    batch_house.server.finish()
    batch_house.run(job_hash)
    assert batch_house.server.keys == {f"Bearer sk-batch-{batch_house.vendor}-key"}
    for path in batch_house.house.home.rglob("*"):
        assert path.is_dir() or b"sk-batch" not in path.read_bytes(), path


def _pictured(house: BatchHouse, seeds: range) -> str:
    """A batch job about one image per row; its hash."""
    folder = house.house.folder
    for seed in seeds:
        (folder / f"{seed}.png").write_bytes(png(seed))
    parts = [{"type": "text", "text": "{{ id }}"}, {"type": "image", "file": "{{ id }}.png"}]
    prompt = {"name": "said", "messages": [{"role": "user", "content": parts}], "max_tokens": 9}
    rows = [{"id": seed} for seed in seeds]
    members = {"name": "seen", "model": MODELS[house.vendor], "mode": "batch", "input": {"rows": rows}}
    [accepted] = house.house.accept(house.house.write("seen.json", {"job": {**members, "prompts": [prompt]}}))
    return accepted.hash


def test_a_batch_holds_the_bytes_of_its_images(batch_house: BatchHouse) -> None:
    job_hash = _pictured(batch_house, range(3))
    assert batch_house.run(job_hash).status == "waiting"
    uploaded = json.dumps([request for batch in batch_house.server.batches.values() for request in batch.requests])
    assert all(uploaded.count(base64.b64encode(png(seed)).decode()) == 1 for seed in range(3))
    [batch] = batch_house.batches()
    base64_tokens = 3 * len(base64.b64encode(png(1))) / BYTES_PER_TOKEN
    assert batch.batch.details["tokens"] <= batch.batch.bytes / BYTES_PER_TOKEN - base64_tokens + 8, "by their pixels"
    batch_house.server.finish()
    done = batch_house.run(job_hash)
    assert (done.status, done.succeeded) == ("done", 3)
    assert set(batch_house.server.paid.values()) == {1}
