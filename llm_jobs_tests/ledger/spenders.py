"""Processes that race for one budget: `python -m llm_jobs_tests.ledger.spenders URL BOOKS PROCESSES CAP_USD`.

Imports are done once; each spender is a fork with connections of its own. BOOKS is what the model's server would know:
a line for each call that it was sent, with what it charges and the most that it might have. Some spenders are killed,
by themselves between sending and recording, or from outside at any moment. Who is refused for good ends.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

from llm_jobs.clock import WallClock
from llm_jobs.ledger.base import BudgetCap, Facts, Outcome, Want
from llm_jobs.ledger.opening import open_ledger
from llm_jobs_tests.ledger.material import Asker, outcome

BUDGET = "job:raced-for"
CALLS_AT_ONCE = 3
SELF_KILLED_ONE_IN = 12
KILLED_FROM_OUTSIDE = 4


class Spender:
    """Asks for calls of random worst cases, at most 1 % of the cap, pays up to that, and records what it paid."""

    def __init__(self, url: str, books: Path, number: int, cap_usd: float) -> None:
        self.random = random.Random(number)
        self.books = os.open(books, os.O_WRONLY | os.O_APPEND)
        self.asker = Asker(open_ledger(url, clock=WallClock()))
        self.number = number
        self.cap = BudgetCap(key=BUDGET, max_cost_usd=cap_usd)
        self.largest_usd = cap_usd / 100
        self.wanted = 0
        self.worst_usd: dict[str, float] = {}
        self.rounds_left = self.random.randrange(2) if number % SELF_KILLED_ONE_IN == 0 else None

    def spend(self) -> None:
        ends: list[Outcome] = []
        while True:
            wants = [self._want() for _ in range(CALLS_AT_ONCE)]
            done = self.asker.ledger.exchange(self.asker.owner_id, outcomes=ends, wants=wants)
            ends = [self._send(call_hash, number) for call_hash, number in done.granted.items()]
            if not ends and not any(refusal.pending for refusal in done.over_budget.values()):
                break
            time.sleep(self.random.uniform(0.001, 0.01))
            self._perhaps_die()
        self.asker.ledger.close_owner(self.asker.owner_id)

    def _want(self) -> Want:
        self.wanted += 1
        call_hash = f"{self.number}-{self.wanted}"
        self.worst_usd[call_hash] = self.random.uniform(0.1, 1.0) * self.largest_usd
        return replace(self.asker.want(call_hash), worst_cost_usd=self.worst_usd[call_hash], budgets=(self.cap,))

    def _send(self, call_hash: str, intent_id: int) -> Outcome:
        worst_usd = self.worst_usd[call_hash]
        cost_usd = worst_usd if self.random.random() < 0.2 else self.random.uniform(0.0, worst_usd)
        os.write(self.books, f"{call_hash} {cost_usd!r} {worst_usd!r}\n".encode())
        return replace(outcome(call_hash, intent_id), facts=Facts(status="succeeded", cost_usd=cost_usd))

    def _perhaps_die(self) -> None:
        if self.rounds_left is not None:
            self.rounds_left -= 1
            if self.rounds_left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main(url: str, books: Path, processes: int, cap_usd: float) -> None:
    ready, go = os.pipe(), os.pipe()
    started = []
    for number in range(processes):
        if (pid := os.fork()) == 0:
            race(Spender(url, books, number, cap_usd), ready, go)
            os._exit(0)
        started.append(pid)
    read = b""
    while len(read) < processes:
        read += os.read(ready[0], processes)
    os.close(go[1])
    chosen = random.Random(processes)
    for pid in chosen.sample(started, KILLED_FROM_OUTSIDE):
        time.sleep(chosen.uniform(0.0, 0.05))
        os.kill(pid, signal.SIGKILL)  # one that has ended is not waited for yet, so its number is nobody else's
    statuses = [os.waitpid(pid, 0)[1] for pid in started]
    killed = [status for status in statuses if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL]
    failed = [status for status in statuses if status != 0 and status not in killed]
    sys.stdout.write(f"{len(killed)} {len(failed)}\n")


def race(spender: Spender, ready: tuple[int, int], go: tuple[int, int]) -> None:
    """Tell that this one is ready, and spend once the starter closes its end of `go`."""
    os.close(go[1])
    os.write(ready[1], b".")
    os.read(go[0], 1)
    spender.spend()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
