"""`python -m benchmarks.turns`: CPU per call amid a run, this project beside the bare loop, in turns of two seconds.

Both run at once, each with a server of its own, and one of them is always stopped, so that both are measured in the
same states of the machine: for a machine whose clock changes from minute to minute. Without starts and ends, of which
the slopes of `python -m benchmarks` have a part. By thread, too. Nothing is kept; a minute per latency.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.contenders import BARE, OURS, Client
from benchmarks.processes import ROOT, Server, model_server

CALLS = 400_000  # more than can be answered meanwhile
CONCURRENCY = 100
WARM_CALLS = 5_000  # answered before anything is measured
SETTLING_S, MEASURED_S = 0.5, 1.5  # of a turn


@dataclass(slots=True)
class Runner:
    """A client at work. `turns` holds, per turn, the microseconds per call of each of its threads."""

    client: Client
    process: subprocess.Popen[bytes]
    server: Server
    turns: list[dict[int, float]] = field(default_factory=list)

    def take_turn(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        time.sleep(SETTLING_S)
        before, answered = self._cpu_us(), self.server.answered()
        time.sleep(MEASURED_S)
        after, calls = self._cpu_us(), self.server.answered() - answered
        self.process.send_signal(signal.SIGSTOP)
        self.turns.append({thread: (used - before.get(thread, 0.0)) / calls for thread, used in after.items()})

    def per_call_us(self) -> list[float]:
        return [sum(turn.values()) for turn in self.turns]

    def by_thread_us(self) -> list[float]:
        """The median of each thread, the busiest first."""
        threads = {thread for turn in self.turns for thread in turn}
        return sorted((median(turn.get(thread, 0.0) for turn in self.turns) for thread in threads), reverse=True)

    def _cpu_us(self) -> dict[int, float]:
        """CPU time of each thread so far, by the kernel's scheduler."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return {int(task.name): int((task / "schedstat").read_text().split()[0]) / 1000 for task in tasks.iterdir()}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    for latency_ms in options.latency_ms:
        with running(BARE, latency_ms / 1000) as bare, running(OURS, latency_ms / 1000) as ours:
            for _ in range(options.turns):
                bare.take_turn()
                ours.take_turn()
        ratios = [one / other for one, other in zip(ours.per_call_us(), bare.per_call_us(), strict=True)]
        sys.stdout.write(f"{latency_ms:g} ms latency, {CONCURRENCY} in flight, {options.turns} turns each\n")
        sys.stdout.write(f"  bare loop  {median(bare.per_call_us()):6.1f} µs CPU per call\n")
        sys.stdout.write(f"  llm-jobs   {median(ours.per_call_us()):6.1f} µs, {median(ratios):.2f} × bare loop")
        sys.stdout.write(f" ({min(ratios):.2f} to {max(ratios):.2f})\n")
        sys.stdout.write(f"  by thread  {', '.join(f'{used:.0f}' for used in ours.by_thread_us()[:6])}\n")


@contextmanager
def running(client: Client, latency_s: float) -> Iterator[Runner]:
    """The client, stopped after its first calls; it is killed at the end of the block."""
    with model_server(latency_s) as server, TemporaryDirectory(dir=ROOT) as folder:
        command = [sys.executable, "-m", client.module, server.url, str(CALLS), str(CONCURRENCY), folder]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            while server.answered() < WARM_CALLS:
                if process.poll() is not None:
                    raise SystemExit(f"{client.name} ended with exit status {process.returncode}")
                time.sleep(0.1)
            process.send_signal(signal.SIGSTOP)
            yield Runner(client, process, server)
        finally:
            process.kill()
            process.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="of each, two seconds long")
    parser.add_argument("--latency-ms", type=float, nargs="+", default=[50.0, 0.0])
    return parser


if __name__ == "__main__":
    main()
