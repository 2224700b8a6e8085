"""The log that a document asks for: its form, its level, and what stands in no line."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from llm_jobs.documents.watched import JobLog
from llm_jobs.events import AlertRaised, Event, JobBroken, JobFinished, JobStarted, RowCompleted, wants
from llm_jobs.observability.job_logs import job_logged
from llm_jobs_tests.observability.facts import ANSWER, JOB, PROMPT, failed, recorded, sent

EVENTS: list[Event] = [
    JobStarted(JOB, "reviews", 4),
    sent(),
    recorded(),
    failed(retry_in_s=None),
    RowCompleted(JOB, "succeeded", False),
    AlertRaised(JOB, "reviews", "error_rate > 0.05", {"error_rate": 0.5}),
    JobFinished(JOB, "reviews", "done", 4, 4, 0),
    JobBroken(JOB, "reviews", "SetupError"),
]


def written(path: Path, stated: JobLog, *, secret: str = "no secret") -> str:
    with job_logged(stated, path=path, scrub=lambda text: text.replace(secret, "[removed]")) as tell:
        for event in EVENTS:
            if wants(tell, type(event)):
                tell(event)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("error", ["job_broken"]),
        ("warning", ["call_failed", "alert_raised", "job_broken"]),
        ("info", ["job_started", "call_failed", "alert_raised", "job_finished", "job_broken"]),
        (
            "debug",
            [
                "job_started",
                "call_sent",
                "call_recorded",
                "call_failed",
                "alert_raised",
                "job_finished",
                "job_broken",
            ],
        ),
    ],
)
def test_the_level_says_what_is_told(tmp_path: Path, level: str, expected: list[str]) -> None:
    text = written(tmp_path / "job.log", JobLog(level=level))  # type: ignore[arg-type]
    assert [json.loads(line)["event"] for line in text.splitlines()] == expected


def test_a_line_for_people_is_no_json(tmp_path: Path) -> None:
    text = written(tmp_path / "job.log", JobLog(format="text"))
    assert 'info job_started job_hash="' in text
    assert 'warning alert_raised job_hash="' in text


def test_prompts_and_answers_stand_in_no_line_unless_that_is_asked_for(tmp_path: Path) -> None:
    silent = written(tmp_path / "silent.log", JobLog(level="debug"))
    asked = written(tmp_path / "asked.log", JobLog(level="debug", content=True))
    assert [PROMPT in silent, ANSWER in silent, PROMPT in asked, ANSWER in asked] == [False, False, True, True]


def test_a_secret_in_a_prompt_stands_in_no_line(tmp_path: Path) -> None:
    text = written(tmp_path / "job.log", JobLog(level="debug", content=True), secret=PROMPT)
    assert PROMPT not in text
    assert [json.loads(line)["event"] for line in text.splitlines()][1] == "call_sent"


@pytest.mark.parametrize("destination", ["stdout", "stderr"])
def test_a_log_may_go_to_a_stream(destination: str, capsys: pytest.CaptureFixture[str]) -> None:
    with job_logged(JobLog(destination=destination), path=None, scrub=str) as tell:  # type: ignore[arg-type]
        tell(EVENTS[0])
    captured = capsys.readouterr()
    told, other = (captured.out, captured.err) if destination == "stdout" else (captured.err, captured.out)
    assert (json.loads(told)["event"], other) == ("job_started", "")


def test_a_log_that_cannot_be_written_is_told_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with job_logged(JobLog(), path=tmp_path / "file" / "job.log", scrub=str) as tell:
        for _ in range(3):
            tell(EVENTS[0])
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "the log of a job is not written" in caplog.text


def test_the_logging_of_the_process_changes_nothing_of_it(tmp_path: Path) -> None:
    logging.disable(logging.INFO)
    try:
        text = written(tmp_path / "job.log", JobLog())
    finally:
        logging.disable(logging.NOTSET)
    assert "job_started" in text
