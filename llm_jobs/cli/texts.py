"""Text for terminals and pipes: hostile characters made visible, numbers and times for people, JSON for programs.

Answers are written by strangers. No control character of theirs reaches a terminal: not ESC, not the C1 set, not the
marks that turn the direction of writing.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping

_TURNING = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def visible(text: str, *, most: int | None = None) -> str:
    """`text` on one line with every control character written out (`\\x1b`); cut to `most` characters."""
    if most is not None and len(text) > most:
        text = text[: most - 1] + "…"
    if text.isprintable():
        return text
    return "".join(map(_visible_character, text))


def visible_lines(text: str) -> str:
    """As `visible`, but line breaks and tabs stay."""
    return "".join(character if character in "\n\t" else _visible_character(character) for character in text)


def _visible_character(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    if unicodedata.category(character) in ("Cc", "Cs") or character in _TURNING:
        return character.encode("unicode_escape").decode()
    return character


def compact_json(facts: Mapping[str, object]) -> str:
    """One line of JSON in ASCII: safe for any terminal, pipe and encoding."""
    return json.dumps(facts, separators=(",", ":"), default=str)


def cell(value: object, *, most: int = 80) -> str:
    """A value in a table for people; None is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return visible(value, most=most)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict | list):
        return visible(json.dumps(value, ensure_ascii=False, default=str), most=most)
    return visible(str(value), most=most)


def count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


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


def number(value: int, noun: str) -> str:
    """`1 row`, `25 rows`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"
