"""Who spent what: sums of the ledger's usage, and what reuse saved. The first buyer pays; reuse costs nothing.

Savings are told by the results that reused answers, so they are known by day, job, label and submitter, and not by
model. A job with two labels counts under each: sums over labels pass the total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Literal

from llm_jobs.ledger.base import ResultRecord, Submission, UsageRow
from llm_jobs.observability.plots import Panel, Series, markdown, svg
from llm_jobs.operations.services import Services

Grouping = Literal["day", "model", "job", "label", "submitter"]
GROUPINGS: tuple[Grouping, ...] = ("day", "model", "job", "label", "submitter")
UNLABELLED = "(no label)"
ALL_JOBS = 2**31 - 1
ALL_TIME_NS = 2**63 - 1
SHEET_DAYS = 30
SHEET_LINES = 500
MODELS_SHOWN = 4
OTHER_MODELS = "others"
_DAY_NS = 86_400 * 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageLine:
    """What one group used. A sum of which nothing is known is None, never 0."""

    group: Mapping[str, str]  # what each of the groupings is
    calls: int = 0
    attempts: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    cost_usd: float | None = None
    unpriced: int = 0  # attempts that may have cost something nobody knows
    latency_s: float | None = None  # the mean over the attempts that were timed
    calls_reused: int | None = None  # None where it cannot be told
    saved_usd: float | None = None

    def facts(self) -> dict[str, object]:
        """The members, the group's first."""
        numbers = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "group"}
        return {**self.group, **numbers}


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageSheet:
    """The last month by day, model and job, newest first, and a plot of it as Markdown."""

    lines: Sequence[UsageLine]
    cost_usd: float | None
    saved_usd: float | None
    plot: str | None  # None where nothing was used


def usage(
    services: Services, *, by: Sequence[Grouping], since_ns: int | None = None, until_ns: int | None = None
) -> list[UsageLine]:
    """Usage recorded from `since_ns` until before `until_ns` (nanoseconds since 1970), one line per group of `by`."""
    rows = services.ledger.usage(since_ns=since_ns, until_ns=until_ns)
    jobs = _jobs(services)
    return _grouped(by, rows, _results(services, jobs, since_ns, until_ns), jobs)


def usage_sheet(services: Services) -> UsageSheet:
    """What Dagster's asset shows."""
    since_ns = services.clock.now_ns() // _DAY_NS * _DAY_NS - (SHEET_DAYS - 1) * _DAY_NS
    rows, jobs = services.ledger.usage(since_ns=since_ns), _jobs(services)
    lines = _grouped(("day", "model", "job"), rows, [], jobs)
    [total] = _grouped((), rows, _results(services, jobs, since_ns, None), jobs) or [UsageLine(group={})]
    return UsageSheet(
        lines=lines[: -SHEET_LINES - 1 : -1],
        cost_usd=total.cost_usd,
        saved_usd=total.saved_usd,
        plot=_plot(lines) if lines else None,
    )


def _jobs(services: Services) -> dict[str, Submission]:
    return {job.job_hash: job for job in services.ledger.latest_jobs(ALL_JOBS)}


def _grouped(
    by: Sequence[Grouping],
    rows: Iterable[UsageRow],
    results: Iterable[ResultRecord],
    jobs: Mapping[str, Submission],
) -> list[UsageLine]:
    sums: dict[tuple[str, ...], _Sums] = {}
    for row in rows:
        name = jobs[row.job_hash].name if row.job_hash in jobs else row.job_hash
        for key in _keys(by, _Group(str(row.day), row.model, name, row.labels, row.submitter)):
            sums.setdefault(key, _Sums()).add(row)
    if "model" not in by:
        for record in results:
            job = jobs[record.job_hash]
            day = str(datetime.fromtimestamp(record.epoch_ns / 1e9, UTC).date())
            for key in _keys(by, _Group(day, "", job.name, job.labels, job.submitter)):
                sums.setdefault(key, _Sums()).reuse(record)
    return [total.line(dict(zip(by, key, strict=True))) for key, total in sorted(sums.items())]


@dataclass(frozen=True, slots=True)
class _Group:
    """What a line can be grouped by."""

    day: str
    model: str
    job: str
    labels: Mapping[str, str]
    submitter: str


def _keys(by: Sequence[Grouping], group: _Group) -> Iterator[tuple[str, ...]]:
    """The key of a row; several where it has several labels and they are asked for."""
    labels = [f"{name}={value}" for name, value in group.labels.items()] or [UNLABELLED]
    for label in labels if "label" in by else labels[:1]:
        yield tuple(label if name == "label" else getattr(group, name) for name in by)


def _results(
    services: Services, jobs: Mapping[str, Submission], since_ns: int | None, until_ns: int | None
) -> Iterator[ResultRecord]:
    for records in services.ledger.results(list(jobs)).values():
        for record in records:
            if (since_ns or 0) <= record.epoch_ns < (ALL_TIME_NS if until_ns is None else until_ns):
                yield record


class _Sums:
    """One group while it grows."""

    def __init__(self) -> None:
        self.numbers: dict[str, int | float | None] = {}
        self.timed = 0
        self.seconds = 0.0

    def add(self, row: UsageRow) -> None:
        for name in ("calls", "attempts", "unpriced", *_TOKENS, "cost_usd"):
            self._grow(name, getattr(row, name))
        self.timed += row.timed
        self.seconds += row.latency_s or 0.0

    def reuse(self, record: ResultRecord) -> None:
        for name in ("calls_reused", "saved_usd"):
            value = record.facts.get(name)
            self._grow(name, value if isinstance(value, int | float) else None)

    def _grow(self, name: str, value: float | None) -> None:
        if value is not None:
            self.numbers[name] = (self.numbers.get(name) or 0) + value

    def line(self, group: Mapping[str, str]) -> UsageLine:
        latency_s = self.seconds / self.timed if self.timed else None
        return UsageLine(group=group, latency_s=latency_s, **self.numbers)  # type: ignore[arg-type]


_TOKENS = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


def _plot(lines: Sequence[UsageLine]) -> str:
    """Cost and tokens by day, the models that used most of them apart."""
    days = _every_day(lines)
    panels = [_panel("tokens by UTC day", "", lines, days, _tokens)]
    if any(line.cost_usd is not None for line in lines):
        panels.insert(0, _panel("cost by UTC day", "$", lines, days, lambda line: line.cost_usd or 0.0))
    return markdown(svg(panels, [day[5:] for day in days]), alt="cost and tokens by day and model")


def _tokens(line: UsageLine) -> float:
    return float((line.prompt_tokens or 0) + (line.completion_tokens or 0))


def _every_day(lines: Sequence[UsageLine]) -> list[str]:
    """The days from the first to the last of `lines`, those between on which nothing was used as well."""
    stated = sorted(datetime.fromisoformat(line.group["day"]).date() for line in lines)
    return [str(stated[0] + timedelta(days=number)) for number in range((stated[-1] - stated[0]).days + 1)]


def _panel(
    title: str, unit: str, lines: Sequence[UsageLine], days: Sequence[str], amount: Callable[[UsageLine], float]
) -> Panel:
    totals: dict[str, float] = {}
    for line in lines:
        totals[line.group["model"]] = totals.get(line.group["model"], 0.0) + amount(line)
    largest = sorted(totals, key=lambda model: (-totals[model], model))
    names = largest if len(largest) <= MODELS_SHOWN + 1 else [*largest[:MODELS_SHOWN], OTHER_MODELS]
    values = {name: dict.fromkeys(days, 0.0) for name in names}
    for line in lines:
        name = line.group["model"] if line.group["model"] in values else OTHER_MODELS
        values[name][line.group["day"]] += amount(line)
    series = [Series(name=name, values=[values[name][day] for day in days]) for name in names]
    return Panel(title=title, kind="bars", series=series, unit=unit)
