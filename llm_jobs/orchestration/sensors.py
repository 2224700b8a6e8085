"""The sensors: documents in, runs out. They keep nothing between ticks and run unless somebody stops them.

No annotations from the future here: Dagster reads them.
"""

import time

import dagster as dg

from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.gating import gated_in_words, tell_gated, tell_released
from llm_jobs.orchestration.inbox import tell_intake
from llm_jobs.orchestration.jobs import DELIVER, INTAKE_NAME, RUN_JOBS
from llm_jobs.orchestration.launching import run_requests
from llm_jobs.orchestration.owners import UNFINISHED, bury_dead_runs
from llm_jobs.orchestration.partitions import register
from llm_jobs.orchestration.recording import observe, record_work_done_elsewhere, refresh_job_table, refresh_usage
from llm_jobs.orchestration.standing import arrivals_sensor
from llm_jobs.orchestration.use_cases import UseCases

INTERVAL_S = 5  # the floor of the daemon's own loop
RECORD_INTERVAL_S = 15
TICK_BUDGET_S = 20.0  # a tick is cut off after 60 s
LARGEST_IN_A_TICK = 20_000_000  # bytes, read in some 3 s; larger documents go to a run
LINES_COMPARED = 1_000
POLL_INTERVAL_S = 60  # a batch takes minutes to hours
COLLECTED_IN_A_TICK = 5_000  # calls of a batch, recorded in some seconds; larger ones are collected by their job's run
RUNNING = dg.DefaultSensorStatus.RUNNING


@dg.sensor(
    name="intake",
    description="Takes documents from the inbox; what it rejects is told in the tick's log.",
    job_name=INTAKE_NAME,
    minimum_interval_seconds=INTERVAL_S,
    default_status=RUNNING,
)
def intake_sensor(
    context: dg.SensorEvaluationContext, use_cases: dg.ResourceParam[UseCases]
) -> dg.RunRequest | dg.SkipReason:
    """Take documents from the inbox: accepted ones become partitions, rejected ones get their error beside them."""
    report = use_cases.intake(budget_s=TICK_BUDGET_S, largest_bytes=LARGEST_IN_A_TICK)
    register(context.instance, (document.job_hash for document in report.accepted))
    tell_intake(context.log, report)
    taking_in = dg.RunsFilter(job_name=INTAKE_NAME, statuses=UNFINISHED)
    if report.remaining and not context.instance.get_runs(taking_in, limit=1):
        return dg.RunRequest()
    return dg.SkipReason(f"{len(report.accepted)} documents accepted, {len(report.rejected)} rejected")


@dg.sensor(
    name="launch",
    description="Asks for runs of the jobs that wait for one.",
    job_name=RUN_JOBS.job_name,
    minimum_interval_seconds=INTERVAL_S,
    default_status=RUNNING,
)
def launch_sensor(
    context: dg.SensorEvaluationContext, use_cases: dg.ResourceParam[UseCases]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for runs of the jobs that are unfinished, that nothing gates and that no run covers."""
    tell_released(context.log, use_cases.release())
    found = use_cases.launchable()
    tell_gated(context.instance, found.gated)
    requests = run_requests(context.instance, RUN_JOBS, found.jobs)
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason(gated_in_words(found.gated))


@dg.sensor(
    name="deliver",
    description="Asks for deliveries of results that have not reached their destination.",
    job_name=DELIVER.job_name,
    minimum_interval_seconds=INTERVAL_S,
    default_status=RUNNING,
)
def deliver_sensor(
    context: dg.SensorEvaluationContext, use_cases: dg.ResourceParam[UseCases]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for runs of the jobs whose newest result has not reached its destination."""
    requests = run_requests(context.instance, DELIVER, use_cases.undelivered())
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("No result waits for its delivery.")


@dg.sensor(
    name="record",
    description="Keeps the catalogue true: results made elsewhere, the table of jobs, prompts and models.",
    minimum_interval_seconds=RECORD_INTERVAL_S,
    default_status=RUNNING,
)
def record_sensor(context: dg.SensorEvaluationContext, use_cases: dg.ResourceParam[UseCases]) -> dg.SkipReason:
    """Keep the catalogue true: results made elsewhere, the table of jobs, the prompts and the models."""
    going = bury_dead_runs(context.instance)
    lines = use_cases.latest_jobs(LINES_COMPARED)
    elsewhere = record_work_done_elsewhere(context.instance, use_cases, lines, going=going)
    refresh_job_table(context.instance, lines)
    refresh_usage(context.instance, use_cases, lines, now_s=time.time)
    observe(context.instance, evidence.PROMPT_LIBRARY, use_cases.prompt_library())
    observe(context.instance, evidence.MODEL_CATALOGUE, use_cases.model_catalogue())
    return dg.SkipReason(f"{len(elsewhere)} results were made outside this instance")


@dg.sensor(
    name="batches",
    description="Asks vendors how far their batches are, and collects those that ended.",
    minimum_interval_seconds=POLL_INTERVAL_S,
    default_status=RUNNING,
)
def batches_sensor(context: dg.SensorEvaluationContext, use_cases: dg.ResourceParam[UseCases]) -> dg.SkipReason:
    """Poll the vendors' batches. Jobs whose batches have ended are asked for by `launch`; no process waits."""
    polled = use_cases.poll_batches(most_calls=COLLECTED_IN_A_TICK)
    for each in polled:
        if each.problem is not None:
            context.log.warning(f"batch {each.batch_id}: {each.problem}")
    return dg.SkipReason(f"{len(polled)} batches were polled")


SENSORS = (intake_sensor, launch_sensor, deliver_sensor, record_sensor, batches_sensor, arrivals_sensor)
