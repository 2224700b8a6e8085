"""How a job went over time, as a plot: latency and cost of what it bought, from its newest result."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from llm_jobs.observability.plots import Panel, Series, markdown, svg
from llm_jobs.operations.services import Services
from llm_jobs.results.over_time import Slice, over_time

_DAY_S = 86_400.0


def job_plot(services: Services, job_hash: str) -> str | None:
    """The plot of a job's newest result as Markdown; None where it has no result, or bought nothing for it."""
    records = services.ledger.results([job_hash]).get(job_hash, ())
    slices = over_time(services.store, records[0].path) if records else []
    if not slices:
        return None
    return markdown(svg(panels(slices), ticks(slices)), alt="latency and cost over time")


def panels(slices: Sequence[Slice]) -> list[Panel]:
    """Latency, and cost where it is known, of what was bought in each slice."""
    median = Series(name="median", values=[each.p50_s for each in slices])
    high = Series(name="95th percentile", values=[each.p95_s for each in slices])
    cost = Series(name="of the rows answered then", values=[each.cost_usd for each in slices])
    drawn = [Panel(title="latency", kind="lines", series=[median, high], unit="s")]
    if any(each.cost_usd is not None for each in slices):
        drawn.append(Panel(title="cost", kind="bars", series=[cost], unit="$"))
    return drawn


def ticks(slices: Sequence[Slice]) -> list[str]:
    """UTC times of the slices, with the day where they span more than one."""
    form = "%H:%M:%S" if slices[-1].start_s - slices[0].start_s < _DAY_S else "%m-%d %H:%M"
    return [datetime.fromtimestamp(each.start_s, UTC).strftime(form) for each in slices]
