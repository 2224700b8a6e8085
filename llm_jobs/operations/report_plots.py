"""The plots of a report: statuses, tokens, latency and cost of one result, or of two over the same axes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from llm_jobs.observability.plots import Panel, Series, svg
from llm_jobs.observability.texts import visible
from llm_jobs.operations import timeline
from llm_jobs.results.columns import COMPLETION_TOKENS, COST_USD, LATENCY_S, PROMPT_TOKENS
from llm_jobs.results.over_time import Slice
from llm_jobs.results.survey import Survey

SLICES = 40
BUCKETS = 32
Column = tuple[Survey, str]


def plots(surveys: Mapping[str, Survey], over_time: Sequence[Slice]) -> list[str]:
    """SVG texts for the results `surveys`, by the name of their job. `over_time`: what was bought for the only one."""
    surveys = {visible(name): survey for name, survey in surveys.items()}
    drawn = [plot for name, survey in surveys.items() for plot in _statuses(name if len(surveys) > 1 else "", survey)]
    drawn += _tokens(surveys)
    drawn += _histogram("latency per row", _columns(surveys, rows=LATENCY_S), unit=" s")
    drawn += _cost(surveys)
    if len(over_time) > 1:
        panel = replace(timeline.panels(over_time)[0], title="latency over time")
        drawn.append(svg([panel], timeline.ticks(over_time)))
    return drawn


def _tokens(surveys: Mapping[str, Survey]) -> Iterator[str]:
    """Of two jobs what they said alone: four curves in one plot are none."""
    if len(surveys) > 1:
        yield from _histogram("completion tokens per row", _columns(surveys, completion=COMPLETION_TOKENS), unit="")
    else:
        columns = _columns(surveys, prompt=PROMPT_TOKENS, completion=COMPLETION_TOKENS)
        yield from _histogram("tokens per row", columns, unit="")


def _columns(surveys: Mapping[str, Survey], **named: str) -> dict[str, Column]:
    """What a histogram counts, by what its legend says: the columns of one job, or the jobs where it is one column."""
    return {
        what if len(surveys) == 1 else name: (survey, column)
        for name, survey in surveys.items()
        for what, column in named.items()
    }


def _statuses(name: str, survey: Survey) -> Iterator[str]:
    if survey.rows:
        counts = survey.statuses_by_place(_slices(survey))
        series = [Series(name=status, values=counts[status]) for status in reversed(counts)]
        title = "statuses in the order of the rows" + (name and f", {name}")
        yield svg([Panel(title=title, kind="bars", series=series, unit="rows")], _places(survey))


def _places(survey: Survey) -> list[str]:
    return [f"row {number:,}" for number in range(0, survey.rows, survey.slice_rows(_slices(survey)))]


def _slices(survey: Survey) -> int:
    """Fewer where there are few rows: a bar of one row says nothing of its neighbourhood."""
    return min(SLICES, max(10, survey.rows // 5))


def _histogram(title: str, asked: Mapping[str, Column], *, unit: str) -> Iterator[str]:
    """How many rows have which value. The last bucket has all that lies beyond the highest 99th percentile, too."""
    tops = {name: found[0] for name, (survey, column) in asked.items() if (found := survey.quantiles(column, [0.99]))}
    if not tops:
        return
    width = _width(max(tops.values()), whole=not unit)
    buckets = int(max(tops.values()) / width) + 2
    series = [
        Series(name=name, values=asked[name][0].histogram(asked[name][1], width=width, buckets=buckets))
        for name in tops
    ]
    ticks = [f"{number * width:g}{unit}" for number in range(buckets)]
    yield svg([Panel(title=title, kind="bars" if len(series) == 1 else "lines", series=series, unit="rows")], ticks)


def _width(top: float, *, whole: bool) -> float:
    """A round width of which at most BUCKETS reach `top`: 1, 2 or 5 times a power of ten, a thousandth or more."""
    rough = max(top, 0.001 * BUCKETS) / BUCKETS
    power: float = 10.0 ** math.floor(math.log10(rough))
    width = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return max(1.0, width) if whole else width


def _cost(surveys: Mapping[str, Survey]) -> Iterator[str]:
    """Where the money went, unless nothing was spent."""
    longest = max(surveys.values(), key=lambda survey: survey.rows)
    ticks = _places(longest)
    series = [
        Series(name="of the rows there" if len(surveys) == 1 else name, values=_costs(survey, longest, len(ticks)))
        for name, survey in surveys.items()
        if survey.total(COST_USD)
    ]
    if series:
        panel = Panel(
            title="cost in the order of the rows",
            kind="bars" if len(surveys) == 1 else "lines",
            series=series,
            unit="$",
        )
        yield svg([panel], ticks)


def _costs(survey: Survey, longest: Survey, places: int) -> list[float | None]:
    found = survey.totals_by_place(COST_USD, longest.slice_rows(_slices(longest)))
    return found + [None] * (places - len(found))
