"""The assets: what a job leaves behind, as Dagster's catalogue and lineage show it.

A body unpacks its context, calls a use case and reports events key by key as the jobs end. It yields no output:
an output would stand for all keys of the run at once. No annotations from the future here: Dagster reads them.
"""

from collections.abc import Iterator
from contextlib import closing

import dagster as dg

from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.partitions import JOBS
from llm_jobs.orchestration.pools import Pools
from llm_jobs.orchestration.resources import Audience
from llm_jobs.orchestration.scope import Scope, providers_of
from llm_jobs.orchestration.use_cases import UseCases

OP_NAME = "answer_jobs"
DELIVER_OP_NAME = "deliver_results"
DELIVERIES = dg.AssetKey("deliveries")
JOB_TABLE = dg.AssetKey("jobs")
PROMPT_LIBRARY = dg.AssetKey("prompt_library")
MODEL_CATALOGUE = dg.AssetKey("model_catalogue")
LATEST_JOBS = 200


class JobSelection(dg.Config):
    """The jobs of a run whose set has gaps; left empty where partition tags say it."""

    job_hashes: list[str] = []  # noqa: RUF012  Dagster's configuration copies its defaults


def _check(name: str, description: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(name, asset=evidence.RESULTS, description=description, partitions_def=JOBS)


JOB_SPECS = (
    dg.AssetSpec(
        evidence.JOB_DOCUMENTS,
        description="The documents as they were submitted: one partition per job, its hash the key.",
        kinds={"yaml"},
        group_name="llm_jobs",
        skippable=True,
    ),
    dg.AssetSpec(
        evidence.INPUTS,
        deps=[evidence.JOB_DOCUMENTS],
        description="Tables frozen as Parquet when they were first read. Inline rows and Parquet files need none.",
        kinds={"parquet"},
        group_name="llm_jobs",
        skippable=True,
    ),
    dg.AssetSpec(
        evidence.RESULTS,
        deps=[evidence.JOB_DOCUMENTS, evidence.INPUTS, PROMPT_LIBRARY, MODEL_CATALOGUE],
        description="One immutable Parquet table per job: every row with its answers, or with the reason why not.",
        kinds={"parquet", "llm"},
        group_name="llm_jobs",
        skippable=True,
    ),
)
RESULT_CHECKS = (
    _check(evidence.EVERY_ROW_ANSWERED, "No row of the result failed."),
    _check(evidence.DIGEST_INTACT, "The file has the SHA-256 that the ledger recorded."),
    _check(evidence.NOTHING_PAID_TWICE, "No call of the job has more than one answer in the ledger."),
)


@dg.multi_asset(
    name=OP_NAME,
    specs=JOB_SPECS,
    check_specs=RESULT_CHECKS,
    partitions_def=JOBS,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def answer_jobs(
    context: dg.AssetExecutionContext,
    config: JobSelection,
    use_cases: dg.ResourceParam[UseCases],
    pools: dg.ResourceParam[Pools],
    audience: dg.ResourceParam[Audience],
) -> Iterator[dg.MaterializeResult[None]]:
    """Run the jobs of this run; report each as it ends; fail at the end if some have no result."""
    scope = Scope.of(context, listed=config.job_hashes)
    jobs = use_cases.submitted(scope.job_hashes)
    scope.begin(jobs)
    if evidence.RESULTS in context.selected_asset_keys:
        with pools.held(context.instance, context.run_id, names=providers_of(jobs.values())):
            with closing(use_cases.run_jobs(list(jobs), listener=audience.listener, run_id=context.run_id)) as reports:
                for report in audience.told(reports):
                    audit = None if report.status == "failed" else use_cases.verify_job(report.job_hash)
                    scope.ended(report, audit)
    scope.finish()
    yield from ()
