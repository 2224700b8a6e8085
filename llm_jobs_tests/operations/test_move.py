"""A job that is moved between online and batch, at each moment of its life: nothing is asked twice."""

from __future__ import annotations

import pytest

from llm_jobs.documents.frozen import job_from_json
from llm_jobs.errors import DocumentError
from llm_jobs.ledger.base import Facts, Outcome, Want
from llm_jobs.ledger.owners import this_process
from llm_jobs.operations.batches import batch_lines, forget_batch
from llm_jobs.operations.describe import latest_jobs, unfinished
from llm_jobs.operations.move import move_job
from llm_jobs.operations.so_far import prepared_steps
from llm_jobs_tests.operations.batch_house import BatchHouse

QUESTIONS = [f"question {number}" for number in range(10)]


def move(house: BatchHouse, job_hash: str, to: str) -> list[str]:
    with house.services() as services:
        submission = services.ledger.submissions(job_hash=job_hash)[0]
        return list(move_job(services, submission, "batch" if to == "batch" else "online", why="a test"))


def test_what_a_batch_had_refused_is_paid_once_more_online_and_told_once(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.finish = {0: "filtered"}
    job_hash = house.submit(["same", "same", "other"])
    house.run(job_hash)
    house.server.finish()
    house.poll()
    move(house, job_hash, "online")
    report = house.run(job_hash)
    told = [(row["llm_reused"], row["llm_attempts"]) for row in house.rows(report)]
    assert told == [(False, 2), (True, 0), (False, 1)]
    assert (report.calls_sent, house.server.online) == (2, 1)


def launchable(house: BatchHouse) -> list[str]:
    with house.services() as services:
        return [job.job_hash for job in unfinished(services)]


def paid_once(house: BatchHouse) -> bool:
    return set(house.server.paid.values()) == {1} and len(house.server.paid) == len(QUESTIONS)


def test_an_online_job_is_moved_before_it_runs(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS, mode="online")
    assert move(house, job_hash, "batch") == []
    assert house.run(job_hash).status == "waiting"
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert (house.server.online, paid_once(house)) == (0, True)


def test_a_job_that_waits_for_its_batch_is_moved_online(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    assert move(house, job_hash, "online") == []
    assert house.run(job_hash).status == "waiting", "what the vendor does until it has stopped is paid"
    house.server.finish()
    report = house.run(job_hash)
    assert (report.status, report.calls_sent) == ("done", 10)
    assert (house.server.online, paid_once(house)) == (5, True)


def test_a_job_stays_moved_until_it_has_ended(openai_house: BatchHouse) -> None:
    house = openai_house
    job_hash = house.submit(QUESTIONS)
    move(house, job_hash, "online")
    house.submit(QUESTIONS)
    house.server.refuse_all = 400
    assert house.run(job_hash).status == "failed"
    house.server.refuse_all = 0
    house.submit(QUESTIONS)
    assert house.run(job_hash).status == "waiting", "the document says batch"


def test_a_batch_that_cannot_be_cancelled_is_told(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.refuse_all = 500
    [problem] = move(house, job_hash, "online")
    assert "batch 1 was not cancelled" in problem


def test_a_provider_without_batches_is_refused(openai_house: BatchHouse) -> None:
    job_hash = openai_house.submit(QUESTIONS, mode="online", model="command/echo")
    with pytest.raises(DocumentError, match="batch endpoints are those of openai, anthropic, simulated"):
        move(openai_house, job_hash, "batch")


def test_a_waiting_job_is_launched_when_its_batch_has_ended_and_not_before(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS)
    assert launchable(house) == [job_hash]
    house.run(job_hash)
    assert launchable(house) == []
    house.poll()
    assert launchable(house) == []
    with house.services() as services:
        [line] = latest_jobs(services)
    assert (line.status, "10 calls" in (line.waits_for or "")) == ("waiting", True)
    house.server.finish()
    house.poll()
    assert launchable(house) == [job_hash]
    assert house.run(job_hash).status == "done"
    assert launchable(house) == []


def test_a_batch_that_is_too_large_for_a_tick_is_collected_by_the_run_of_its_job(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.finish()
    assert [each.problem for each in house.poll(most_calls=9)] == [None]
    assert house.batches()[0].phase == "ended"
    assert launchable(house) == [job_hash]
    assert house.run(job_hash).status == "done"


def test_a_job_that_waits_for_anothers_batch_goes_on_when_that_is_collected(batch_house: BatchHouse) -> None:
    house = batch_house
    one, two = house.submit(QUESTIONS, name="one"), house.submit(QUESTIONS[:4], name="two")
    house.run(one)
    assert "4 calls asked by others already" in (house.run(two).error or "")
    assert launchable(house) == []
    house.server.finish()
    house.poll()
    assert launchable(house) == [one, two]
    assert (house.run(two).status, house.run(one).status) == ("done", "done")
    assert (len(house.server.batches), paid_once(house)) == (1, True)


def test_a_job_goes_on_when_a_process_that_lives_has_answered_what_it_wants(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS[:1])
    with house.services() as services:
        [submission] = services.ledger.submissions(job_hash=job_hash)
        prepared = prepared_steps(services, job_from_json(submission.job))
        call_hash = prepared[0].call({"text": QUESTIONS[0]}, 0).call_hash
        owner_id = services.ledger.open_owner(this_process())
        want = Want(call_hash=call_hash, job_hash=job_hash, submission_id=1, provider="x", model="m")
        intent_id = services.ledger.exchange(owner_id, outcomes=[], wants=[want]).granted[call_hash]
        assert "1 call asked by others already" in (house.run(job_hash).error or "")
        assert launchable(house) == []
        facts = Facts(status="cancelled")
        unsent = Outcome(intent_id=intent_id, call_hash=call_hash, facts=facts, final=True, request=b"", answer=None)
        services.ledger.exchange(owner_id, outcomes=[unsent], wants=[])
        assert launchable(house) == [job_hash]
    assert "1 call was submitted" in (house.run(job_hash).error or "")


def test_a_forgotten_batch_frees_its_calls_and_what_comes_of_it_is_late(batch_house: BatchHouse) -> None:
    house = batch_house
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    with house.services() as services:
        line = forget_batch(services, 1, why="a test")
    assert (line.phase, line.live, line.reason) == ("lost", False, "a test")
    assert house.run(job_hash).status == "waiting"
    house.server.finish()
    house.poll()
    assert house.run(job_hash).status == "done"
    audit = house.audit()
    assert (audit.answers, audit.late, audit.paid_twice, audit.unrecorded) == (10, 10, 10, 0)
    with house.services() as services:
        assert batch_lines(services, unfinished=True) == []


def test_steps_may_be_asked_differently(batch_house: BatchHouse) -> None:
    house = batch_house
    prompts = [
        {"name": "first", "text": "{{ text }}", "mode": "online"},
        {"name": "second", "text": "then {{ first }}", "mode": "batch"},
    ]
    job_hash = house.submit(QUESTIONS[:5], mode="online", prompts=prompts)
    assert house.run(job_hash).status == "waiting"
    assert (house.server.online, [len(batch.requests) for batch in house.server.batches.values()]) == (5, [5])
    house.server.finish()
    done = house.run(job_hash)
    assert (done.status, house.server.online) == ("done", 5)
    assert house.rows(done)[4]["second"] == "echo: then echo: question 4"
    assert set(house.server.paid.values()) == {1}
