"""Log lines: what is told, in which form, how often, and what never is."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from llm_jobs.events import BudgetReached, Event, JobBroken, JobFinished, JobStarted, RowCompleted, wants
from llm_jobs.observability.logs import logged
from llm_jobs.observability.telemetry import LOG_FORMATS, LogFormat
from llm_jobs.operations.scrubbing import without_secrets
from llm_jobs_tests.observability.facts import ANSWER, JOB, MODEL, PROMPT, failed, recorded, sent

EVENTS: list[Event] = [
    JobStarted(JOB, "reviews", 4),
    sent(),
    recorded(),
    RowCompleted(JOB, "succeeded", False),
    BudgetReached(JOB, f"job:{JOB}"),
    JobFinished(JOB, "reviews", "done", 4, 4, 0, cost_usd=0.5, seconds=1.5),
    JobBroken(JOB, "reviews", "SetupError"),
]


def written(*events: Event, form: LogFormat = "json", level: str = "info") -> str:
    stream = io.StringIO()
    with logged(form, level=level, scrub=str, stream=stream) as tell:
        for event in events:
            if wants(tell, type(event)):
                tell(event)
    return stream.getvalue()


def lines(*events: Event, level: str = "info") -> list[dict[str, Any]]:
    return [json.loads(line) for line in written(*events, level=level).splitlines()]


def test_each_event_of_note_is_a_line_of_json() -> None:
    told = lines(*EVENTS)
    assert [(line["event"], line["level"]) for line in told] == [
        ("job_started", "info"),
        ("budget_reached", "warning"),
        ("job_finished", "info"),
        ("job_broken", "error"),
    ]
    assert told[2].keys() == {
        *("time", "level", "logger", "event", "job_hash", "name", "status", "rows", "succeeded", "failed", "cost_usd"),
        "seconds",
    }
    assert told[0]["time"].endswith("Z")
    assert told[0]["logger"] == "llm_jobs"


@pytest.mark.parametrize(
    ("level", "events"),
    [("debug", 6), ("info", 4), ("warning", 2), ("error", 1)],
)
def test_the_level_says_what_is_told(level: str, events: int) -> None:
    assert len(lines(*EVENTS, level=level)) == events


def test_what_is_not_told_is_not_even_wanted() -> None:
    with logged("json", level="info", scrub=str, stream=io.StringIO()) as tell:
        assert not wants(tell, type(sent()))
        assert wants(tell, JobStarted)


def test_a_failure_that_repeats_is_told_ten_times_and_then_at_powers_of_ten() -> None:
    told = lines(*[failed(retry_in_s=None) for _ in range(2500)])
    assert [line.get("count") for line in told] == [None] * 10 + [100, 1000]


def test_a_retry_is_everyday_work() -> None:
    assert lines(failed()) == []
    [line] = lines(failed(), level="debug")
    assert (line["event"], line["error"], line["http_status"], line["model"]) == (
        "call_failed",
        "RateLimited",
        429,
        MODEL,
    )


@pytest.mark.parametrize("form", LOG_FORMATS)
def test_no_prompt_and_no_answer_is_in_a_line(form: LogFormat) -> None:
    text = written(*EVENTS, form=form, level="debug")
    assert MODEL in text
    assert PROMPT not in text
    assert ANSWER not in text


def test_lines_for_people_hold_no_control_characters_of_names() -> None:
    text = written(JobStarted(JOB, "re\x1b[31mviews\n", 4), form="text")
    assert text.endswith(' info job_started job_hash="' + JOB + '" name="re\\u001b[31mviews\\n" rows=4 tables=1\n')


def test_what_others_log_has_the_same_form_and_no_secret() -> None:
    stream = io.StringIO()
    environment = {"OPENAI_API_KEY": "sk-very-secret-key", "DATABASE_URL": "postgresql://ada:pass-word-9@host/db"}
    with logged("json", level="info", scrub=lambda text: without_secrets(text, environment), stream=stream):
        try:
            raise ValueError("sk-very-secret-key was refused by pass-word-9")
        except ValueError:
            logging.getLogger("llm_jobs.engine").exception("a defect with %s", "sk-very-secret-key")
    [line] = [json.loads(each) for each in stream.getvalue().splitlines()]
    assert (line["level"], line["logger"]) == ("error", "llm_jobs.engine")
    assert "ValueError" in line["traceback"]
    assert "sk-very-secret-key" not in stream.getvalue()
    assert "pass-word-9" not in stream.getvalue()


def test_afterwards_the_logger_is_as_it_was() -> None:
    logger = logging.getLogger("llm_jobs")
    before = (logger.level, logger.propagate, list(logger.handlers))
    written(*EVENTS)
    assert (logger.level, logger.propagate, list(logger.handlers)) == before
