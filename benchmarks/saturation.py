"""`python -m benchmarks.saturation`: adaptive concurrency on 12 simulated servers beside the best fixed concurrency.

Virtual time; the same numbers on every machine, but for the last line, the cost of a call.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import mean
from time import perf_counter

from llm_jobs.limits.adaptive import AdaptiveConcurrency
from llm_jobs_tests.limits.saturating import CASES, MOST, WARM_UP, Case, run

_COLUMNS = ("server", "run, s", "best fixed", "calls/s", "limit found", "calls/s", "cuts", "least", "mean")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.saturation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="runs per server")
    parser.add_argument("--only", default="", metavar="TEXT", help="servers whose names hold it")
    options = parser.parse_args(arguments)
    seeds: int = options.seeds
    rows = [_row(case, seeds) for case in CASES if options.only in case.name]
    out = sys.stdout
    out.write(f"at most {MOST} in flight, {seeds} seeds; the first {WARM_UP:.0%} of a run are not counted; ")
    out.write("least and mean: throughput over that of the best fixed concurrency of a sweep\n\n")
    out.write(_line(_COLUMNS) + _line(["---"] * len(_COLUMNS)) + "".join(map(_line, rows)))
    out.write(f"\n{1e6 * cost_s():.2f} µs of this process per call, sent and answered\n")


def _row(case: Case, seeds: int) -> list[str]:
    best, limit = case.best(seed=1)
    runs, controllers = [], [AdaptiveConcurrency(at_most=MOST) for _ in range(seeds)]
    for seed, controller in enumerate(controllers):
        runs.append(run(case.open(), controller, seconds=case.seconds, seed=100 + seed))
    ratios = [each.throughput / best for each in runs]
    found, cuts = mean(each.mean_limit for each in runs), mean(each.state().cuts for each in controllers)
    throughput = mean(each.throughput for each in runs)
    numbers = (f"{case.seconds:.0f}", f"{limit}", f"{best:.1f}", f"{found:.0f}", f"{throughput:.1f}", f"{cuts:.0f}")
    return [case.name, *numbers, f"{min(ratios):.3f}", f"{mean(ratios):.3f}"]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def cost_s(calls: int = 200_000) -> float:
    """Seconds of this process per call: reading the limit, sent, answered, and the decisions in between."""
    controller = AdaptiveConcurrency(at_most=64, start=64)
    for _ in range(64):
        controller.sent(0.0)
    began_s = perf_counter()
    for number in range(calls):
        now_s = number * 0.01
        controller.answered(now_s, 0.64, 100)
        if controller.limit:
            controller.sent(now_s)
    return (perf_counter() - began_s) / calls


if __name__ == "__main__":
    main()
