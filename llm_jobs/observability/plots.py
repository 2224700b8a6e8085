"""Small plots as SVG text: lines and stacked bars over a shared time axis. Pure; values in, text out.

Written by hand because a plot here is a few hundred numbers in a few kilobytes of metadata, and a plotting library is
a hundred megabytes that would be imported in every run.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

WIDTH, PANEL_HEIGHT = 680, 170
LEFT, RIGHT, TOP, BOTTOM = 64, 14, 42, 22
CHARACTER_WIDTH, SWATCH = 6.4, 26  # pixels: of a letter, of a colour with the space around it
# Okabe and Ito's colours, which colour-blind readers tell apart (jfly.uni-koeln.de/color).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#999999")
GRID_LINES = 4
MOST_TICKS = 6
NAME_CHARACTERS = 32

Value = float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Values by place on the time axis; None where there is none."""

    name: str
    values: Sequence[Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One plot: `lines` beside each other, or `bars` on top of each other."""

    title: str
    kind: Literal["lines", "bars"]
    series: Sequence[Series]
    unit: str = ""  # before the number where it is `$`, else after it


def svg(panels: Sequence[Panel], ticks: Sequence[str]) -> str:
    """`panels` below each other; `ticks` names each place on the time axis that they share, some of which are shown."""
    height = PANEL_HEIGHT * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="11" fill="#444">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, ticks, number * PANEL_HEIGHT)
    return "".join([*parts, "</svg>"])


def markdown(image: str, *, alt: str) -> str:
    """An SVG text as an image in Markdown. A browser runs no script of such an image."""
    return f"![{alt}](data:image/svg+xml;base64,{base64.b64encode(image.encode()).decode()})"


def _panel(panel: Panel, ticks: Sequence[str], top: int) -> Iterator[str]:
    highest = _highest(panel)
    step = _step(highest)
    lines = max(1, math.ceil(highest / step - 1e-9))
    scale = _Scale(places=len(ticks), top=top, most=step * lines)
    yield f'<text x="{LEFT}" y="{top + 15}" font-weight="bold">{escape(panel.title)}</text>'
    yield from _legend(panel, top)
    for line in range(lines + 1):
        y = scale.y(step * line)
        yield f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
        label = escape(_label(step * line, step, panel.unit))
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    yield from (_lines(panel, scale) if panel.kind == "lines" else _bars(panel, scale))
    yield from _ticks(ticks, scale, top)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scale:
    """Where a value lies in a panel."""

    places: int
    top: int
    most: float

    def x(self, place: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * place / max(1, self.places)

    def y(self, value: float) -> float:
        return self.top + PANEL_HEIGHT - BOTTOM - (PANEL_HEIGHT - TOP - BOTTOM) * value / self.most


def _highest(panel: Panel) -> float:
    if panel.kind == "lines":
        return max((value or 0.0 for series in panel.series for value in series.values), default=0.0)
    return max((math.fsum(value or 0.0 for value in bar) for bar in zip(*_values(panel), strict=True)), default=0.0)


def _values(panel: Panel) -> list[Sequence[Value]]:
    return [series.values for series in panel.series]


def _step(highest: float) -> float:
    """A round number of which some four reach `highest`: 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    rough = highest / GRID_LINES
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))


def _label(value: float, step: float, unit: str) -> str:
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    number = f"{value:,.{places}f}" if places < 7 else f"{value:.1e}"
    return f"{unit}{number}" if unit == "$" else f"{number}{unit and ' ' + unit}"


def _legend(panel: Panel, top: int) -> Iterator[str]:
    """The names beside their colours, in one row under the title, cut to what fits."""
    room = (WIDTH - LEFT - RIGHT) / max(1, len(panel.series))
    longest = min(NAME_CHARACTERS, int((room - SWATCH) / CHARACTER_WIDTH))
    x: float = LEFT
    for series, colour in zip(panel.series, _colours(panel), strict=True):
        name = series.name if len(series.name) <= longest else f"{series.name[: longest - 1]}…"
        yield f'<rect x="{x:.0f}" y="{top + 22}" width="9" height="9" fill="{colour}"/>'
        yield f'<text x="{x + 13:.0f}" y="{top + 30}">{escape(name)}</text>'
        x += CHARACTER_WIDTH * len(name) + SWATCH


def _colours(panel: Panel) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(panel.series))]


def _lines(panel: Panel, scale: _Scale) -> Iterator[str]:
    for series, colour in zip(panel.series, _colours(panel), strict=True):
        points = [
            (scale.x(place + 0.5), scale.y(value)) for place, value in enumerate(series.values) if value is not None
        ]
        if len(points) == 1:
            yield f'<circle cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3" fill="{colour}"/>'
        elif points:
            path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
            yield f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def _bars(panel: Panel, scale: _Scale) -> Iterator[str]:
    width = min(48.0, 0.8 * (scale.x(1) - scale.x(0)))
    below = [0.0] * scale.places
    for series, colour in zip(panel.series, _colours(panel), strict=True):
        for place, value in enumerate(series.values):
            if value:
                upper, lower = scale.y(below[place] + value), scale.y(below[place])
                x = scale.x(place + 0.5) - width / 2
                yield (
                    f'<rect x="{x:.1f}" y="{upper:.1f}" width="{width:.1f}" height="{lower - upper:.1f}" '
                    f'fill="{colour}"/>'
                )
                below[place] += value


def _ticks(ticks: Sequence[str], scale: _Scale, top: int) -> Iterator[str]:
    every = max(1, math.ceil(len(ticks) / MOST_TICKS))
    y = top + PANEL_HEIGHT - 7
    for place in range(0, len(ticks), every):
        yield f'<text x="{scale.x(place + 0.5):.1f}" y="{y}" text-anchor="middle">{escape(ticks[place])}</text>'
