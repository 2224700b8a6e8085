"""What the calls of a plan come to: tokens, cost and time of each step, under today's prices and quotas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from llm_jobs.documents.job import Job, Mode
from llm_jobs.documents.model_refs import ModelRef
from llm_jobs.operations.batches_targets import price_factor
from llm_jobs.operations.forecasts import NOTHING, Asked, Basis, Interval, Learned, input_interval, output_interval
from llm_jobs.operations.planned_counts import StepCounts
from llm_jobs.operations.services import Services
from llm_jobs.providers.base import Usage
from llm_jobs.providers.entries import Quota

MINUTE_S = 60.0
DAY_S = 86_400.0
_TOKENS = 1_000  # of a call by which a price per token is measured: below every tier


@dataclass(frozen=True, kw_only=True, slots=True)
class StepPlan:
    """The calls of one step to one model. `learned_from`: how many answers it is forecast from, and `basis` which."""

    name: str
    model: str
    provider: str
    mode: Mode
    calls: int  # to be asked, unknown ones included
    input_tokens: Interval
    output_tokens: Interval
    cost_usd: Interval | None
    worst_cost_usd: float | None
    basis: Basis
    learned_from: int
    latency_s: float | None


def planned_step(services: Services, job: Job, counts: StepCounts, mode: Mode) -> StepPlan:
    """The forecast of the calls of a step to a model, asked so."""
    step, model = job.steps[counts.step], counts.model
    factor = price_factor(services, model) if mode == "batch" else 1.0
    entry = services.catalogue.resolve(model.name, bare_provider=model.provider)
    learned, asked = counts.learned, counts.asked
    inputs = input_interval(asked, learned)
    outputs = NOTHING if step.operation == "embeddings" else output_interval(asked, learned, entry.max_output_tokens)
    cost_usd = _cost(services, model, asked, learned, inputs, outputs)
    return StepPlan(
        name=step.name,
        model=model.name,
        provider=model.provider,
        mode=mode,
        calls=asked.calls,
        input_tokens=inputs,
        output_tokens=outputs,
        cost_usd=None if cost_usd is None else cost_usd.times(factor),
        worst_cost_usd=None if counts.worst_cost_usd is None else counts.worst_cost_usd * factor,
        basis=learned.basis if learned.samples else "limits",
        learned_from=len(learned.samples),
        latency_s=learned.mean_latency_s,
    )


def _cost(
    services: Services, model: ModelRef, asked: Asked, learned: Learned, inputs: Interval, outputs: Interval
) -> Interval | None:
    """The intervals of tokens at the prices of one call of the expected size, asked online."""
    if not asked.calls:
        return NOTHING
    price = services.pricing.cost_usd
    size = max(1, round(inputs.expected / asked.calls))
    cached = round(size * learned.cached_share)
    prompt = price(model, Usage(prompt_tokens=size, completion_tokens=0, cached_tokens=cached))
    both = price(model, Usage(prompt_tokens=size, completion_tokens=_TOKENS, cached_tokens=cached))
    if prompt is None or both is None:
        return None
    return inputs.times(prompt / size) + outputs.times((both - prompt) / _TOKENS)


def total(costs: Sequence[Interval | None]) -> Interval | None:
    """The sum; None where a part is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, NOTHING) if len(known) == len(costs) else None


def time_s(services: Services, steps: Sequence[StepPlan], concurrency: int) -> tuple[float | None, str | None]:
    """How long the calls take and what bounds it; None where neither a quota nor a latency tells."""
    if any(step.calls for step in steps if step.mode == "batch"):
        return None, "batches are answered within 24 hours"
    bounds = list(_bounds(services, steps, concurrency))
    return max(bounds) if bounds else (None, None)


def _bounds(services: Services, steps: Sequence[StepPlan], concurrency: int) -> Iterator[tuple[float, str]]:
    if not any(step.calls for step in steps):
        yield 0.0, "nothing is asked"
        return
    if all(step.latency_s is not None for step in steps if step.calls):
        busy_s = sum(step.calls * (step.latency_s or 0.0) for step in steps)
        yield busy_s / concurrency, f"{concurrency} calls at once"
    for name in dict.fromkeys(step.model for step in steps if step.calls):
        own = [step for step in steps if step.model == name]
        quota = services.catalogue.resolve(name, bare_provider=own[0].provider).quota
        yield from _quota_bounds(quota, name, own)


def _quota_bounds(quota: Quota, name: str, steps: Sequence[StepPlan]) -> Iterator[tuple[float, str]]:
    calls = sum(step.calls for step in steps)
    inputs = sum(step.input_tokens.expected for step in steps)
    outputs = sum(step.output_tokens.expected for step in steps)
    shares = (
        (calls, quota.requests_per_minute, MINUTE_S, "requests per minute"),
        (inputs + outputs, quota.tokens_per_minute, MINUTE_S, "tokens per minute"),
        (inputs, quota.input_tokens_per_minute, MINUTE_S, "input tokens per minute"),
        (outputs, quota.output_tokens_per_minute, MINUTE_S, "output tokens per minute"),
        (calls, quota.requests_per_day, DAY_S, "requests per day"),
    )
    for amount, limit, period_s, words in shares:
        if limit is not None:
            yield amount / limit * period_s, f"{limit:,} {words} of {name}"
    if quota.concurrency is not None and all(step.latency_s is not None for step in steps if step.calls):
        busy_s = sum(step.calls * (step.latency_s or 0.0) for step in steps)
        yield busy_s / quota.concurrency, f"{quota.concurrency} calls of {name} at once"
