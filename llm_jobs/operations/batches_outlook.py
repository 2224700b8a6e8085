"""What a job's recent batches tell of its next ones: whether, how large and when; and what it waits for, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from llm_jobs.errors import SetupError
from llm_jobs.ledger.batch_records import BatchState
from llm_jobs.operations.batches_submit import Submitted
from llm_jobs.providers.batches import RefusalKind

FIRST_WAIT_S = 600.0  # after a vendor's queue was full, or its server failed; doubled each time
LONGEST_WAIT_S = 7200.0


def refuse(recent: Sequence[BatchState]) -> None:
    """Raise where the vendor refused a whole file and named no line: the next one would meet the same."""
    for state in recent:
        ended = state.newest("ended")
        if ended is None or ended.details["refusal"] != "file" or ended.details["bad_lines"]:
            continue
        raise SetupError(
            f"the vendor refused batch {state.id} ({state.vendor_id}): {ended.details['reason']}; mend what it names "
            f"and submit the job again, or have it asked online: llm-jobs move {state.batch.job_hash[:8]} --to online"
        )


def refusals(recent: Sequence[BatchState], kind: RefusalKind) -> list[BatchState]:
    ended = ((state, state.newest("ended")) for state in recent)
    return [state for state, event in ended if event is not None and event.details["refusal"] == kind]


def most_tokens(recent: Sequence[BatchState]) -> dict[str, int]:
    """By model, half of the smallest batch that its vendor's queue had no room for."""
    most: dict[str, int] = {}
    for state in refusals(recent, "enqueued_tokens"):
        half = max(1, state.batch.details["tokens"] // 2)
        most[state.batch.model] = min(half, most.get(state.batch.model, half))
    return most


def pause_s(recent: Sequence[BatchState]) -> float:
    """How long to wait before the next batch is tried: doubled with each that came to nothing in a row."""
    failed = (state.phase == "lost" or bool(refusals([state], "enqueued_tokens")) for state in reversed(recent))
    in_a_row = sum(1 for _ in takewhile(bool, failed))
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** max(0, in_a_row - 1))


def on_batches(live: Sequence[BatchState], problems: Sequence[str]) -> str:
    """What a job waits for, in words."""
    named = ", ".join(
        f"batch {state.id} of {state.batch.model} ({state.vendor_id or 'not submitted yet'}"
        + (f", {last.status}" if (last := state.newest("polled")) is not None and last.status else "")
        + ")"
        for state in live[:3]
    )
    more = f" and {len(live) - 3} more" if len(live) > 3 else ""
    calls = sum(state.batch.calls for state in live)
    trouble = f"; {problems[0]}" if problems else ""
    return f"waits for {_number(calls, 'call')} in {named}{more}{trouble}"


def on_submitted(done: Submitted) -> str:
    parts = []
    if done.owners:
        were = "was" if done.calls == 1 else "were"
        parts.append(f"{_number(done.calls, 'call')} {were} submitted in {_number(len(done.owners), 'batch')}")
    if done.held:
        parts.append(f"{_number(len(done.held), 'call')} asked by others already")
    if done.later:
        parts.append(f"{_number(done.later, 'call')} for which the vendor's queue has no room now")
    if done.over_budget:
        key = next(iter(done.over_budget.values())).key
        parts.append(f"{_number(len(done.over_budget), 'call')} for which the budget {key} has no room")
    if done.problems:
        parts.append(f"a batch was not made: {done.problems[0]}")
    return "; ".join(parts)


def _number(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith('ch') else 's'}"
