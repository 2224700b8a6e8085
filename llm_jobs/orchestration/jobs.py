"""The jobs that people and sensors launch. No annotations from the future here: Dagster reads them."""

import dagster as dg

from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.coverage import DELIVER_OP_NAME, OP_NAME
from llm_jobs.orchestration.inbox import tell_intake
from llm_jobs.orchestration.launching import Target
from llm_jobs.orchestration.partitions import register
from llm_jobs.orchestration.use_cases import UseCases

RUN_JOBS = Target(job_name="run_jobs", op_name=OP_NAME, asset_key=evidence.RESULTS)
DELIVER = Target(job_name="deliver", op_name=DELIVER_OP_NAME, asset_key=evidence.DELIVERIES)
INTAKE_NAME = "intake"
INTAKE_BUDGET_S = 3_600.0

run_jobs = dg.define_asset_job(
    RUN_JOBS.job_name,
    selection=[evidence.JOB_DOCUMENTS, evidence.INPUTS, evidence.RESULTS],
    description="Answer the jobs of the partitions that the run covers.",
)
deliver = dg.define_asset_job(
    DELIVER.job_name,
    selection=[evidence.DELIVERIES],
    description="Hand results to the destinations that their jobs state.",
)


@dg.op
def take_in(context: dg.OpExecutionContext, use_cases: dg.ResourceParam[UseCases]) -> None:
    """Resolve what lies in the inbox, however long it takes."""
    report = use_cases.intake(budget_s=INTAKE_BUDGET_S)
    register(context.instance, (document.job_hash for document in report.accepted))
    tell_intake(context.log, report)
    context.log.info(f"{len(report.accepted)} documents accepted, {len(report.rejected)} rejected")


@dg.job(name=INTAKE_NAME, description="Take in the documents that are too slow for a sensor: scripts, large files.")
def intake() -> None:
    """One step."""
    take_in()


ALL_JOBS = (run_jobs, deliver, intake)
