"""Measures clients in turns and takes slopes: what one more call costs, start-up left out.

In each round every client runs with few and with many calls, one client after the other, so that whatever else the
machine does meets all of them. A ratio is taken within its round, beside the bare loop of that round; the median over
the rounds is what counts.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.contenders import Client, NotInstalled, python_of
from benchmarks.processes import ClientFailed, Server, Used, run

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`calls`: few and many, for this project and the bare loop; `peer_calls`: the same for peers, which are slow."""

    calls: tuple[int, int]
    peer_calls: tuple[int, int]
    rounds: int
    concurrency: int
    latency_s: float

    @property
    def floor_ms(self) -> float:
        """The least wall time per call that the server's latency allows."""
        return self.latency_s * 1000 / self.concurrency

    def calls_of(self, client: Client) -> tuple[int, int]:
        return self.calls if client.environment is None else self.peer_calls


@dataclass(frozen=True, kw_only=True, slots=True)
class Slope:
    """What one more call costs in one round."""

    cpu_ms: float
    wall_ms: float
    few_wall_s: float  # the whole run with few calls, start-up included
    many_wall_s: float  # the same with many
    peak_mb: float
    server_cpu_us: float


@dataclass(kw_only=True, slots=True)
class Measured:
    """A client with its slopes by round, or why it has none."""

    client: Client
    calls: tuple[int, int]
    slopes: list[Slope] = field(default_factory=list)
    left_out: str | None = None


def measure(clients: Sequence[Client], plan: Plan, *, server: Server, work: Path, tell: Tell) -> list[Measured]:
    """Every client `plan.rounds` times; the first of `clients` is what the others are compared with."""
    measured = [Measured(client=client, calls=plan.calls_of(client)) for client in clients]
    for number in range(plan.rounds):
        for one in measured:
            if one.left_out is None:
                _measure_round(one, plan, server=server, work=work)
                said = one.left_out or f"{one.slopes[-1].cpu_ms:.3f} ms CPU, {one.slopes[-1].wall_ms:.3f} ms per call"
                tell(f"round {number + 1} of {plan.rounds}, {one.client.name}: {said}")
    return measured


def _measure_round(one: Measured, plan: Plan, *, server: Server, work: Path) -> None:
    few, many = one.calls
    try:
        python = python_of(one.client.environment, folder=work / "environments")
        server_s = server.cpu_s()
        less = _run_once(python, one.client, few, plan, server=server, work=work)
        more = _run_once(python, one.client, many, plan, server=server, work=work)
        server_s = server.cpu_s() - server_s
    except (NotInstalled, ClientFailed) as error:
        one.left_out = str(error)
        return
    one.slopes.append(
        Slope(
            cpu_ms=(more.cpu_s - less.cpu_s) / (many - few) * 1000,
            wall_ms=(more.wall_s - less.wall_s) / (many - few) * 1000,
            few_wall_s=less.wall_s,
            many_wall_s=more.wall_s,
            peak_mb=more.peak_mb,
            server_cpu_us=server_s / (few + many) * 1e6,
        )
    )


def _run_once(python: str, client: Client, calls: int, plan: Plan, *, server: Server, work: Path) -> Used:
    folder = work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [python, "-m", client.module, server.url, str(calls), str(plan.concurrency), str(folder)]
    try:
        return run(command, log=work / "said.txt")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ratio(one: Measured, other: Measured, of: Callable[[Slope], float]) -> float:
    """How many times what `other` needs, round by round; the median."""
    return median(of(mine) / of(theirs) for mine, theirs in zip(one.slopes, other.slopes, strict=False))
