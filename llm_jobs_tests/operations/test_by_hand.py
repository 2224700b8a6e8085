"""Documents that somebody runs and waits for: in the order of what they need, each when its conditions hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_jobs.errors import DocumentError, SetupError
from llm_jobs.operations.by_hand import ByHand
from llm_jobs.operations.overrides import NO_OVERRIDES, Overrides
from llm_jobs.operations.release import release
from llm_jobs_tests.operations.launching import House, document, ns, opened
from llm_jobs_tests.operations.test_dependencies import BROKEN, DIAMOND, asked, keep_four

WINDOW = 'conditions: [{type: time_window, start: "09:00", end: "17:00"}]'


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with opened(tmp_path) as found:
        yield found


def by_hand(house: House, *named: str, overrides: Overrides = NO_OVERRIDES, ignore: bool = False) -> ByHand:
    return ByHand(house.services, named, overrides, origin="cli", ignore_conditions=ignore)


def rounds(house: House, hand: ByHand) -> list[list[str]]:
    """What starts at each look, until all is over or waits."""
    found = []
    while not hand.is_over and (ready := hand.ready()):
        found.append(sorted(report.name for report in house.run(*ready)))
    return found


def test_a_pipeline_runs_in_its_order(house: House) -> None:
    keep_four(house)
    house.keep("documents", "nightly.yaml", DIAMOND)
    hand = by_hand(house, "nightly")
    assert rounds(house, hand) == [["collector"], ["processor_a", "processor_b"], ["aggregator"]]
    assert (hand.is_over, hand.is_stuck) == (True, False)
    assert {named for _, named in hand.asked} == {"nightly"}


def test_where_a_job_of_a_pipeline_fails_the_rest_is_told_and_not_waited_for(house: House) -> None:
    keep_four(house)
    house.keep("documents", "collector.yaml", document("collector", BROKEN, text=asked("French")))
    house.keep("documents", "nightly.yaml", DIAMOND)
    hand = by_hand(house, "nightly")
    assert rounds(house, hand) == [["collector"]]
    assert hand.is_stuck
    assert "ended with 1 of 1 rows failed" in hand.reasons["processor_a"]
    assert "waits itself" in hand.reasons["aggregator"]


def test_a_job_whose_window_is_closed_is_waited_for_while_others_run(tmp_path: Path) -> None:
    with opened(tmp_path, utc="2026-11-20T18:00:00") as house:
        house.keep("documents", "late.yaml", document("late", WINDOW))
        house.keep("documents", "free.yaml", document("free", text="Name a fruit."))
        hand = by_hand(house, "late", "free")
        assert rounds(house, hand) == [["free"]]
        assert not hand.is_over
        assert hand.reasons == {"late": "it starts within 09:00-17:00 UTC only, next at 2026-11-21 09:00+00:00"}
        assert [hand.is_news("late", hand.reasons["late"]) for _ in range(2)] == [True, False]
        house.clock.advance(15 * 3600)
        assert house.clock.now_ns() > ns("2026-11-21T09:00:00")
        assert rounds(house, hand) == [["late"]]
        assert hand.is_over
        house.clock.advance(12 * 3600)
        assert rounds(house, by_hand(house, "late")) == [["late"]]  # it is finished: nothing has to wait


def test_conditions_and_dependencies_are_ignored_where_somebody_says_so(tmp_path: Path) -> None:
    with opened(tmp_path, utc="2026-11-20T18:00:00") as house:
        house.keep("documents", "late.yaml", document("late", WINDOW, "depends_on: nothing"))
        assert rounds(house, by_hand(house, "late")) == []
        assert rounds(house, by_hand(house, "late", ignore=True)) == [["late"]]


def test_a_job_whose_needs_are_done_is_run_at_once_with_what_is_said_over_it(house: House) -> None:
    house.keep("documents", "first.yaml", document("first"))
    house.keep("documents", "second.yaml", document("second", "depends_on: first", text="Name a fruit."))
    hand = by_hand(house, "second", "first", overrides=Overrides(epoch="2026-W47"))
    assert rounds(house, hand) == [["first"], ["second"]]
    assert {job.epoch for job, _ in hand.asked} == {"2026-W47"}
    assert rounds(house, by_hand(house, "second")) == [["second"]]


def test_what_another_process_has_started_meanwhile_is_taken_up(house: House) -> None:
    keep_four(house)
    house.keep("documents", "chain.yaml", "pipeline: {jobs: [collector, processor_a]}")
    hand = by_hand(house, "chain")
    assert len(release(house.services).accepted) == 1
    assert rounds(house, hand) == [["collector"], ["processor_a"]]


def test_what_a_later_submission_replaced_is_waited_for_no_longer(house: House) -> None:
    keep_four(house)
    house.keep("documents", "second.yaml", document("second", "depends_on: first", text="Name a fruit."))
    hand = by_hand(house, "second")
    assert (hand.ready(), hand.is_over) == ([], False)
    by_hand(house, "second")
    assert (hand.ready(), hand.is_over) == ([], True)


def test_a_pipeline_takes_nothing_that_is_said_over_one_job(house: House) -> None:
    keep_four(house)
    house.keep("documents", "nightly.yaml", DIAMOND)
    with pytest.raises(DocumentError, match="--model"):
        by_hand(house, "nightly", overrides=Overrides(models=("simulated",)))


def test_where_one_document_is_refused_nothing_is_submitted(house: House) -> None:
    keep_four(house)
    house.keep("documents", "nightly.yaml", DIAMOND)
    house.keep("documents", "wrong.yaml", "job: {}")
    with pytest.raises(DocumentError):
        by_hand(house, "nightly", "collector", "wrong")
    assert house.statuses() == {}
    assert house.services.ledger.changes_since(0) == []


def test_where_an_alert_of_one_document_could_not_be_sent_nothing_is_submitted(house: House) -> None:
    house.keep("documents", "first.yaml", document("first"))
    alerts = "alerts: [{condition: failed > 0, action: slack}]"
    house.keep("documents", "second.yaml", document("second", alerts))
    with pytest.raises(SetupError, match="LLM_JOBS_SLACK_WEBHOOK_URL"):
        by_hand(house, "first", "second")
    assert house.statuses() == {}
