"""The questions that every client asks: short, all different."""

from __future__ import annotations

from collections.abc import Iterator

MODEL = "bench"


def questions(calls: int, *, start: int = 0) -> Iterator[str]:
    """`calls` texts of about 90 characters, from number `start` on."""
    for number in range(start, start + calls):
        yield f"Review {number}: the battery holds a day and the screen is bright. Is it positive, case {number}?"
