"""What is seen while jobs run."""

from __future__ import annotations

import pytest

from llm_jobs.cli.progress import Pace, watching
from llm_jobs.events import JobStarted, RowCompleted
from llm_jobs.observability.progress import Progress
from llm_jobs.operations.records import JobReport
from llm_jobs_tests.observability.facts import recorded


def halfway() -> Progress:
    progress = Progress()
    progress(JobStarted("a" * 32, "words", 1319))
    for _ in range(120):
        progress(recorded("succeeded", 100, 3, 0.0002))
        progress(RowCompleted("a" * 32, "succeeded", False))
    return progress


def test_a_line_tells_rows_pace_tokens_cost_and_the_time_left() -> None:
    pace = Pace(halfway(), started_s=100.0)
    assert pace.line(103.0) == "120 of 1,319 rows · 40 rows/s · 12,360 tokens · $0.024 · 30 s left"


def test_failures_and_unknown_prices_are_told() -> None:
    progress = halfway()
    progress(RowCompleted("a" * 32, "refused", False))
    progress(recorded("succeeded", 5, 5, None))
    line = Pace(progress, started_s=0.0).line(10.0)
    assert "1 failed" in line
    assert "and calls of unknown price" in line


def test_no_time_is_told_while_it_cannot_be_known() -> None:
    assert Pace(Progress(), started_s=0.0).left_s(0.0) is None
    progress = Progress()
    progress(JobStarted("a" * 32, "words", None))
    progress(RowCompleted("a" * 32, "succeeded", False))
    pace = Pace(progress, started_s=0.0)
    assert pace.left_s(1.0) is None
    assert pace.line(1.0).startswith("1 row · ")


def test_the_pace_is_that_since_the_first_job_started() -> None:
    pace = Pace(progress := Progress())
    assert pace.line(5.0) == "starting"
    assert pace.rows_per_s(5.0) == 0.0
    progress(JobStarted("a" * 32, "words", 2))
    assert pace.rows_per_s(10.0) == 0.0
    progress(RowCompleted("a" * 32, "succeeded", False))
    assert pace.rows_per_s(12.0) == 0.5


def report() -> JobReport:
    return JobReport(
        job_hash="a" * 32,
        name="wor\x1bds",
        status="partial",
        rows=2,
        succeeded=1,
        failed=1,
        calls_sent=2,
        calls_reused=0,
        prompt_tokens=1,
        completion_tokens=1,
        cost_usd=None,
        result=None,
        sha256=None,
        seconds=0.1,
        error="refused: no",
    )


@pytest.mark.parametrize(
    ("quiet", "told"), [(False, "wor\\x1bds: partial, 1 of 2 rows answered: refused: no\n"), (True, "")]
)
def test_elsewhere_than_on_a_terminal_each_job_is_a_plain_line(
    quiet: bool, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[JobReport] = []
    with watching(Progress(), jobs=1, quiet=quiet) as tell:
        tell(report(), heard.append)
    assert heard == [report()]
    assert capsys.readouterr() == ("", told)
