"""Submissions whose answer never came: the batch is looked for before a call is asked again, and found or lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from llm_jobs.events import BatchChanged, Event, ignore
from llm_jobs.operations.batches import forget_batch
from llm_jobs.operations.batches_poll import OVER_S, SETTLE_S
from llm_jobs.operations.run import run_jobs, run_jobs_async
from llm_jobs_tests.operations.batch_house import BatchHouse
from llm_jobs_tests.servers.batches import Made

QUESTIONS = [f"question {number}" for number in range(8)]


def paid_once(house: BatchHouse) -> bool:
    return set(house.server.paid.values()) == {1} and len(house.server.paid) == len(QUESTIONS)


@pytest.mark.parametrize("how", ["lose_answer", "fail_after"])
def test_a_batch_whose_answer_was_lost_is_found_and_not_bought_again(batch_house: BatchHouse, how: str) -> None:
    house = batch_house
    setattr(house.server.wrong, how, 1)
    job_hash = house.submit(QUESTIONS)
    assert house.run(job_hash).status == "waiting"
    [state] = house.batches()
    assert (state.phase in ("recorded", "uploaded"), state.is_unsure) == (True, True)
    assert house.run(job_hash).status == "waiting"
    house.server.finish()
    house.clock.seconds += SETTLE_S + 1
    assert house.run(job_hash).status == "done"
    assert len(house.server.batches) == 1
    assert paid_once(house)


def test_a_batch_that_was_never_made_is_lost_only_after_it_was_looked_for(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.refuse = [500]
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    for _ in range(3):
        assert house.run(job_hash).status == "waiting"
    assert house.batches()[0].phase != "lost"
    house.clock.seconds += SETTLE_S + 1
    assert "8 calls were submitted" in (house.run(job_hash).error or "")
    assert [state.phase for state in house.batches()] == ["lost", "submitted"]
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert (len(house.server.batches), house.audit().unrecorded) == (1, 0)
    assert paid_once(house)


def test_anthropic_batches_of_the_same_size_are_told_apart_by_their_lines(anthropic_house: BatchHouse) -> None:
    house = anthropic_house
    house.server.wrong.lose_answer = 1
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    somebody_elses(house, "msgbatch_other")
    house.clock.seconds += SETTLE_S + 1
    assert "batches of the same size are under way" in (house.run(job_hash).error or "")
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert house.batches()[0].vendor_id == "msgbatch_000001"


def test_an_anthropic_batch_is_absent_when_all_candidates_are_anothers(anthropic_house: BatchHouse) -> None:
    house = anthropic_house
    house.server.wrong.refuse = [500]
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    somebody_elses(house, "msgbatch_other")
    house.clock.seconds += SETTLE_S + 1
    assert house.run(job_hash).status == "waiting"
    assert house.batches()[0].phase == "recorded"
    house.server.finish()
    assert "8 calls were submitted" in (house.run(job_hash).error or "")
    assert [state.phase for state in house.batches()] == ["lost", "submitted"]


def somebody_elses(house: BatchHouse, name: str) -> None:
    """A batch of another program in the same account, of as many requests."""
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "another's"}]}
    requests = [(f"theirs-{number}", "/v1/messages", {**body, "n": number}) for number in range(len(QUESTIONS))]
    house.server.batches[name] = Made(id=name, vendor="anthropic", requests=requests, created=0.0, status="in_progress")


def test_nothing_is_told_with_a_key_of_another_account(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.lose_answer = 1
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    files, house.server.files = house.server.files, {}
    batches, house.server.batches = house.server.batches, {}
    house.server.organization = "org-two"
    house.clock.seconds += SETTLE_S + 1
    report = house.run(job_hash)
    assert report.status == "waiting"
    assert "another" in (report.error or "")
    assert house.batches()[0].phase in ("recorded", "uploaded")
    house.server.files, house.server.batches, house.server.organization = files, batches, "org-one"
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert paid_once(house)


def test_what_cannot_be_told_is_given_up_when_the_vendors_time_is_over(batch_house: BatchHouse) -> None:
    house = batch_house
    house.server.wrong.lose_answer = 1
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.server.files, house.server.batches, house.server.organization = {}, {}, "org-two"
    house.clock.seconds += OVER_S + 1
    assert "8 calls were submitted" in (house.run(job_hash).error or "")
    assert [state.phase for state in house.batches()] == ["lost", "submitted"]
    assert house.audit().unrecorded == 16, "what may have been paid is listed, and what is under way"


def test_a_list_that_does_not_show_the_newest_batch_yet_is_given_time(openai_house: BatchHouse) -> None:
    house = openai_house
    house.server.wrong.lose_answer, house.server.wrong.hidden = 1, 1
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    house.clock.seconds += SETTLE_S - 10
    house.run(job_hash)
    assert house.server.wrong.hidden == 1, "nobody looked before the vendor had its time"
    house.server.wrong.hidden = 0
    house.clock.seconds += 20
    house.run(job_hash)
    house.server.finish()
    assert house.run(job_hash).status == "done"
    assert paid_once(house)


def test_a_batch_among_many_is_found_by_its_token(openai_house: BatchHouse) -> None:
    house = openai_house
    house.server.wrong.lose_answer = 1
    job_hash = house.submit(QUESTIONS)
    house.run(job_hash)
    [made] = house.server.batches.values()
    for number in range(250):
        other = Made(
            id=f"batch_x{number}", vendor="openai", requests=made.requests, created=made.created, status="failed"
        )
        house.server.batches[other.id] = other
    house.clock.seconds += SETTLE_S + 1
    house.run(job_hash)
    assert house.batches()[0].vendor_id == made.id


def test_a_submission_that_was_stopped_is_looked_for(batch_house: BatchHouse) -> None:
    """As Ctrl-C in a notebook does: the process lives on."""
    house = batch_house
    job_hash = house.submit(QUESTIONS)

    async def stopped() -> None:
        with house.services() as services:
            reports = run_jobs_async(services, [job_hash], listener=ignore)
            running = asyncio.create_task(anext(reports))
            await asyncio.to_thread(submitting.wait, 30)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            answered.set()
            await reports.aclose()

    def hold(made: bool) -> None:
        if made:
            submitting.set()
            answered.wait(30)

    submitting, answered = threading.Event(), threading.Event()
    house.server.at_submission = hold
    asyncio.run(stopped())
    house.server.at_submission = None
    [state] = house.batches()
    assert (state.is_unsure, state.owns) == (True, True)
    house.server.finish()
    house.clock.seconds += SETTLE_S + 1
    assert house.run(job_hash).status == "done"
    assert len(house.server.batches) == 1
    assert paid_once(house)


def test_a_process_that_was_taken_for_dead_submits_nothing(openai_house: BatchHouse) -> None:
    house = openai_house
    job_hash = house.submit(QUESTIONS)

    def given_away(event: Event) -> None:
        if isinstance(event, BatchChanged) and event.kind == "uploaded":
            with house.services() as services:
                forget_batch(services, 1, why="it was taken for dead")

    with house.services() as services:
        list(run_jobs(services, [job_hash], listener=given_away))
    assert house.server.batches == {}
