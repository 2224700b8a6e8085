"""The measured table as Markdown, and the same as JSON. Medians over the rounds."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from benchmarks.again import Again
from benchmarks.speed import Measured, Plan, Slope, ratio

_COLUMNS = (
    "client",
    "calls",
    "CPU ms per call",
    "× bare loop",
    "wall ms per call",
    "× bare loop",
    "wall s, many calls",
    "peak MB",
    "keeps",
)


def table(measured: Sequence[Measured], plan: Plan) -> str:
    """One line per client; a client that was left out says why.

    A wall slope below the floor is no speed: starting took longer with few calls than with many. It is marked.
    """
    bare = measured[0]
    lines = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}"]
    return "\n".join([*lines, *[_line(one, bare, plan) for one in measured]])


def _line(one: Measured, bare: Measured, plan: Plan) -> str:
    few, many = one.calls
    if not one.slopes:
        return f"| {one.client.name} | left out: {one.left_out} |{' |' * (len(_COLUMNS) - 2)}"
    wall_ms = _median(one, _wall)
    possible = wall_ms >= plan.floor_ms
    cells = [
        one.client.name,
        f"{few:,} → {many:,}",
        f"{_median(one, _cpu):.3f}",
        f"{ratio(one, bare, _cpu):.2f}",
        f"{wall_ms:.3f}" if possible else f"({wall_ms:.3f}, below the floor of {plan.floor_ms:g})",
        f"{ratio(one, bare, _wall):.2f}" if possible else "not measurable",
        f"{_median(one, lambda slope: slope.many_wall_s):.1f}",
        f"{_median(one, lambda slope: slope.peak_mb):.0f}",
        one.client.keeps,
    ]
    return f"| {' | '.join(cells)} |"


def again_line(again: Again) -> str:
    return (
        f"A finished job of {again.calls:,} calls again, 0 calls sent, median of {again.times}: "
        f"{again.llm_jobs_s:.2f} s. Dagster's own start: {again.dagster_opened_s:.2f} s to import it and open the "
        f"instance, {again.dagster_run_s:.2f} s with one run of an empty asset."
    )


def facts(measured: Sequence[Measured], again: Again | None, plan: Plan, *, date: str) -> dict[str, Any]:
    """Everything that was measured, by round. Of the machine: its number of cores and the version of Python."""
    bare = measured[0]
    clients = [
        {
            "client": one.client.name,
            "keeps": one.client.keeps,
            "calls": one.calls,
            "left_out": one.left_out,
            "rounds": [asdict(slope) for slope in one.slopes],
            "cpu_ratio": ratio(one, bare, _cpu) if one.slopes else None,
            "wall_ratio": ratio(one, bare, _wall) if one.slopes else None,
        }
        for one in measured
    ]
    return {
        "date": date,
        "machine": f"{os.cpu_count()} cores",
        "python": platform.python_version(),
        "plan": asdict(plan),
        "clients": clients,
        "again": None if again is None else asdict(again),
    }


def _cpu(slope: Slope) -> float:
    return slope.cpu_ms


def _wall(slope: Slope) -> float:
    return slope.wall_ms


def _median(one: Measured, of: Callable[[Slope], float]) -> float:
    return median(of(slope) for slope in one.slopes)
