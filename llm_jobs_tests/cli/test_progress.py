"""What is seen while jobs run."""

from __future__ import annotations

import io
from typing import get_args

import pytest
from rich.console import Console

from llm_jobs.cli.progress import WAITS, Pace, shown, watching
from llm_jobs.engine.stream import DROPPED
from llm_jobs.events import (
    BudgetReached,
    CallWaiting,
    JobFinished,
    JobStarted,
    RowCompleted,
    TableRowCompleted,
    TableStarted,
    WaitReason,
)
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
    line = "120 of 1,319 rows · 40 rows/s · 4,120 tokens/s · $0.024, about $0.26 at the end · 30 s left"
    assert pace.line(103.0) == line


def test_failures_and_unknown_prices_are_told() -> None:
    progress = halfway()
    progress(RowCompleted("a" * 32, "refused", False))
    progress(recorded("succeeded", 5, 5, None))
    line = Pace(progress, started_s=0.0).line(10.0)
    assert "1 failed" in line
    assert "and calls of unknown price" in line
    assert "at the end" not in line


def test_no_time_and_no_cost_is_told_while_it_cannot_be_known() -> None:
    assert Pace(Progress(), started_s=0.0).line(1.0) == "starting"
    progress = Progress()
    progress(JobStarted("a" * 32, "words", None))
    progress(recorded())
    progress(RowCompleted("a" * 32, "succeeded", False))
    assert Pace(progress, started_s=0.0).line(1.0) == "1 row · 1 rows/s · 15 tokens/s · $0.50"


def test_the_pace_is_that_since_the_first_job_started() -> None:
    pace = Pace(progress := Progress())
    assert pace.line(5.0) == "starting"
    progress(JobStarted("a" * 32, "words", 2))
    assert "0 of 2 rows · 0 rows/s" in pace.line(10.0)
    progress(RowCompleted("a" * 32, "succeeded", False))
    assert "1 of 2 rows · 0 rows/s · 0 tokens/s · $0 · 2.0 s left" in pace.line(12.0)


def test_what_was_reused_at_the_start_does_not_make_the_rest_look_quick_or_cheap() -> None:
    pace = Pace(progress := Progress())
    progress(JobStarted("a" * 32, "words", 1000))
    pace.line(0.0)
    for _ in range(900):
        progress(RowCompleted("a" * 32, "succeeded", True))
    for second in range(1, 51):
        progress(recorded("succeeded", 100, 100, 0.01))
        progress(RowCompleted("a" * 32, "succeeded", False))
        line = pace.line(float(second))
    assert line == "950 of 1,000 rows · 1 rows/s · 200 tokens/s · $0.50, about $1.00 at the end · 50 s left"


def test_what_calls_wait_for_is_told_the_most_of_them_first() -> None:
    progress = halfway()
    waits: list[WaitReason] = ["elsewhere", "tokens", "tokens", "requests", "requests", "requests"]
    for number, reason in enumerate(waits):
        progress(CallWaiting(f"{number:032x}", "a" * 32, "gpt", reason))
    progress(BudgetReached("a" * 32, "label:team=red:2026-11"))
    assert (
        Pace(progress, started_s=0.0)
        .line(3.0)
        .endswith(
            "waiting: 3 for the quota of requests of gpt, 2 for the quota of tokens of gpt"
            " · budget reached: label:team=red:2026-11"
        )
    )


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            80,
            [
                "120 of 1,319 rows · 40 rows/s · 4,120 tokens/s",
                "$0.024, about $0.26 at the end · 30 s left",
                "waiting: 1 for a pause that the provider of openai/gpt-4.1-mini asked for",
            ],
        ),
        (
            200,
            [
                "120 of 1,319 rows · 40 rows/s · 4,120 tokens/s · $0.024, about $0.26 at the end · 30 s left"
                " · waiting: 1 for a pause that the provider of openai/gpt-4.1-mini asked for"
            ],
        ),
    ],
)
def test_a_narrow_terminal_shows_all_that_a_wide_one_does(columns: int, lines: list[str]) -> None:
    progress = halfway()
    progress(CallWaiting("c" * 32, "a" * 32, "openai/gpt-4.1-mini", "paused"))
    console = Console(width=columns, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as captured:
        console.print(shown(progress, Pace(progress, started_s=100.0).parts(103.0), columns=columns))
    assert [line.lstrip("━╸╺ ").rstrip() for line in captured.get().splitlines()] == lines


def test_every_reason_to_wait_has_its_words() -> None:
    assert set(WAITS) == set(get_args(WaitReason))


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


def rows(progress: Progress, event: type[RowCompleted] | type[TableRowCompleted], times: int) -> None:
    for _ in range(times):
        progress(event("a" * 32, "succeeded", False))


def test_a_job_of_several_tables_tells_a_total_only_once_the_last_table_is_known() -> None:
    progress = Progress()
    pace = Pace(progress, started_s=0.0)
    progress(JobStarted("a" * 32, "graph", 4, tables=3))
    rows(progress, RowCompleted, 4)
    assert (progress.percent, pace.line(1.0)) == (None, "4 rows, table 1 of 3 · 4 rows/s · 0 tokens/s · $0")
    progress(TableStarted("a" * 32, 2, 3, None))
    rows(progress, TableRowCompleted, 6)
    assert (progress.percent, pace.line(2.0)) == (None, "10 rows, table 2 of 3 · 5 rows/s · 0 tokens/s · $0")
    progress(TableStarted("a" * 32, 3, 3, 10))
    rows(progress, TableRowCompleted, 5)
    assert progress.percent == 75.0
    assert pace.line(3.0).startswith("15 of 20 rows, table 3 of 3 · ")


def test_a_job_whose_last_table_is_not_known_has_as_many_rows_as_were_done() -> None:
    progress = Progress()
    progress(JobStarted("a" * 32, "graph", 4, tables=2))
    rows(progress, RowCompleted, 4)
    progress(TableStarted("a" * 32, 2, 2, None))
    rows(progress, TableRowCompleted, 2)
    assert not progress.size_known
    progress(JobFinished("a" * 32, "graph", "done", 2, 2, 0))
    assert (progress.percent, progress.rows_done, progress.rows_expected) == (100.0, 6, 6)


def test_a_row_that_a_filter_leaves_out_is_done_and_did_not_fail() -> None:
    progress = Progress()
    progress(RowCompleted("a" * 32, DROPPED, False))
    assert (progress.rows_done, progress.rows_failed) == (1, 0)
