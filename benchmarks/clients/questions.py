"""The questions that every client asks: short, all different."""

from __future__ import annotations

from collections.abc import Iterator

MODEL = "bench"


def questions(calls: int) -> Iterator[str]:
    """`calls` texts of about 90 characters."""
    for number in range(calls):
        yield f"Review {number}: the battery holds a day and the screen is bright. Is it positive, case {number}?"
