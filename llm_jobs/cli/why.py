"""`llm-jobs why`: why a row would be asked, or would not. Spends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from llm_jobs.cli.documents import document_options
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, dollars, visible
from llm_jobs.documents.differences import ABSENT, Difference
from llm_jobs.ledger.base import Trace
from llm_jobs.operations.nearest import Nearest
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.why import CallWhy, RowWhy, why_call, why_row

_STATES = {
    "answered": "answered, so it is reused and costs nothing",
    "cut off": "its answer was cut off, so the same question is not sent again",
    "followed": "answered without success, so what follows that is asked in its place, and this is not sent again",
    "in flight": "being asked at this moment",
    "lost": "asked by a run that ended before the answer was recorded, and maybe paid; it would be asked again",
    "failed": "asked before without an answer, so it would be asked again",
    "new": "never asked, so it would be asked",
}


@click.command(
    "why",
    short_help="Tell why a row would be asked again, or that it is answered; spends nothing.",
    epilog="""\b
Examples:
  llm-jobs why 0 examples/reviews.yaml
  llm-jobs why id=7 3f2a9c1d --against reviews
  llm-jobs why 0f3a7c52e1b94d6880aa13cf5bd2e947""",
)
@click.argument("row", metavar="ROW|CALL")
@click.argument("document", required=False, metavar="[DOCUMENT|HASH|NAME]")
@document_options
@click.option("--sample", type=click.IntRange(min=0), default=0, help="Which of several answers per row, from 0.")
@click.option("--against", metavar="HASH|NAME", help="Compare with this job, not with those of the document.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job and nothing else.")
@click.pass_obj
def command(
    entry: Entry,
    row: str,
    document: str | None,
    overrides: Overrides,
    sample: int,
    against: str | None,
    as_json: bool,
) -> None:
    """Tell why a row would be asked again, or that it is answered; spends nothing.

    ROW is a number from 0, COLUMN=VALUE, or the hash of a call, which needs no document.
    """
    with entry.open_services() as services:
        if document is None:
            traces = why_call(services, row)
            told = {"call_hash": row, "traces": [asdict(trace) for trace in traces]}
            click.echo(compact_json(told) if as_json else "\n".join([f"call {row}", *map(_trace, traces)]))
            return
        for found in why_row(services, row, document, overrides, sample=sample, against=against):
            click.echo(compact_json(facts(found)) if as_json else "\n".join(_lines(found)))


def facts(found: RowWhy) -> dict[str, Any]:
    """The reasons as JSON has them."""
    return {
        "job_hash": found.job_hash,
        "job_name": found.job_name,
        "row": found.row,
        "sample": found.sample,
        "problem": found.problem,
        "before": found.before,
        "changes": [_difference(each) for each in found.changes],
        "calls": [_call(call) for call in found.calls],
    }


def _call(call: CallWhy) -> dict[str, Any]:
    near = call.nearest
    return {
        "call_hash": call.call_hash,
        "step": call.step_name,
        "state": call.state,
        "attempts": [asdict(trace) for trace in call.traces],
        "nearest": None
        if near is None
        else {
            "call_hash": near.call_hash,
            "job_hash": near.job_hash,
            "differences": [_difference(each) for each in near.differences],
            "because": list(near.because),
        },
    }


def _difference(difference: Difference) -> dict[str, Any]:
    old, new = difference.old, difference.new
    return {
        "path": difference.path,
        "effect": difference.effect,
        "old": None if old is ABSENT else old,
        "new": None if new is ABSENT else new,
    }


def _lines(found: RowWhy) -> Iterator[str]:
    sample = f", sample {found.sample}" if found.sample else ""
    yield f"row {found.row}{sample} of job {found.job_hash} ({visible(found.job_name)})"
    for call in found.calls:
        yield f"  {visible(call.step_name)}  call {call.call_hash[:8]}: {_STATES[call.state]}"
        yield from (f"    {_trace(trace)}" for trace in call.traces)
        if call.nearest is not None:
            yield from (f"    {line}" for line in _nearest(call.nearest))
        elif call.state == "new":
            yield "    nothing like it is recorded"
    if found.problem is not None:
        yield f"  the row ends here: {visible(found.problem)}"
    idle = [each for each in found.changes if each.effect in ("job", "nothing")]
    if idle:
        yield f"  also changed, which asks nothing again: {', '.join(each.path for each in idle)}"


def _nearest(near: Nearest) -> Iterator[str]:
    yield f"the nearest recorded call is {near.call_hash[:8]} of job {near.job_hash[:8]} ({visible(near.job_name)}):"
    yield f"  {_trace(near.traces[-1])}"
    yield from (f"  differs in {each.path}: {visible(each.told())}" for each in near.differences)
    if near.because:
        yield f"  because of {', '.join(visible(path) for path in near.because)}"


def _trace(trace: Trace) -> str:
    time = datetime.fromtimestamp((trace.recorded_ns or trace.intended_ns) / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if trace.facts is None:
        since = "no answer was recorded, and it may have been paid" if trace.is_lost else "no answer yet"
        return f"asked of {visible(trace.model)} at {time} (UTC) for job {trace.job_hash[:8]}, {since}"
    error = f": {visible(trace.facts.error, most=200)}" if trace.facts.error else ""
    return (
        f"{trace.facts.status} at {time} (UTC) by {visible(trace.model)} for job {trace.job_hash[:8]}, "
        f"{dollars(trace.facts.cost_usd)}{error}"
    )
