"""`python -m benchmarks.http`: CPU per call of this project's HTTP beside the bare aiohttp loop, in turns.

Three clients on the same server, with the latency of a benchmark and with none: the bare loop, the same loop with
`HttpChannel` in the place of aiohttp, and a provider's `send` and `read`. Nothing is kept; some 40 s.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import median

from benchmarks.__main__ import WORK
from benchmarks.contenders import BARE, Client
from benchmarks.processes import model_server
from benchmarks.speed import Measured, Plan, measure, ratio

CHANNEL = Client(name="HttpChannel", module="benchmarks.clients.channel", keeps="nothing")
PROVIDER = Client(name="provider, send and read", module="benchmarks.clients.provider", keeps="nothing")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    for latency_ms in (50.0, 0.0):
        plan = Plan(
            calls=(options.few, options.many),
            peer_calls=(options.few, options.many),
            rounds=options.rounds,
            concurrency=100,
            latency_s=latency_ms / 1000,
        )
        with model_server(plan.latency_s) as server:
            measured = measure(
                [BARE, CHANNEL, PROVIDER], plan, server=server, work=WORK / "http", tell=lambda line: None
            )
        sys.stdout.write(f"{latency_ms:g} ms latency, 100 in flight, {plan.calls[0]:,} to {plan.calls[1]:,} calls\n")
        sys.stdout.writelines(_line(one, measured[0]) for one in measured)


def _line(one: Measured, bare: Measured) -> str:
    if one.left_out is not None:
        return f"  {one.client.name:<24} left out: {one.left_out}\n"
    cpu_us = sorted(slope.cpu_ms * 1000 for slope in one.slopes)
    times = ratio(one, bare, lambda slope: slope.cpu_ms)
    spread = f"{cpu_us[0]:.0f} to {cpu_us[-1]:.0f}"
    return f"  {one.client.name:<24} {median(cpu_us):6.1f} µs CPU per call ({spread}), {times:.2f} × bare loop\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http", description=__doc__)
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=3)
    return parser


if __name__ == "__main__":
    main()
