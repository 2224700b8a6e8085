"""Semantic versions (semver.org 2.0.0, without build metadata) and the ranges by which a document asks for one.

    1.2.3      exactly that one, a pre-release too (1.2.3-rc.1)
    ^1.2.3     from 1.2.3 on, below the next change of the first number that is not zero (^1, ^1.2 likewise)
    ~1.2.3     from 1.2.3 on, below 1.3.0 (~1: below 2.0.0)
    latest     the highest; what an absent version means

A range and `latest` never choose a pre-release. The kept-up library (semver) knows no such ranges, hence these lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering

LATEST = "latest"

_NUMBER = r"(0|[1-9][0-9]*)"
_VERSION = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?")
_RANGE = re.compile(rf"([\^~]){_NUMBER}(?:\.{_NUMBER})?(?:\.{_NUMBER})?")


@total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """Ordered by precedence: a pre-release comes before its release."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises ValueError for what is no semantic version."""
        match = _VERSION.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no semantic version: three numbers such as 1.2.3")
        prerelease = tuple(match[4].split(".")) if match[4] else ()
        return cls(int(match[1]), int(match[2]), int(match[3]), prerelease)

    @property
    def release(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.patch)

    def __lt__(self, other: Version) -> bool:
        return self._precedence() < other._precedence()

    def _precedence(self) -> tuple[object, ...]:
        identifiers = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease)
        return (self.release, not self.prerelease, identifiers)

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return f"{text}-{'.'.join(self.prerelease)}" if self.prerelease else text


def choose(wanted: str | None, existing: Iterable[Version]) -> Version | None:
    """The highest of `existing` that `wanted` allows; None where there is none.

    Raises ValueError if `wanted` is neither a version nor a range.
    """
    if wanted is not None and _VERSION.fullmatch(wanted):
        exact = Version.parse(wanted)
        return exact if exact in set(existing) else None
    low, high = _bounds(wanted)
    fitting = [
        version
        for version in existing
        if not version.prerelease and low <= version.release and (high is None or version.release < high)
    ]
    return max(fitting, default=None)


def _bounds(wanted: str | None) -> tuple[tuple[int, int, int], tuple[int, int, int] | None]:
    """The lowest version allowed, and the lowest one above all that are."""
    if wanted is None or wanted == LATEST:
        return (0, 0, 0), None
    match = _RANGE.fullmatch(wanted)
    if match is None:
        raise ValueError(f"{wanted!r} is no version: write 1.2.3, ^1.2, ~1.2.3 or {LATEST}")
    stated = [int(part) for part in match.groups()[1:] if part is not None]
    low = (*stated, 0, 0)[:3]
    return (low[0], low[1], low[2]), _above(match[1], stated)


def _above(operator: str, stated: list[int]) -> tuple[int, int, int]:
    """The first version that the range no longer allows: one more at the place that may not change."""
    if operator == "~":
        place = min(len(stated) - 1, 1)
    else:
        place = next((index for index, number in enumerate(stated) if number), len(stated) - 1)
    high = [*stated[:place], stated[place] + 1, 0, 0][:3]
    return (high[0], high[1], high[2])
