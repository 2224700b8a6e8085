"""What is seen while jobs run: a bar on a terminal, plain lines elsewhere, always on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from llm_jobs.cli.texts import dollars, duration, number, visible
from llm_jobs.observability.progress import Progress
from llm_jobs.operations.records import JobReport

LINE_EVERY_S = 10.0
REFRESHES_PER_S = 5
BAR_COLUMNS = 16

Hear = Callable[[JobReport], None]
Told = Callable[[JobReport, Hear], None]


@contextmanager
def watching(progress: Progress, *, jobs: int, quiet: bool) -> Iterator[Told]:
    """Show `progress` while the block runs. What it gives is to be called with each report and who else hears it.

    `quiet`: no lines, and a bar only where it cannot get between the lines of standard output.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    pace = Pace(progress)
    if console.is_terminal and not (quiet and _stdout_is_terminal()):
        with _bar(pace, console, jobs):
            yield lambda report, hear: hear(report)
    elif quiet:
        yield lambda report, hear: hear(report)
    else:
        with _lines(pace):
            yield _line_and_hear


def _stdout_is_terminal() -> bool:
    return sys.stdout.isatty()


class Pace:
    """Progress over time: rows per second since the first job started, and the time that is left at that pace."""

    def __init__(self, progress: Progress, *, started_s: float | None = None) -> None:
        self.progress = progress
        self._started_s = started_s

    def rows_per_s(self, now_s: float) -> float:
        if self._started_s is None:
            self._started_s = now_s if self.progress.jobs_started else None
            return 0.0
        elapsed_s = now_s - self._started_s
        return self.progress.rows_done / elapsed_s if elapsed_s > 0 else 0.0

    def left_s(self, now_s: float) -> float | None:
        """Seconds until the jobs that have started are done; None while that cannot be told."""
        progress, pace = self.progress, self.rows_per_s(now_s)
        if not progress.size_known or not pace:
            return None
        return max(0, progress.rows_expected - progress.rows_done) / pace

    def line(self, now_s: float) -> str:
        """`120 of 1,319 rows · 40 rows/s · 12,345 tokens · $0.02 · 30 s left`."""
        progress = self.progress
        if not progress.jobs_started:
            return "starting"
        done = f"{progress.rows_done:,} of {number(progress.rows_expected, 'row')}"
        parts = [
            done if progress.size_known else number(progress.rows_done, "row"),
            f"{self.rows_per_s(now_s):,.0f} rows/s",
        ]
        if progress.rows_failed:
            parts.append(f"{progress.rows_failed:,} failed")
        parts.append(f"{progress.prompt_tokens + progress.completion_tokens:,} tokens")
        unknown = " and calls of unknown price" if progress.calls_unpriced else ""
        parts.append(dollars(progress.cost_usd) + unknown)
        left_s = self.left_s(now_s)
        if left_s is not None:
            parts.append(f"{duration(left_s)} left")
        return " · ".join(parts)


@contextmanager
def _bar(pace: Pace, console: Console, jobs: int) -> Iterator[None]:
    more = f" · {number(jobs, 'job')}" if jobs > 1 else ""

    def render() -> Table:
        progress = pace.progress
        share = progress.percent if progress.jobs_started else None
        row = Table.grid(padding=(0, 1))
        row.add_row(
            ProgressBar(
                total=None if share is None else 100, completed=share or 0, width=BAR_COLUMNS, pulse=share is None
            ),
            Text(pace.line(time.monotonic()) + more, no_wrap=True, overflow="ellipsis"),
        )
        return row

    with Live(
        get_renderable=render,
        console=console,
        refresh_per_second=REFRESHES_PER_S,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        yield


@contextmanager
def _lines(pace: Pace) -> Iterator[None]:
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(LINE_EVERY_S):
            click.echo(pace.line(time.monotonic()), err=True)

    teller = threading.Thread(target=tell, name="llm-jobs-progress", daemon=True)
    teller.start()
    try:
        yield
    finally:
        ended.set()
        teller.join()


def _line_and_hear(report: JobReport, hear: Hear) -> None:
    reason = f": {visible(report.error, most=300)}" if report.error and report.status != "done" else ""
    rows = f"{report.succeeded:,} of {number(report.rows, 'row')} answered"
    click.echo(f"{visible(report.name)}: {report.status}, {rows}{reason}", err=True)
    hear(report)
