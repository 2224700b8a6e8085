"""Text for people, on terminals and pages: hostile characters made visible, numbers and times in words.

Answers are written by strangers. No control character of theirs reaches a terminal or a page: not ESC, not the C1 set,
not the marks that turn the direction of writing. What a place needs beside that (HTML, Markdown) is its own.
"""

from __future__ import annotations

import math
import re

_TURNING = "\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_HOSTILE = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_TURNING}]")
_HOSTILE_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_TURNING}]")


def visible(text: str, *, most: int | None = None) -> str:
    """`text` on one line with every control character written out (`\\x1b`); cut to `most` characters."""
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…"
    return _HOSTILE.sub(_written_out, text)


def visible_lines(text: str) -> str:
    """As `visible`, but line breaks and tabs stay."""
    return _HOSTILE_IN_LINES.sub(_written_out, text)


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def number(value: int, noun: str) -> str:
    """`1 row`, `25 rows`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def dollars(cost_usd: float | None) -> str:
    """A cost in US dollars: cents from one dollar on, two digits that count below; `?` where it is not known."""
    if cost_usd is None:
        return "?"
    if cost_usd == 0:
        return "$0"
    if cost_usd >= 1:
        return f"${cost_usd:,.2f}"
    places = min(12, 1 - math.floor(math.log10(cost_usd)))
    return f"${cost_usd:.{places}f}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def short_time(seconds: float) -> str:
    """The time of one call: `<1 ms`, `52 ms`, `1.3 s`, `12 s`, `3 min 5 s`."""
    if seconds < 0.9995:
        return "<1 ms" if seconds < 0.0005 else f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else duration(seconds)
