"""64 processes race for one dollar, some are killed, and the dollar is never passed and nearly all of it used."""

from __future__ import annotations

import subprocess
import sys
from math import fsum
from pathlib import Path

from llm_jobs.clock import WallClock
from llm_jobs.ledger.base import Ledger
from llm_jobs.ledger.opening import open_ledger
from llm_jobs_tests.ledger.spenders import BUDGET

PROCESSES = 64
CAP_USD = 1.0


def test_64_racing_processes_never_pass_a_dollar_and_use_at_least_95_cents_of_it(
    shared_url: str, tmp_path: Path
) -> None:
    books = tmp_path / "books"
    books.touch()
    ledger = open_ledger(shared_url, clock=WallClock())
    command = [sys.executable, "-m", "llm_jobs_tests.ledger.spenders", shared_url, str(books)]

    ended = subprocess.run(
        [*command, str(PROCESSES), str(CAP_USD)], check=True, capture_output=True, text=True, timeout=300
    )

    killed, failed = map(int, ended.stdout.split())
    assert (failed, ended.stderr) == (0, "")
    assert killed >= 4
    charged, lost = read_books(books, ledger)
    assert lost
    # The server's sum, where each call that was sent and not recorded counts for the most that it may have cost.
    assert fsum(charged.values()) + fsum(lost.values()) <= CAP_USD
    state = ledger.budget_state([BUDGET])[BUDGET]
    assert abs(state.spent_usd - fsum(charged.values())) < 1e-9
    assert state.reserved_usd >= fsum(lost.values()) - 1e-9
    assert 0.95 * CAP_USD <= state.spent_usd + state.reserved_usd <= CAP_USD
    assert ledger.audit().inconsistencies == ()
    ledger.close()


def read_books(books: Path, ledger: Ledger) -> tuple[dict[str, float], dict[str, float]]:
    """What each recorded call was charged, and what each call that was sent and not recorded costs at worst."""
    lines = [line.split() for line in books.read_text(encoding="ascii").splitlines()]
    recorded = ledger.look_up([call_hash for call_hash, _, _ in lines])
    charged = {call_hash: float(cost) for call_hash, cost, _ in lines if call_hash in recorded}
    return charged, {call_hash: float(worst) for call_hash, _, worst in lines if call_hash not in recorded}
