"""The assets: what a job leaves behind, as Dagster's catalogue and lineage show it.

A body unpacks its context, calls a use case and reports events key by key as the jobs end. It yields no output:
an output would stand for all keys of the run at once. No annotations from the future here: Dagster reads them.
"""

import warnings
from collections.abc import Iterator
from contextlib import closing

import dagster as dg

from llm_jobs.errors import LlmJobsError
from llm_jobs.orchestration import evidence
from llm_jobs.orchestration.audience import Audience
from llm_jobs.orchestration.coverage import DELIVER_OP_NAME, OP_NAME
from llm_jobs.orchestration.io_manager import IO_MANAGER_KEY
from llm_jobs.orchestration.partitions import JOBS
from llm_jobs.orchestration.pools import Pools
from llm_jobs.orchestration.scope import Scope, pools_of_deliveries, providers_of
from llm_jobs.orchestration.use_cases import UseCases

GROUP = "llm_jobs"
OWNERS = ["team:llm-jobs"]
MOST_PAGES = 50  # jobs of a run: a page takes some 20 ms, which thousands of small jobs do not wait for


class JobSelection(dg.Config):
    """The jobs of a run whose set has gaps; left empty where partition tags say it."""

    job_hashes: list[str] = []  # noqa: RUF012  Dagster's configuration copies its defaults


class DeliverySelection(JobSelection):
    """The same; `again`: whether destinations that have a receipt are asked too. Nothing is written twice."""

    again: bool = False


def _check(name: str, description: str) -> dg.AssetCheckSpec:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # partitioned checks; Dagster is pinned to one minor version
        return dg.AssetCheckSpec(name, asset=evidence.RESULTS, description=description, partitions_def=JOBS)


JOB_SPECS = (
    dg.AssetSpec(
        evidence.JOB_DOCUMENTS,
        description="The documents as they were submitted: one partition per job, its hash the key.",
        kinds={"yaml"},
        group_name=GROUP,
        owners=OWNERS,
        skippable=True,
    ),
    dg.AssetSpec(
        evidence.INPUTS,
        deps=[evidence.JOB_DOCUMENTS],
        description="Tables frozen as Parquet when they were first read. Inline rows and Parquet files need none.",
        kinds={"parquet"},
        group_name=GROUP,
        owners=OWNERS,
        skippable=True,
    ),
    dg.AssetSpec(
        evidence.RESULTS,
        deps=[evidence.JOB_DOCUMENTS, evidence.INPUTS, evidence.PROMPT_LIBRARY, evidence.MODEL_CATALOGUE],
        description="One immutable Parquet table per job: every row with its answers, or with the reason why not.",
        kinds={"parquet", "llm"},
        group_name=GROUP,
        owners=OWNERS,
        skippable=True,
    ).with_io_manager_key(IO_MANAGER_KEY),
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
        run_id, pages = context.run.run_id, len(jobs) <= MOST_PAGES
        work = closing(use_cases.run_jobs(list(jobs), listener=audience.listener, run_id=run_id))
        with pools.held(context.instance, run_id, names=providers_of(jobs.values())), work as reports:
            for report in audience.told(reports):
                answered = report.status in ("done", "partial")
                audit = use_cases.verify_job(report.job_hash) if answered else None
                shown = shown_of(use_cases, report.job_hash, pages=pages) if answered else evidence.NOTHING_SHOWN
                scope.ended(report, audit, shown)
    scope.finish()
    yield from ()


def shown_of(use_cases: UseCases, job_hash: str, *, pages: bool) -> evidence.Shown:
    """What the materialisation of a result shows beside its figures."""
    page = use_cases.job_page(job_hash) if pages else None
    return evidence.Shown(plot=use_cases.job_plot(job_hash), page=page)


@dg.multi_asset(
    name=DELIVER_OP_NAME,
    specs=[
        dg.AssetSpec(
            evidence.DELIVERIES,
            deps=[evidence.RESULTS],
            description="Copies of results at the destinations that jobs state. A job without an output has none.",
            group_name=GROUP,
            owners=OWNERS,
            kinds={"file"},
            skippable=True,
        )
    ],
    partitions_def=JOBS,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def deliver_results(
    context: dg.AssetExecutionContext,
    config: DeliverySelection,
    use_cases: dg.ResourceParam[UseCases],
    pools: dg.ResourceParam[Pools],
    audience: dg.ResourceParam[Audience],
) -> Iterator[dg.MaterializeResult[None]]:
    """Deliver the newest result of each job of this run; one that cannot be delivered stops no other."""
    scope = Scope.of(context, listed=config.job_hashes)
    scope.begin(use_cases.submitted(scope.job_hashes))
    with pools.held(context.instance, context.run.run_id, names=pools_of_deliveries(scope.jobs.values())):
        for job_hash in scope.jobs:
            try:
                scope.delivered(use_cases.deliver(job_hash, listener=audience.listener, again=config.again))
            except LlmJobsError as error:
                scope.failed(job_hash, str(error))
    scope.finish()
    yield from ()


@dg.asset(
    key=evidence.JOB_TABLE,
    deps=[evidence.RESULTS],
    description="The latest jobs by name, with key, status, rows and cost. Kept up to date by a sensor.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"table"},
)
def jobs(use_cases: dg.ResourceParam[UseCases]) -> dg.MaterializeResult[None]:
    """The latest jobs as a table in the metadata."""
    return dg.MaterializeResult(metadata=evidence.job_table(use_cases.latest_jobs(evidence.LATEST_JOBS)))


@dg.asset(
    key=evidence.USAGE,
    deps=[evidence.RESULTS],
    description="What was spent in the last 30 days, by UTC day, model and job. Kept up to date by a sensor.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"table"},
)
def usage(use_cases: dg.ResourceParam[UseCases]) -> dg.MaterializeResult[None]:
    """What was spent, as a table and a plot in the metadata."""
    return dg.MaterializeResult(metadata=evidence.usage_metadata(use_cases.usage_sheet()))


# Nothing makes these two: the `record` sensor observes them, their digest as the data version.
prompt_library = dg.AssetSpec(
    evidence.PROMPT_LIBRARY,
    description="The prompts by name and version.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"yaml"},
)
model_catalogue = dg.AssetSpec(
    evidence.MODEL_CATALOGUE,
    description="The models by name: provider, upstream name, quota, price.",
    group_name=GROUP,
    owners=OWNERS,
    kinds={"yaml"},
)

ASSETS = (prompt_library, model_catalogue, answer_jobs, deliver_results, jobs, usage)
