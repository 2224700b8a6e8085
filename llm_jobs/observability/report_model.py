"""What a report shows: jobs in figures, and rows with what was asked and answered. Values only; nothing is read here.

One job, or two side by side: a row has as many sides as the report has jobs. Texts are as they came: what a page may
not show as it stands is made harmless where it is written (`report_values`), nowhere earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedJob:
    """A job's face: `figures` are what one looks for first, `details` the rest, both as name and text."""

    name: str
    job_hash: str
    epoch_ns: int  # of its result
    status: str
    figures: Sequence[tuple[str, str]]
    details: Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """What one job has for a row. `number` is the row's in its result, from 0.

    `request` is the body of the call that was asked last, None where none was; `tries` tell of its attempts.
    """

    number: int
    status: str
    answers: Mapping[str, Any]
    error: str | None = None
    raw: str | None = None  # the text of an answer that is no success
    request: bytes | None = None
    tries: Sequence[str] = ()
    earlier: Sequence[tuple[str, bytes]] = ()  # the calls before the last one: step and request body
    calls: Sequence[str] = ()  # the hashes of all of them, by which a page is known to show what they said
    tokens: int | None = None
    cost_usd: float | None = None
    latency_s: float | None = None
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportedRow:
    """A row, in the `group` that the page can be narrowed to. A side is None where that job has no such row."""

    group: str
    inputs: Mapping[str, Any]
    sides: Sequence[Side | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The rows of one status, or of one outcome of a comparison: how many there are, and how many the page shows."""

    name: str
    rows: int
    shown: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """`rows` are read once, while the page is written. `plots` are SVG texts that `plots.svg` made."""

    jobs: Sequence[ReportedJob]
    groups: Sequence[Group]
    plots: Sequence[str] = ()
    notes: Sequence[str] = ()
    rows: Iterable[ReportedRow] = field(default=(), repr=False)
