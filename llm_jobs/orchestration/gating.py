"""Tells of jobs that may not start yet: in the tick that left them, and on their partitions. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from logging import Logger

import dagster as dg

from llm_jobs.operations.records import GatedJob
from llm_jobs.operations.release import Released
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.partitions import register

NOBODY_WAITS = "No job waits for a run."
REASONS_SHOWN = 5
HASH_SHOWN = 8


def tell_gated(instance: dg.DagsterInstance, gated: Iterable[GatedJob]) -> None:
    """Observe on the partition of each job what gates it, where that is news."""
    news = [job for job in gated if job.is_news]
    register(instance, (job.job_hash for job in news))
    for job in news:
        instance.report_runless_asset_event(evidence.gated_event(job))


def tell_released(log: Logger, released: Released) -> None:
    """Tell which documents became jobs now, and which cannot."""
    for accepted in released.accepted:
        log.info(f"{accepted.job.name} ({accepted.job.hash}): what it waited for is done")
    for refused in released.refused:
        log.error(f"{refused.name} was refused: {refused.error}")
    for name, reason in released.postponed.items():
        log.warning(f"{name} waits on: {reason}")


def gated_in_words(gated: Sequence[GatedJob], *, otherwise: str = NOBODY_WAITS) -> str:
    """Why no run is asked for, for the page of the tick."""
    if not gated:
        return otherwise
    shown = "; ".join(f"{job.name} ({job.job_hash[:HASH_SHOWN]}): {job.reason}" for job in gated[:REASONS_SHOWN])
    more = len(gated) - REASONS_SHOWN
    return f"gated: {shown}" + (f"; and {more} more" if more > 0 else "")
