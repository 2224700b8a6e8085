"""Counts made of events."""

from __future__ import annotations

from llm_jobs.events import Event, JobFinished, JobStarted, RowCompleted
from llm_jobs.observability.progress import Progress
from llm_jobs_tests.observability.facts import JOB, recorded, sent


def test_rows_calls_tokens_and_cost_are_counted() -> None:
    progress = Progress()
    events: list[Event] = [
        JobStarted(JOB, "one", 4),
        sent(),
        recorded("succeeded", 10, 5, 0.5),
        RowCompleted(JOB, "succeeded", False),
        RowCompleted(JOB, "succeeded", True),
        sent(),
        recorded("refused", 7, None, None),
        RowCompleted(JOB, "refused", False),
    ]
    for event in events:
        progress(event)
    assert (progress.rows_done, progress.rows_failed, progress.rows_reused) == (3, 1, 1)
    assert (progress.prompt_tokens, progress.completion_tokens) == (17, 5)
    assert (progress.cost_usd, progress.calls_unpriced) == (0.5, 1)
    assert progress.percent == 75.0


def test_a_failed_attempt_without_usage_has_no_unknown_price() -> None:
    progress = Progress()
    progress(recorded("failed", None, None, None))
    assert progress.calls_unpriced == 0


def test_the_share_is_of_all_jobs_that_started_and_unknown_where_a_size_is() -> None:
    progress = Progress()
    assert progress.percent == 0.0
    progress(JobStarted(JOB, "one", 1))
    progress(RowCompleted(JOB, "succeeded", False))
    progress(JobStarted(JOB, "two", 3))
    assert progress.percent == 25.0
    progress(JobFinished(JOB, "one", "done", 1, 1, 0))
    assert (progress.jobs_started, progress.jobs_finished) == (2, 1)
    progress(JobStarted(JOB, "three", None))
    assert progress.percent is None
