"""One Dagster schedule per recurring document, seen and switched on the page like any other.

No annotations from the future here: Dagster reads them.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import dagster as dg

from llm_jobs.operations.records import RecurringDocument
from llm_jobs.orchestration.coverage import cover
from llm_jobs.orchestration.gating import gated_in_words, tell_gated
from llm_jobs.orchestration.jobs import RUN_JOBS
from llm_jobs.orchestration.partitions import register, registered
from llm_jobs.orchestration.scope import NAME_TAG
from llm_jobs.orchestration.use_cases import UseCases

NOTHING_CHANGED = "Nothing changed since an earlier tick: every row is answered."


def recurring_schedules(documents: Iterable[RecurringDocument]) -> list[dg.ScheduleDefinition]:
    """The schedules of `documents`. Where a name occurs twice, each is told by its path: a schedule that somebody
    switched off must not become another document's because a file was added."""
    listed = list(documents)
    names = [re.sub(r"\W", "_", document.name, flags=re.ASCII) for document in listed]
    counts = Counter(names)
    return [
        _schedule(name if counts[name] == 1 else f"{name}_{_mark(document)}", document)
        for name, document in zip(names, listed, strict=True)
    ]


def _mark(document: RecurringDocument) -> str:
    return hashlib.sha256(document.path.encode()).hexdigest()[:8]


def _schedule(name: str, document: RecurringDocument) -> dg.ScheduleDefinition:
    running, stopped = dg.DefaultScheduleStatus.RUNNING, dg.DefaultScheduleStatus.STOPPED

    @dg.schedule(
        name=name,
        job_name=RUN_JOBS.job_name,
        cron_schedule=document.cron,
        execution_timezone=document.timezone,
        default_status=running if document.enabled else stopped,
        description=f"Submits {Path(document.path).name} as of each tick; what is answered already costs nothing.",
    )
    def tick(
        context: dg.ScheduleEvaluationContext, use_cases: dg.ResourceParam[UseCases]
    ) -> Sequence[dg.RunRequest] | dg.SkipReason:
        tick_ns = int(context.scheduled_execution_time.timestamp()) * 1_000_000_000
        came_to = use_cases.submit_recurring(document.path, tick_ns=tick_ns)
        if came_to.skipped or came_to.waits:
            return dg.SkipReason(came_to.skipped or f"gated: {came_to.waits}")
        job_hashes = [accepted.job.hash for accepted in came_to.accepted]
        register(context.instance, job_hashes)
        found = use_cases.launchable(job_hashes)
        tell_gated(context.instance, found.gated)
        waiting = {job.job_hash for job in found.jobs}
        if not waiting:
            return dg.SkipReason(gated_in_words(found.gated, otherwise=NOTHING_CHANGED))
        return [
            dg.RunRequest(
                run_key=f"{tick_ns} {part.job_hashes[0]}",
                tags={**part.tags(), NAME_TAG: document.name},
                run_config=part.run_config(RUN_JOBS.op_name),
            )
            for part in cover(waiting, registered(context.instance))
        ]

    return tick
