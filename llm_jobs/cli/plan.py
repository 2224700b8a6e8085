"""`llm-jobs plan`: what running a document would ask, cost and take, and what a change of it costs. Spends nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from llm_jobs.cli.documents import document_options
from llm_jobs.cli.entry import Entry
from llm_jobs.cli.texts import compact_json, dollars, duration, number, visible
from llm_jobs.documents.differences import ABSENT, Difference
from llm_jobs.operations.forecasts import Interval
from llm_jobs.operations.overrides import Overrides
from llm_jobs.operations.plan import FieldCost, JobPlan, plan_named

_EFFECTS = {
    "job": "another job, the same questions",
    "nothing": "no identity: the same job, the same questions",
}
_BASES = {
    "same": "answers of this step",
    "family": "answers of this step before it was changed",
    "model": "answers of another model to this step",
    "input": "answers of this model to other prompts, and the limits of its requests",
}


@click.command(
    "plan",
    short_help="Show what a document would ask and cost, and what a change of it costs; spends nothing.",
    epilog="""\b
Examples:
  llm-jobs plan examples/reviews.yaml
  llm-jobs plan examples/reviews.yaml --against 3f2a9c1d --model openai/gpt-4.1-mini --json""",
)
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENT...")
@document_options
@click.option("--against", metavar="HASH|NAME", help="Compare with this job, not with the newest of the document.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per job and nothing else.")
@click.pass_obj
def command(entry: Entry, documents: tuple[str, ...], overrides: Overrides, against: str | None, as_json: bool) -> None:
    """Show what a document would ask and cost, and what a change of it costs; spends nothing.

    Calls are counted as the ledger has them; tokens, cost and time are forecasts that hold nine times in ten.
    Nothing is recorded. DOCUMENT is a file or a job submitted before.
    """
    with entry.open_services() as services:
        for document in documents:
            for plan in plan_named(services, document, overrides, against=against):
                click.echo(compact_json(facts(plan)) if as_json else "\n".join(_lines(plan)))


def facts(plan: JobPlan) -> dict[str, Any]:
    """The plan as JSON has it."""
    told: dict[str, Any] = asdict(plan)
    told["changes"] = [
        {
            "path": each.difference.path,
            "effect": each.difference.effect,
            "old": None if each.difference.old is ABSENT else each.difference.old,
            "new": None if each.difference.new is ABSENT else each.difference.new,
            "calls": each.calls,
            "cost_usd": None if each.cost_usd is None else asdict(each.cost_usd),
        }
        for each in plan.changes
    ]
    return told


def _lines(plan: JobPlan) -> Iterator[str]:
    compared = ""
    if plan.against is not None:
        time = datetime.fromtimestamp(plan.against.submitted_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M")
        same = plan.against.job_hash == plan.job_hash
        compared = f"  submitted {time}" if same else f"  compared with {plan.against.job_hash[:8]} of {time} (UTC)"
    yield f"{plan.job_hash}  {visible(plan.name)}{compared}"
    yield f"  rows     {number(plan.rows.total, 'row')}: {', '.join(_rows(plan))}"
    if plan.table is not None:
        yield f"  table    {visible(plan.table)}"
    unknown = f", {plan.calls.unknown:,} that depend on answers to come" if plan.calls.unknown else ""
    yield f"  calls    {plan.calls.new:,} to ask{unknown}, {plan.calls.reused:,} answered already"
    yield f"  tokens   {_tokens(plan.input_tokens)} in, {_tokens(plan.output_tokens)} out"
    yield f"  cost     {_cost(plan)}"
    yield f"  time     {_time(plan)}"
    for step in plan.steps:
        if step.calls:
            known = f"{step.learned_from:,} {_BASES[step.basis]}" if step.learned_from else "the limits of its requests"
            yield f"  {visible(step.name)} ({visible(step.model)}) is forecast from {known}"
    if plan.changes:
        yield "  what changed"
        yield from (f"    {_change(plan, change)}" for change in plan.changes)


def _time(plan: JobPlan) -> str:
    if plan.seconds is None:
        return plan.bounded_by or "unknown: no quota is stated and no answer was timed"
    return f"{duration(plan.seconds)} ({visible(plan.bounded_by or '')})"


def _rows(plan: JobPlan) -> Iterator[str]:
    rows = plan.rows
    yield f"{rows.new:,} new, {rows.changed:,} changed, {rows.reused:,} reused"
    if rows.again:
        yield f"{rows.again:,} asked before and not answered"
    if rows.unaskable:
        yield f"{rows.unaskable:,} that cannot be asked"
    if rows.gone:
        yield f"{rows.gone:,} of before are gone"


def _tokens(tokens: Interval) -> str:
    return f"{tokens.expected:,.0f} ({tokens.low:,.0f} to {tokens.high:,.0f})"


def _cost(plan: JobPlan) -> str:
    saved = f"; reused answers cost {dollars(plan.saved_usd)}" if plan.calls.reused and plan.saved_usd else ""
    if plan.cost_usd is None:
        return f"unknown: state a price in models.yaml{saved}"
    most = "" if plan.worst_cost_usd is None else f", at most {dollars(plan.worst_cost_usd)} if no call is repeated"
    return f"{_dollars(plan.cost_usd)}{most}{saved}"


def _dollars(cost: Interval) -> str:
    if cost.low == cost.high:
        return dollars(cost.expected)
    return f"{dollars(cost.expected)} ({dollars(cost.low)} to {dollars(cost.high)})"


def _change(plan: JobPlan, change: FieldCost) -> str:
    difference = change.difference
    told = f"{difference.path}  {visible(_told(plan, difference))}"
    if difference.effect in _EFFECTS:
        return f"{told}  [{_EFFECTS[difference.effect]}]"
    cost = "?" if change.cost_usd is None else _dollars(change.cost_usd)
    return f"{told}  [{number(change.calls, 'call')}, {cost}]"


def _told(plan: JobPlan, difference: Difference) -> str:
    """Digests of tables tell nobody anything."""
    if difference.effect != "rows" or not difference.path.startswith("input"):
        return difference.told()
    gone = "" if plan.rows.gone is None else f", {plan.rows.gone:,} gone"
    return f"{plan.rows.new:,} new, {plan.rows.changed:,} changed{gone}"
