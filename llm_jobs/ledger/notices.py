"""How often a message about a job was sent, so that of several processes that run the job one sends it.

A message is a row of `tasks`, which is state: losing it costs a message that is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable

from llm_jobs.ledger.base import Notice
from llm_jobs.ledger.batching import owner_row
from llm_jobs.ledger.plain import Plain
from llm_jobs.ledger.records import OwnerRow

_KIND = "message"
_TOLD = "SELECT reference, attempts FROM tasks WHERE kind = ? AND reference LIKE ?"
_TELLER = "SELECT owner_id FROM tasks WHERE kind = ? AND reference = ?"
# Of two that tell at once the second waits for the first, and then finds that it was told.
_TELL = """
INSERT INTO tasks (kind, reference, state, owner_id, attempts, created_ns, changed_ns)
VALUES (?, ?, 'told', ?, 1, ?, ?)
ON CONFLICT (kind, reference) DO UPDATE
SET attempts = tasks.attempts + 1, owner_id = excluded.owner_id, changed_ns = excluded.changed_ns
WHERE tasks.attempts < ?
"""


def select_told(plain: Plain, job_hash: str) -> dict[str, int]:
    """By message about a job, how often it was told."""
    rows = plain.rows(_TOLD, (_KIND, f"{job_hash} %"))
    return {reference.removeprefix(f"{job_hash} "): int(times) for reference, times in rows}


def tell(plain: Plain, notice: Notice, *, is_alive: Callable[[OwnerRow | None], bool], now_ns: int) -> bool:
    """Take note that `notice` is told now; False where it is not to be told."""
    reference = f"{notice.job_hash} {notice.about}"
    teller = plain.scalar(_TELLER, (_KIND, reference))
    if teller not in (None, notice.owner_id) and is_alive(owner_row(plain, teller)):
        return False
    return plain.run(_TELL, (_KIND, reference, notice.owner_id, now_ns, now_ns, notice.number)) == 1
