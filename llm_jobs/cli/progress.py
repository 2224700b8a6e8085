"""What is seen while jobs run: a bar on a terminal, plain lines elsewhere, always on standard error."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click
from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from llm_jobs.cli.texts import dollars, duration, number, visible
from llm_jobs.events import WaitReason
from llm_jobs.observability.progress import Progress
from llm_jobs.operations.records import JobReport

LINE_EVERY_S = 10.0
REFRESHES_PER_S = 5
BAR_COLUMNS = 16
SEPARATOR = " · "
PACE_OVER_S = 30.0
WAITS_SHOWN = 2
WAITS: dict[WaitReason, str] = {
    "quota": "the quota of {model}",
    "requests": "the quota of requests of {model}",
    "tokens": "the quota of tokens of {model}",
    "concurrency": "a place among the calls at once of {model}",
    "paused": "a pause that the provider of {model} asked for",
    "elsewhere": "another process's calls",
    "budget": "money that calls in flight hold back",
    "retry": "a retry of {model}",
    "batch": "a batch of {model}",
}

Hear = Callable[[JobReport], None]
Told = Callable[[JobReport, Hear], None]


@contextmanager
def watching(progress: Progress, *, jobs: int, quiet: bool, logged: bool = False) -> Iterator[Told]:
    """Show `progress` while the block runs. What it gives is to be called with each report and who else hears it.

    `quiet`: no lines, and a bar only where it cannot get between the lines of standard output. `logged`: a log is
    written to standard error, and a bar would get between its lines.
    """
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    pace = Pace(progress)
    if console.is_terminal and not logged and not (quiet and _stdout_is_terminal()):
        with _bar(pace, console, jobs):
            yield lambda report, hear: hear(report)
    elif quiet:
        yield lambda report, hear: hear(report)
    else:
        with _lines(pace):
            yield _line_and_hear


def _stdout_is_terminal() -> bool:
    return sys.stdout.isatty()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sample:
    """How far things were at one moment."""

    at_s: float
    rows: int
    tokens: int
    cost_usd: float


class Pace:
    """Progress over time: what a second brings, and what is left at that pace.

    The pace is that of the last half minute, not since the start: answers that are reused come at once, and those that
    are bought after them do not.
    """

    def __init__(self, progress: Progress, *, started_s: float | None = None) -> None:
        """`started_s`: when the first job started, where that is known; else the first look after it."""
        self.progress = progress
        self._samples: deque[_Sample] = deque()
        if started_s is not None:
            self._samples.append(_Sample(at_s=started_s, rows=0, tokens=0, cost_usd=0.0))

    def line(self, now_s: float) -> str:
        """`120 of 1,319 rows · 40 rows/s · 4,120 tokens/s · $0.024, about $0.26 at the end · 30 s left · …`."""
        return SEPARATOR.join(self.parts(now_s))

    def parts(self, now_s: float) -> list[str]:
        """What `line` tells, one thing each."""
        progress = self.progress
        if not progress.jobs_started:
            return ["starting"]
        then, now = self._window(now_s)
        done = f"{progress.rows_done:,} of {number(progress.rows_expected, 'row')}"
        table = f", table {progress.table[0]} of {progress.table[1]}" if progress.table else ""
        parts = [
            (done if progress.size_known else number(progress.rows_done, "row")) + table,
            f"{_rate(now.rows - then.rows, then, now):,.0f} rows/s",
            f"{_rate(now.tokens - then.tokens, then, now):,.0f} tokens/s",
        ]
        if progress.rows_failed:
            parts.append(f"{progress.rows_failed:,} failed")
        parts.append(self._money(then, now))
        left_s = self._left_s(then, now)
        if left_s is not None:
            parts.append(f"{duration(left_s)} left")
        return [*parts, *_obstacles(progress)]

    def _window(self, now_s: float) -> tuple[_Sample, _Sample]:
        """The oldest look of the last half minute, and this one."""
        progress = self.progress
        tokens = progress.prompt_tokens + progress.completion_tokens
        now = _Sample(at_s=now_s, rows=progress.rows_done, tokens=tokens, cost_usd=progress.cost_usd)
        self._samples.append(now)
        while len(self._samples) > 2 and self._samples[1].at_s <= now_s - PACE_OVER_S:
            self._samples.popleft()
        return self._samples[0], now

    def _left_s(self, then: _Sample, now: _Sample) -> float | None:
        """Seconds until the jobs that have started are done; None while that cannot be told."""
        pace = _rate(now.rows - then.rows, then, now)
        return self._rows_left() / pace if self.progress.size_known and pace else None

    def _rows_left(self) -> int:
        return max(0, self.progress.rows_expected - self.progress.rows_done)

    def _money(self, then: _Sample, now: _Sample) -> str:
        progress = self.progress
        spent = dollars(progress.cost_usd)
        if progress.calls_unpriced:
            return f"{spent} and calls of unknown price"
        rows = now.rows - then.rows
        left = self._rows_left()
        if not (progress.size_known and rows and left and progress.cost_usd):
            return spent
        at_end = progress.cost_usd + (now.cost_usd - then.cost_usd) / rows * left
        return f"{spent}, about {dollars(at_end)} at the end"


def _rate(grown: float, then: _Sample, now: _Sample) -> float:
    return grown / (now.at_s - then.at_s) if now.at_s > then.at_s else 0.0


def _obstacles(progress: Progress) -> Iterator[str]:
    """What calls wait for, most of them first, and the caps that stop them."""
    waiting = [
        f"{calls:,} for {WAITS[reason].format(model=visible(model, most=40))}"
        for (model, reason), calls in progress.waits.now().most_common(WAITS_SHOWN)
    ]
    if waiting:
        yield f"waiting: {', '.join(waiting)}"
    if progress.budgets_reached:
        yield f"budget reached: {', '.join(sorted(visible(key, most=40) for key in progress.budgets_reached))}"


def shown(progress: Progress, parts: Sequence[str], *, columns: int) -> Group:
    """The bar with `parts` beside it, and below it what a terminal of so many columns has no room for there."""
    share = progress.percent if progress.jobs_started else None
    first, *rest = _folded(parts, columns=columns, taken=BAR_COLUMNS + 1)
    row = Table.grid(padding=(0, 1))
    row.add_row(
        ProgressBar(total=None if share is None else 100, completed=share or 0, width=BAR_COLUMNS, pulse=share is None),
        Text(first, no_wrap=True, overflow="ellipsis"),
    )
    return Group(row, *map(Text, rest))


def _folded(parts: Sequence[str], *, columns: int, taken: int) -> list[str]:
    """`parts` in lines of at most so many columns, of which so many are `taken` in the first, broken between parts."""
    lines, room = [parts[0]], columns - taken
    for part in parts[1:]:
        longer = lines[-1] + SEPARATOR + part
        if cell_len(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(part)
            room = columns
    return lines


@contextmanager
def _bar(pace: Pace, console: Console, jobs: int) -> Iterator[None]:
    more = [number(jobs, "job")] if jobs > 1 else []

    def render() -> Group:
        return shown(pace.progress, [*pace.parts(time.monotonic()), *more], columns=console.width)

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
