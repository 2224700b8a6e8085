"""A process that works on a shared ledger and tells the test what it got: `python -m llm_jobs_tests.ledger.child`.

Modes, after the ledger's URL: `race NAME CALL...` waits for a line, wants the calls in batches of 20 and prints those
granted; `hold CALL...` claims calls and waits to be killed; `record CALL...` answers calls and waits to be killed;
`keep CALL...` writes the answers to its journal and waits to be killed; `fork CALL...` does so with a child of its own
that outlives it; `open` only opens.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable
from functools import partial

from llm_jobs.clock import WallClock
from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.opening import open_ledger
from llm_jobs_tests.ledger.material import Asker, outcome


def main(url: str, mode: str, *arguments: str) -> None:
    if mode == "open":
        tell("ready")
        sys.stdin.readline()
        open_ledger(url, clock=WallClock()).close()
        tell("opened")
        return
    ledger = open_ledger(url, clock=WallClock())
    work: dict[str, Callable[..., None]] = {"race": race, "hold": hold, "record": record, "keep": keep}
    work["fork"] = partial(keep, forks=True)
    work[mode](ledger, *arguments)


def race(ledger: Ledger, name: str, *calls: str) -> None:
    asker = Asker(ledger)
    mine = list(calls)
    random.Random(name).shuffle(mine)
    tell("ready")
    sys.stdin.readline()
    granted: list[str] = []
    held: dict[str, int] = {}
    for start in range(0, len(mine), 20):
        wants = [asker.want(call) for call in mine[start : start + 20]]
        ends = [outcome(call, intent_id) for call, intent_id in held.items()]
        held = dict(ledger.exchange(asker.owner_id, outcomes=ends, wants=wants).granted)
        granted += held
    ends = [outcome(call, intent_id) for call, intent_id in held.items()]
    ledger.exchange(asker.owner_id, outcomes=ends, wants=[])
    ledger.close_owner(asker.owner_id)
    ledger.close()
    tell(*granted)


def hold(ledger: Ledger, *calls: str) -> None:
    granted = Asker(ledger).ask(*calls).granted
    tell(*granted)
    sys.stdin.readline()


def record(ledger: Ledger, *calls: str) -> None:
    asker = Asker(ledger)
    granted = asker.ask(*calls).granted
    ledger.exchange(asker.owner_id, outcomes=[outcome(call, granted[call]) for call in calls], wants=[])
    tell("recorded")
    sys.stdin.readline()


def keep(ledger: Ledger, *calls: str, forks: bool = False) -> None:
    asker = Asker(ledger)
    granted = asker.ask(*calls).granted
    journal = ledger.journal(asker.owner_id)
    assert journal is not None
    journal.keep([outcome(call, granted[call]) for call in calls])
    if not forks or os.fork() == 0:
        tell("kept")
    sys.stdin.readline()
    os._exit(0)  # what is forked has no business with the ledger's connections


def tell(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
